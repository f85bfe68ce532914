"""Forest × model → log Pr of every node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.execution import Begun, Step, batch_path, forest_path
from chainrule.engine.head.fused import read_fused, supports
from chainrule.engine.head.readout import Distributions, Factors, factor_reductions, read, workspace
from chainrule.engine.question import Answer, Progress, Question, refuse_nan
from chainrule.errors import ModelError
from chainrule.models.base import Model
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import sent
from chainrule.verdict import Verdict

T = TypeVar("T")

STRATEGIES = {"forest": forest_path, "batch": batch_path, "single": partial(batch_path, padded=False)}


class Engine:
    """Scores forests under one model, by one strategy: "forest", "batch" or "single"."""

    def __init__(self, model: Model, strategy: str, reason: str = "") -> None:
        self.model, self.strategy, self.reason = model, strategy, reason
        self.invariances: dict[tuple[int, bool], Verdict] = {}  # filled by `selfcheck.invariance`, for each state

    @sealed
    def answer(
        self,
        question: Question,
        *,
        rows: int | None = None,
        top: int = 0,
        progress: Progress | None = None,
        begun: Begun | None = None,
    ) -> Answer:
        """Every wanted factor of the forest, each computed once. Raises ModelError where the model gives NaN.

        rows: contexts computed at a time (None: what suits the device). begun: what has run already, on the forest path only.
        """
        forest = question.forest
        contexts = int((forest.end_N > np.arange(len(forest)) + 1).sum())
        answer = Answer.empty(len(forest), top, contexts)
        if supports(self.model.head, factor_reductions(top)):
            reader = read_fused
        else:
            reader = partial(read, workspace_MV=workspace(self.model.head, self.model.device))
        done = computed = 0
        answers = self._answers(self._steps(question, rows, begun), partial(reader, self.model.head), question.token_N, top)
        # A GPU works on a chunk while the next one is made ready; what is stored has to be waited for.
        for node_F, found, new, ran in _late(answers, 0 if self.model.device.type == "cpu" else 1):
            answer.store(node_F, found)
            done, computed = done + new, computed + ran
            if progress is not None:
                progress(done, contexts)
        refuse_nan(answer.logprob_N[question.wanted_N], self.model.name)
        return replace(answer, rows=computed)

    def _answers(
        self, steps: Iterator[Step], reader: Callable[..., Factors], token_N: Ints, top: int
    ) -> Iterator[tuple[Ints, Factors, int, int]]:
        """Of each step: nodes and their factors, and how many contexts were computed for the first time, and in all."""
        for step in steps:
            token_F = sent(token_N[step.node_F], self.model.device)
            found = reader(step.hidden_RH, torch.from_numpy(step.row_F), token_F, top)
            yield step.node_F, found, step.new, step.rows

    @sealed
    def distributions(self, question: Question, node_B: Ints, *, rows: int | None = None) -> Floats:
        """log Pr(v | the path down to each node) for every v of the vocabulary, B × V; each must have a wanted child."""
        workspace_MV = workspace(self.model.head, self.model.device)
        logprob_BV, missing_B = np.empty((len(node_B), self.model.head.size)), np.ones(len(node_B), bool)
        for step in self._steps(question, rows):
            row_of = dict(zip(question.forest.parent_N[step.node_F].tolist(), step.row_F.tolist(), strict=True))
            here_B = missing_B & np.isin(node_B, list(row_of))
            if here_B.any():
                row_M = [row_of[node] for node in node_B[here_B].tolist()]
                logprob_BV[here_B], missing_B = self.read(step.hidden_RH[row_M], workspace_MV), missing_B & ~here_B
            if not missing_B.any():
                break
        if missing_B.any():
            raise ValueError(f"no factor is wanted behind node {int(node_B[missing_B][0])}")
        return logprob_BV

    def read(self, hidden_MH: Tensor, workspace_MV: Tensor) -> Floats:
        """log Pr(v | the context at each row) for every v of the vocabulary: M × V. Raises ModelError where it is NaN."""
        parts = [
            Distributions.at(self.model.head, part, workspace_MV).logprobs(len(part))
            for part in hidden_MH.split(len(workspace_MV))
        ]
        logprob_MV = torch.cat(parts).cpu().numpy()
        refuse_nan(logprob_MV, self.model.name)
        return logprob_MV

    def _steps(self, question: Question, rows: int | None, begun: Begun | None = None) -> Iterator[Step]:
        rows = rows or usual_rows(self.model)
        asked = self.model, question.forest, question.wanted_N, partial(self._embed, question), rows
        return forest_path(*asked, begun) if begun is not None else STRATEGIES[self.strategy](*asked)

    def refuse_unfit(self, ids_N: Ints) -> None:
        """Raises ModelError where one of the ids means something else to the network within a text than a token."""
        if self.model.unfit and (found := np.intersect1d(ids_N, self.model.unfit)).size:
            raise ModelError(
                f"{self.model.name} treats the symbol of id {int(found[0])} within a text as none of its tokens (padding, or "
                "what stands for an image), so such a text cannot be scored exactly; leave that symbol out"
            )

    def _embed(self, question: Question, node_R: Ints) -> Tensor:
        symbol_R = question.forest.symbol_N[node_R]
        self.refuse_unfit(question.alphabet.tokens(symbol_R))
        return question.alphabet.inputs(self.model, symbol_R)


def _late(items: Iterator[T], by: int) -> Iterator[T]:
    """The same items, each after `by` more of them were begun."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > by:
            yield waiting.popleft()
    yield from waiting
