"""Forest × model → log Pr of every node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.execution import CachedPrefix, HiddenStates, Jobs, batch_jobs, forest_jobs
from chainrule.engine.head.fused import read_fused, supports
from chainrule.engine.head.opened import Opened, opening_reader
from chainrule.engine.head.readout import Distributions, read, workspace
from chainrule.engine.head.reductions import Columns, factor_reductions
from chainrule.engine.inputs.node_inputs import Tokens
from chainrule.engine.prefixes.reuse import Reuse
from chainrule.engine.prefixes.store import PrefixCache
from chainrule.engine.question import DEFAULTS, Answer, Progress, Question, Settings, refuse_nan
from chainrule.errors import ModelError
from chainrule.models.base import Model
from chainrule.ops import workers
from chainrule.ops.conditions import thread_state
from chainrule.ops.matmul import usual_rows
from chainrule.ops.sealed import sealed
from chainrule.ops.transfer import Arrays, returning
from chainrule.verdict import Verdict

T = TypeVar("T")
Job = Callable[[], Iterator[HiddenStates]]
PartOfAnswer = tuple[Ints, Ints, Callable[[], Arrays], int, int]  # see `Engine._factors`


class Findings(Protocol):
    """What the probe found about one model, kept in the cache (`selfcheck.kept`)."""

    recalled: bool  # whether it was there before

    def keep(self, engine: Engine) -> None: ...

    def forget(self) -> None: ...


STRATEGIES = {"forest": forest_jobs, "batch": batch_jobs, "single": partial(batch_jobs, padded=False)}


class Engine:
    """Scores forests under one model with one strategy: "forest", "batch" or "single"."""

    def __init__(self, model: Model, strategy: str, reason: str = "") -> None:
        self.model, self.strategy, self.reason = model, strategy, reason
        self.invariances: dict[tuple[int, bool], Verdict] = {}  # filled by `selfcheck.invariance`, one for each state
        self.findings: Findings | None = None  # where such findings are kept, for a model of files
        self.prefixes = PrefixCache()  # what later calls reuse; see `LanguageModel.cache_prefixes`

    @sealed
    def answer(
        self,
        question: Question,
        how: Settings = DEFAULTS,
        *,
        cached_prefix: CachedPrefix | None = None,
    ) -> Answer:
        """Every wanted factor of the forest, each computed once. Raises ModelError if the model gives NaN.

        how: `rows`, `top`, `progress`, `temperature` and `sets`. cached_prefix: rows computed earlier; with it, the forest
        strategy is used.
        """
        if cached_prefix is not None or not self._reuses(question):
            return self._answer(question, how, cached_prefix)
        return self._answer_reusing(question, how)

    def _answer_reusing(self, question: Question, how: Settings, *, whole: bool = False) -> Answer:
        """As `answer`, with the prefixes that are kept, and keeping others. Paths that several parts of the forest would
        compute are computed first. whole: see `Reuse`."""
        look = partial(self._reuse, question, how, whole=whole)
        reuse, first = look(), 0
        if self._threads > 1 and (trunks := reuse.trunks()) is not None:
            first = self._answer_reusing(trunks, replace(how, progress=None), whole=True).rows
            reuse = look()
        answer = self._answer(question, how, reuse=reuse)
        reuse.keep(answer)
        return replace(answer, rows=first + answer.rows)

    def _reuse(self, question: Question, how: Settings, *, whole: bool = False) -> Reuse:
        root = -getattr(self.model, "writes", int)()  # what was computed before a change of the weights is not found
        return Reuse(self.prefixes, root, question, how, whole=whole)

    def _reuses(self, question: Question) -> bool:
        """Whether kept prefixes have the bits of this call: known tokens, and a state of this thread that was tried."""
        verdict = self.invariances.get(thread_state()) if self.prefixes.memory else None
        return bool(verdict) and isinstance(question.alphabet, Tokens)

    def _answer(
        self, question: Question, how: Settings, cached_prefix: CachedPrefix | None = None, reuse: Reuse | None = None
    ) -> Answer:
        contexts = question.contexts
        answer = Answer.empty(len(question.forest), how, contexts, question.asked)
        left = question if reuse is None else replace(question, wanted_N=reuse.fill(answer))
        done, computed = 0 if reuse is None else reuse.contexts, 0
        if done and how.progress is not None:
            how.progress(done, contexts)
        # A GPU works on one chunk while the next is prepared. Storing factors waits for their copy: one chunk later.
        delay = 0 if self.model.device.type == "cpu" else 1
        found = self._computed(left, how.rows, partial(self._run, left, how), cached_prefix, reuse)
        try:
            for node_F, index_X, factors, new, total in _delayed(found, delay):
                answer.store(node_F, factors(), index_X)
                done, computed = done + new, computed + total
                if how.progress is not None:
                    how.progress(done, contexts)
        finally:
            found.close()  # stops the threads after an error; a traceback may keep the generator alive
        refuse_nan(answer.logprobs[question.wanted_N], self.model.name)
        return replace(answer, rows=computed)

    def _computed(
        self,
        question: Question,
        rows: int | None,
        make: Callable[[], Callable[[Job], Iterator[PartOfAnswer]]],
        cached_prefix: CachedPrefix | None = None,
        reuse: Reuse | None = None,
    ) -> Generator[PartOfAnswer, None, None]:
        """The factors of all jobs, by one thread or by several. make: as `_run`, for each thread."""
        threads = self._threads
        jobs, count = self._jobs(question, rows, threads, cached_prefix, reuse)
        if count > 1:
            yield from workers.results(jobs, make, count, threads // count)
        else:
            yield from chain.from_iterable(map(make(), jobs))

    @property
    def _threads(self) -> int:
        """The number of threads that may compute parts of a forest."""
        return torch.get_num_threads() if self.model.device.type == "cpu" and workers.available() else 1

    def _run(self, question: Question, how: Settings) -> Callable[[Job], Iterator[PartOfAnswer]]:
        """The function that computes the factors of one job after another, with memory of its own for logits."""
        reader: Callable[..., Columns] = read_fused
        if not supports(self.model.head, factor_reductions(how.top, how.sets, question.asked), how.temperature):
            reader = partial(read, workspace_MV=workspace(self.model.head, self.model.device))
        reader = partial(reader, self.model.head, top=how.top, temperature=how.temperature, sets=how.sets)
        return lambda job: self._factors(job(), reader, question)

    def _factors(
        self, parts: Iterator[HiddenStates], reader: Callable[..., Columns], question: Question
    ) -> Iterator[PartOfAnswer]:
        """For each part: nodes, the indices of the tokens asked for at them, a function that waits for their factors, the
        number of contexts computed for the first time, and of all rows computed."""
        token_N = question.token_N
        for part in parts:
            asked, index_X = question.asked.select(part.node_F)
            row_F, token_F = torch.from_numpy(part.row_F), torch.from_numpy(token_N[part.node_F])
            factors = reader(part.hidden_RH, row_F, token_F, asked=asked)
            yield part.node_F, index_X, returning(factors), part.new, part.rows

    @sealed
    def opened(self, question: Question, *, top: int = 5, temperature: float = 1.0, progress: Progress | None = None) -> Opened:
        """The logits that every wanted factor of the forest is read from, with the norm of the hidden state; see `Opened`.

        They are computed as `answer` computes the factors, so logit − log-sum-exp has the bits of log Pr if the model is
        row-invariant. top: the number of largest logits. progress: as in `Settings`. Raises ModelError if the model gives NaN.
        """
        opened, done = Opened.empty(len(question.forest), min(top, self.model.head.size)), 0

        def make() -> Callable[[Job], Iterator[PartOfAnswer]]:
            reader = opening_reader(self.model.head, self.model.device, opened.top_ids.shape[1], temperature)
            return lambda job: self._factors(job(), reader, question)

        for node_F, _, columns, new, _ in self._computed(question, None, make):
            opened.store(node_F, columns())
            done += new
            if progress is not None:
                progress(done, question.contexts)
        refuse_nan(opened.logits[question.wanted_N], self.model.name)
        return opened

    @sealed
    def distributions(self, question: Question, node_B: Ints, *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | the path to each node) for every token v of the vocabulary, B × V. Each node must have a wanted child."""
        workspace_MV = workspace(self.model.head, self.model.device)
        logprob_BV, missing_B = np.empty((len(node_B), self.model.head.size)), np.ones(len(node_B), bool)
        reuse = self._reuse(question, DEFAULTS) if self._reuses(question) else None
        for part in chain.from_iterable(job() for job in self._jobs(question, rows, reuse=reuse).jobs):
            row_of = dict(zip(question.forest.parent_N[part.node_F].tolist(), part.row_F.tolist(), strict=True))
            here_B = missing_B & np.isin(node_B, list(row_of))
            if here_B.any():
                row_M = [row_of[node] for node in node_B[here_B].tolist()]
                logprob_BV[here_B], missing_B = self.read(part.hidden_RH[row_M], workspace_MV, temperature), missing_B & ~here_B
            if not missing_B.any():
                break
        if missing_B.any():
            raise ValueError(f"node {int(node_B[missing_B][0])} has no child whose factor is wanted")
        if reuse is not None:
            reuse.keep()
        return logprob_BV

    def read(self, hidden_MH: Tensor, workspace_MV: Tensor, temperature: float = 1.0) -> Floats:
        """log Pr(v | the context at each row) for every token v of the vocabulary, M × V. Raises ModelError on NaN."""
        parts = [
            Distributions.at(self.model.head, part, workspace_MV, temperature=temperature).logprobs(len(part))
            for part in hidden_MH.split(len(workspace_MV))
        ]
        logprob_MV = torch.cat(parts).cpu().numpy()
        refuse_nan(logprob_MV, self.model.name)
        return logprob_MV

    def _jobs(
        self,
        question: Question,
        rows: int | None,
        threads: int = 1,
        cached_prefix: CachedPrefix | None = None,
        reuse: Reuse | None = None,
    ) -> Jobs:
        rows = rows or usual_rows(self.model)
        arguments = self.model, question.forest, question.wanted_N, partial(self._embed, question), rows, threads
        if cached_prefix is not None or reuse is not None:
            return forest_jobs(*arguments, cached_prefix, reuse)
        return STRATEGIES[self.strategy](*arguments)

    def refuse_unfit(self, ids_N: Ints) -> None:
        """Raises ModelError if the network gives one of the ids a special meaning within a text, such as padding."""
        if self.model.unfit and (special := np.intersect1d(ids_N, self.model.unfit)).size:
            raise ModelError(
                f"{self.model.name} does not treat the symbol of id {int(special[0])} within a text as a token (but as "
                "padding, or as a placeholder for an image), so such a text cannot be scored exactly; leave that symbol out"
            )

    def _embed(self, question: Question, node_R: Ints) -> Tensor:
        symbol_R = question.forest.symbol_N[node_R]
        self.refuse_unfit(question.alphabet.tokens(symbol_R))
        return question.alphabet.inputs(self.model, symbol_R)


def _delayed(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items, each yielded once `count` later ones have been produced."""
    queue: deque[T] = deque()
    for item in items:
        queue.append(item)
        if len(queue) > count:
            yield queue.popleft()
    yield from queue
