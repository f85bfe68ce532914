"""Forest × model → log Pr of every node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule._types import Bools, Floats, Ints
from chainrule.engine.execution import Begun, Step, batch_path, forest_path
from chainrule.engine.head.fused import read_fused, supports
from chainrule.engine.head.readout import Distributions, Factors, factor_reductions, read, workspace
from chainrule.engine.node_inputs import Alphabet, Tokens
from chainrule.errors import ModelError
from chainrule.forest import Forest
from chainrule.models.base import Model
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import sent

if TYPE_CHECKING:
    from chainrule.verdict import Verdict

T = TypeVar("T")

PATHS = {"forest": forest_path, "batch": batch_path, "single": partial(batch_path, padded=False)}

Progress = Callable[[int, int], None]  # contexts done, contexts in all


@dataclass(frozen=True)
class Question:
    """What to compute: a forest of symbols, the nodes whose factors are wanted, and what the symbols stand for."""

    forest: Forest
    wanted_N: Bools
    alphabet: Alphabet = field(default_factory=Tokens)

    @property
    def token_N(self) -> Ints:
        """The token id at every node."""
        return self.alphabet.tokens(self.forest.symbol_N)


@dataclass(frozen=True)
class Answer:
    """For every node of the forest: its factor and what is known of its conditional; NaN and 0 where none was wanted."""

    logprob_N: Floats
    rank_N: NDArray[np.int32]
    entropy_N: Floats
    top_id_Nk: NDArray[np.int32]
    top_logprob_Nk: Floats
    rows: int  # contexts the network computed
    contexts: int  # distinct contexts there are

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """All that there is of every node, in the order of the fields."""
        return self.logprob_N, self.rank_N, self.entropy_N, self.top_id_Nk, self.top_logprob_Nk

    def at(self, node_T: Ints) -> Answer:
        """The same of these nodes alone, in this order."""
        logprob_T, rank_T, entropy_T, top_id_Tk, top_logprob_Tk = (column[node_T] for column in self.columns)
        return Answer(logprob_T, rank_T, entropy_T, top_id_Tk, top_logprob_Tk, self.rows, self.contexts)


class Engine:
    """Scores forests under one model, by the path given: "forest", "batch" or "single"."""

    def __init__(self, model: Model, path: str, reason: str = "") -> None:
        self.model, self.path, self.reason = model, path, reason
        self._invariances: dict[tuple[int, bool], Verdict] = {}

    @property
    def invariance(self) -> Verdict:
        """Whether a factor has the same bits in any company, and why; tried out when it is first asked for.

        It holds for as many threads as there are now, and for what this thread makes of denormal numbers.
        """
        from chainrule.engine.selfcheck.invariance import check, flushes_denormals

        state = torch.get_num_threads(), flushes_denormals()
        if state not in self._invariances:
            self._invariances[state] = check(self)
        return self._invariances[state]

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
        answer = empty_answer(len(forest), top, contexts)
        if supports(self.model.head, factor_reductions(top)):
            reader = read_fused
        else:
            reader = partial(read, workspace_MV=workspace(self.model.head, self.model.device))
        done = computed = 0
        answers = self._answers(self._steps(question, rows, begun), partial(reader, self.model.head), question.token_N, top)
        # A GPU works on a chunk while the next one is made ready; what is stored has to be waited for.
        for node_F, found, new, ran in _late(answers, 0 if self.model.device.type == "cpu" else 1):
            store(answer, node_F, found)
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
    def distribution(self, question: Question, node: int, *, rows: int | None = None) -> Floats:
        """log Pr(v | the path down to `node`) for every v of the vocabulary; `node` must have a wanted child."""
        return self.distributions(question, np.array([node]), rows=rows)[0]

    @sealed
    def distributions(self, question: Question, node_B: Ints, *, rows: int | None = None) -> Floats:
        """log Pr(v | the path down to each node) for every v of the vocabulary, B × V; each must have a wanted child."""
        room_MV = workspace(self.model.head, self.model.device)
        logprob_BV, missing_B = np.empty((len(node_B), self.model.head.size)), np.ones(len(node_B), bool)
        for step in self._steps(question, rows):
            row_of = dict(zip(question.forest.parent_N[step.node_F].tolist(), step.row_F.tolist(), strict=True))
            here_B = missing_B & np.isin(node_B, list(row_of))
            if here_B.any():
                row_M = [row_of[node] for node in node_B[here_B].tolist()]
                logprob_BV[here_B], missing_B = self.read(step.hidden_RH[row_M], room_MV), missing_B & ~here_B
            if not missing_B.any():
                break
        if missing_B.any():
            raise ValueError(f"no factor is wanted behind node {int(node_B[missing_B][0])}")
        return logprob_BV

    def read(self, hidden_MH: Tensor, room_MV: Tensor) -> Floats:
        """log Pr(v | the context at each row) for every v of the vocabulary: M × V. Raises ModelError where it is NaN."""
        parts = [Distributions.at(self.model.head, part, room_MV).logprobs(len(part)) for part in hidden_MH.split(len(room_MV))]
        logprob_MV = torch.cat(parts).cpu().numpy()
        refuse_nan(logprob_MV, self.model.name)
        return logprob_MV

    def _steps(self, question: Question, rows: int | None, begun: Begun | None = None) -> Iterator[Step]:
        rows = rows or usual_rows(self.model)
        asked = self.model, question.forest, question.wanted_N, partial(self._embed, question), rows
        return forest_path(*asked, begun) if begun is not None else PATHS[self.path](*asked)

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


def empty_answer(nodes: int, top: int, contexts: int) -> Answer:
    nan = np.full(nodes, np.nan)
    return Answer(
        nan,
        np.zeros(nodes, np.int32),
        nan.copy(),
        np.zeros((nodes, top), np.int32),
        np.full((nodes, top), np.nan),
        0,
        contexts,
    )


def store(answer: Answer, node_F: Ints, found: object) -> None:
    for target, source in (("logprob_N", "logprob_F"), ("rank_N", "rank_F"), ("entropy_N", "entropy_F"),
                           ("top_id_Nk", "top_id_Fk"), ("top_logprob_Nk", "top_logprob_Fk")):  # fmt: skip
        getattr(answer, target)[node_F] = getattr(found, source).cpu().numpy()


def refuse_nan(logprob: Floats, name: str) -> None:
    if np.isnan(logprob).any():
        raise ModelError(
            f"{name} gave NaN for {int(np.isnan(logprob).sum())} of {logprob.size} factors: "
            "its weights or the embeddings given overflow in this dtype; try dtype='float32'"
        )
