"""Forest × model → log Pr of every node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule.engine.fused_head import read_fused, supports
from chainrule.engine.paths import Begun, Step, batch_path, forest_path
from chainrule.engine.readout import Distributions, read, room
from chainrule.errors import ModelError
from chainrule.forest import Forest
from chainrule.models.base import Model
from chainrule.models.products import ROWS

if TYPE_CHECKING:
    from chainrule.engine.invariance import Invariance

PATHS = {"forest": forest_path, "batch": batch_path, "single": partial(batch_path, padded=False)}

Progress = Callable[[int, int], None]  # contexts done, contexts in all


@dataclass(frozen=True)
class Question:
    """What to compute: a forest of symbols, and the nodes whose factors are wanted.

    A symbol ≥ 0 is a token id. A symbol < 0 stands for row −1 − symbol of `given_MD`, an embedding that was given in
    place of an id; `given_M` holds the id it is scored as.
    """

    forest: Forest
    wanted_N: NDArray[np.bool_]
    given_MD: Tensor | None = None
    given_M: NDArray[np.int64] | None = None

    @property
    def token_N(self) -> NDArray[np.int64]:
        """The token id at every node."""
        symbol_N = self.forest.symbol_N
        if self.given_M is None:
            return symbol_N
        return np.where(symbol_N >= 0, symbol_N, self.given_M[np.maximum(-1 - symbol_N, 0) % len(self.given_M)])


@dataclass(frozen=True)
class Answer:
    """For every node of the forest: its factor and what is known of its conditional; NaN and 0 where none was wanted."""

    logprob_N: NDArray[np.float64]
    rank_N: NDArray[np.int32]
    entropy_N: NDArray[np.float64]
    top_id_Nk: NDArray[np.int32]
    top_logprob_Nk: NDArray[np.float64]
    rows: int  # contexts the network computed
    contexts: int  # distinct contexts there are


class Engine:
    """Scores forests under one model, by the path given: "forest", "batch" or "single"."""

    def __init__(self, model: Model, path: str, reason: str = "") -> None:
        self.model, self.path, self.reason = model, path, reason

    @cached_property
    def invariance(self) -> Invariance:
        """Whether a factor has the same bits in any company, and why; tried out when it is first asked for."""
        from chainrule.engine.invariance import check

        return check(self)

    @torch.inference_mode()
    def answer(
        self,
        question: Question,
        *,
        rows: int = ROWS,
        top: int = 0,
        progress: Progress | None = None,
        begun: Begun | None = None,
    ) -> Answer:
        """Every wanted factor of the forest, each computed once. Raises ModelError where the model gives NaN.

        begun: what has run already, on the forest path only.
        """
        forest, token_N = question.forest, torch.from_numpy(question.token_N).to(self.model.device)
        contexts = int((forest.end_N > np.arange(len(forest)) + 1).sum())
        answer = _empty(len(forest), top, contexts)
        if supports(self.model.head, top):
            reader = read_fused
        else:
            reader = partial(read, room_MV=room(self.model.head, self.model.device))
        done = computed = 0
        for step in self._steps(question, rows, begun):
            node_F = torch.from_numpy(step.node_F).to(self.model.device)
            row_F = torch.from_numpy(step.row_F).to(self.model.device)
            found = reader(self.model.head, step.hidden_RH, row_F, token_N[node_F], top)
            _store(answer, step.node_F, found)
            done, computed = done + step.new, computed + step.rows
            if progress is not None:
                progress(done, contexts)
        _refuse_nan(answer.logprob_N[question.wanted_N], self.model.name)
        return replace(answer, rows=computed)

    @torch.inference_mode()
    def distribution(self, question: Question, node: int, *, rows: int = ROWS) -> NDArray[np.float64]:
        """log Pr(v | the path down to `node`) for every v of the vocabulary; `node` must have a wanted child."""
        for step in self._steps(question, rows):
            here = np.flatnonzero(question.forest.parent_N[step.node_F] == node)
            if len(here):
                return self.read(step.hidden_RH[step.row_F[here[:1]]], room(self.model.head, self.model.device))
        raise ValueError(f"no factor is wanted behind node {node}")

    def read(self, hidden_1H: Tensor, room_MV: Tensor) -> NDArray[np.float64]:
        """log Pr(v | the context at this row) for every v of the vocabulary: V. Raises ModelError where it is NaN."""
        at = Distributions.at(self.model.head, hidden_1H, room_MV)
        logprob_V = (at.logits_MV[0].double() - at.logsumexp_M[0]).cpu().numpy()
        _refuse_nan(logprob_V, self.model.name)
        return logprob_V

    def _steps(self, question: Question, rows: int, begun: Begun | None = None) -> Iterator[Step]:
        asked = self.model, question.forest, question.wanted_N, partial(self._embed, question), rows
        return forest_path(*asked, begun) if begun is not None else PATHS[self.path](*asked)

    def _embed(self, question: Question, node_R: NDArray[np.int64]) -> Tensor:
        symbol_R = torch.from_numpy(question.forest.symbol_N[node_R]).to(self.model.device)
        embeddings_RD = self.model.inputs(symbol_R.clamp_min(0))
        if question.given_MD is not None:
            given = symbol_R < 0
            embeddings_RD[given] = question.given_MD[-1 - symbol_R[given]].to(embeddings_RD)
        return embeddings_RD


def _empty(nodes: int, top: int, contexts: int) -> Answer:
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


def _store(answer: Answer, node_F: NDArray[np.int64], found: object) -> None:
    for target, source in (("logprob_N", "logprob_F"), ("rank_N", "rank_F"), ("entropy_N", "entropy_F"),
                           ("top_id_Nk", "top_id_Fk"), ("top_logprob_Nk", "top_logprob_Fk")):  # fmt: skip
        getattr(answer, target)[node_F] = getattr(found, source).cpu().numpy()


def _refuse_nan(logprob: NDArray[np.float64], name: str) -> None:
    if np.isnan(logprob).any():
        raise ModelError(
            f"{name} gave NaN for {int(np.isnan(logprob).sum())} of {logprob.size} factors: "
            "its weights or the embeddings given overflow in this dtype; try dtype='float32'"
        )
