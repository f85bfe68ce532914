"""Scores of many sequences as arrays, in input order."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule._types import Bools, Floats, Ints
from chainrule.forest.forest import offsets, ranges
from chainrule.models.identity import Identity
from chainrule.results.columns import Row
from chainrule.results.items import Items
from chainrule.results.ordering import Ordering
from chainrule.results.provenance import WithWindow
from chainrule.results.rows import Source, arrays
from chainrule.results.score import Score, kind
from chainrule.results.shown import Shown, plotted
from chainrule.results.tabular import Tabular
from chainrule.results.token_lists import WithTokenLists
from chainrule.results.units import count
from chainrule.statistics import WithStatistics
from chainrule.text.base import TokenizerLike
from chainrule.text.requests import Request
from chainrule.text.spans import char_spans
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False)
class Scores(Items[Score], WithTokenLists, WithWindow, Shown, Tabular, WithStatistics):
    """Scores of S sequences with T tokens in all, as arrays. Item i is the `Score` of sequence i. Logs are natural, float64."""

    requests: list[Request]
    starts: list[Start]
    end: int | None
    offsets: Ints  # sequence s has the entries offsets[s] … offsets[s + 1] − 1 of the arrays below
    ids: Ints
    contexts: Ints
    window: int | None  # the most embeddings that a factor could be conditioned on; None if there is no limit
    windows: Ints
    tokenizer: TokenizerLike | None
    identity: Identity
    invariant: Verdict  # whether the numbers have the same bits with any other sequences in the batch
    rows: int  # contexts that the network computed for these scores
    distinct_contexts: int  # number of distinct contexts
    orderings: list[Ordering | None]  # the order of prediction of each sequence; None: left to right, as in causal models
    temperature: float = 1.0  # of every factor: softmax(logits / temperature)

    rows_per = {  # noqa: RUF012 (never written to)
        "sequence": lambda scores: arrays(sequence_rows(scores), index=np.arange(len(scores))),
        "token": lambda scores: arrays(token_rows(scores), index=np.repeat(np.arange(len(scores)), scores.tokens)),
    }

    def __len__(self) -> int:
        return len(self.requests)

    def _item(self, i: int, /) -> Score:
        t = slice(self.offsets[i], self.offsets[i + 1])
        return Score(
            request=self.requests[i],
            start=self.starts[i],
            end=self.end,
            ids=self.ids[t],
            statistics=self.statistics[t],
            contexts=self.contexts[t],
            window=self.window,
            windows=int(self.windows[i]),
            tokenizer=self.tokenizer,
            identity=self.identity,
            invariant=self.invariant,
            ordering=self.orderings[i],
            temperature=self.temperature,
            targets=None if self.targets is None else self.targets[t],
            draws=None if self.draws is None else self.draws[t],
        )

    def part(self, which: slice) -> Scores:
        """Some consecutive sequences. `rows` and `distinct_contexts` are still those of all."""
        first, stop, _ = which.indices(len(self))
        tokens = slice(self.offsets[first], self.offsets[max(first, stop)])
        return replace(
            self,
            requests=self.requests[first:stop],
            starts=self.starts[first:stop],
            offsets=self.offsets[first : max(first, stop) + 1] - self.offsets[first],
            ids=self.ids[tokens],
            statistics=self.statistics[tokens],
            contexts=self.contexts[tokens],
            windows=self.windows[first:stop],
            orderings=self.orderings[first:stop],
            targets=None if self.targets is None else self.targets[tokens],
            draws=None if self.draws is None else self.draws[tokens],
        )

    @cached_property
    def logprob(self) -> Floats:
        """log Pr of every sequence, in nats: the sum of its factors in float64."""
        bounds = pairwise(self.offsets.tolist())
        return np.array([math.fsum(self.logprobs[first:stop].tolist()) for first, stop in bounds], np.float64)

    @property
    def kinds(self) -> list[str]:
        """`Score.kind` of every sequence."""
        parts = zip(self.requests, self.starts, self.orderings, self.tokens.tolist(), strict=True)
        return [kind(*each) for each in parts]

    @property
    def tokens(self) -> Ints:
        """Number of factors of every sequence."""
        return np.diff(self.offsets)

    @cached_property
    def places(self) -> Ints:
        """`Score.places` of every sequence, concatenated."""
        position_T = ranges(np.array([len(r.ids) for r in self.requests], np.int64) - self.tokens, self.tokens)
        for s, (ordering, request) in enumerate(zip(self.orderings, self.requests, strict=True)):
            if ordering is not None:
                position_T[self.offsets[s] : self.offsets[s + 1]] = ordering.places - len(request.context_ids)
        return position_T

    @cached_property
    def least_context(self) -> Ints:
        """`Score.least_context` of every sequence."""
        return np.minimum.reduceat(self.contexts, self.offsets[:-1]) if len(self) else np.zeros(0, np.int64)

    @cached_property
    def cut(self) -> Bools:
        """`Score.cut` of every sequence."""
        before_S = [len(request.context_ids) for request in self.requests]
        known_T = self.places + np.repeat(np.array(before_S, np.int64), self.tokens)
        for s, ordering in enumerate(self.orderings):
            if ordering is not None:
                known_T[self.offsets[s] : self.offsets[s + 1]] = ordering.known
        known_T += np.repeat(np.array([start.id is not None for start in self.starts], bool), self.tokens)
        return np.logical_or.reduceat(self.contexts < known_T, self.offsets[:-1]) if len(self) else np.zeros(0, bool)

    @cached_property
    def bytes(self) -> Ints:
        """`Score.bytes` of every sequence."""
        pairs = enumerate(zip(self.requests, self.tokens.tolist(), strict=True))
        size_S = [
            len(request.text.encode())
            if request.text is not None and not request.segments and len(request.ids) == count
            else self[s].bytes
            for s, (request, count) in pairs
        ]
        return np.array(size_S, np.int64)

    @cached_property
    def char_spans(self) -> tuple[Ints, Ints]:
        """First character of every token, and one past the last, as in `Score.spans`; −1 for tokens without a span."""
        begin_T, stop_T = np.full(len(self.ids), -1), np.full(len(self.ids), -1)
        texts, bodies, numbers = [], [], []
        has_end = self.end is not None
        for s, (request, stop) in enumerate(zip(self.requests, self.offsets[1:].tolist(), strict=True)):
            if request.text is None or request.segments or self.tokenizer is None:
                continue
            texts.append(request.text)
            bodies.append(request.ids[: len(request.ids) - has_end])
            numbers.append(s)
            if has_end:
                begin_T[stop - 1] = stop_T[stop - 1] = len(request.text)
        if self.tokenizer is None or not texts:
            return begin_T, stop_T
        begin_B, stop_B = char_spans(self.tokenizer, texts, bodies)
        count_S = self.tokens[numbers] - has_end
        to_B = ranges(self.offsets[numbers], count_S)
        from_B = np.repeat(offsets([len(body) for body in bodies])[:-1], count_S) + self.places[to_B]
        begin_T[to_B], stop_T[to_B] = begin_B[from_B], stop_B[from_B]
        return begin_T, stop_T

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log factor over all tokens of the batch."""
        with np.errstate(over="ignore"):
            return float(np.exp(-self.logprob.sum() / max(1, self.tokens.sum())))

    def plot(self) -> altair.TopLevelMixin:
        """An Altair chart of the surprisal of each token in bits: one line for each of the first 8 texts.

        Raises OutputError without the extra `plot`. `save_plot` writes a chart to a file.
        """
        return plotted(self)

    def __repr__(self) -> str:
        sequences, tokens = count(len(self), "sequence"), count(int(self.tokens.sum()), "token")
        at = "" if self.temperature == 1 else f", temperature {self.temperature:g}"
        return f"Scores({sequences}, {tokens}{at}, perplexity {self.perplexity:.4g})"


def sequence_rows(scores: Scores) -> list[Source]:
    """The sources of a table of sequences; of their orders only if every sequence has one."""
    orders = [Source(Row.ORDERED, scores.orderings, batch=False)] if _ordered(scores) else []
    return [Source(Row.SEQUENCE, scores), *orders]


def token_rows(scores: Scores) -> list[Source]:
    """The sources of a table of tokens."""
    steps = [Source(Row.ORDERED_TOKEN, scores)] if _ordered(scores) else []
    asked = {Row.TOP: scores.top_ids.shape[1] > 0, Row.TARGETS: scores.targets is not None, Row.DRAWS: scores.draws is not None}
    lists = [Source(row, scores) for row, present in asked.items() if present]
    sequence_T = np.repeat(np.arange(len(scores)), scores.tokens)
    return [Source(Row.TOKEN, scores), Source(Row.SEQUENCE_OF_TOKEN, scores, take=sequence_T), *steps, *lists]


def _ordered(scores: Scores) -> bool:
    return len(scores) > 0 and all(ordering is not None for ordering in scores.orderings)


def logprobs_within_set(scores: Scores) -> Floats:
    """log Pr of each sequence normalised within the set of these sequences, in nats.

    Sequences with the same tokens and context are one member of the set. All values are −inf if every sequence is impossible.
    """
    members = {request.key: i for i, request in enumerate(scores.requests)}
    total = np.logaddexp.reduce(scores.logprob[list(members.values())])
    return scores.logprob - total if total > -np.inf else np.full(len(scores), -np.inf)


class Ranked(NamedTuple):
    """A candidate after a context."""

    index: int  # its number in the list of candidates
    text: Any
    logprob: float  # log Pr(candidate | context), nats
    score: Score
    logprob_within_set: float  # log probability normalised within the candidates, nats: its exp sums to 1 over the set

    def __repr__(self) -> str:
        share = math.exp(self.logprob_within_set)
        return f"Ranked({self.score.label}, log Pr = {self.logprob:.6f} nats, {share:.3g} of the set, index {self.index})"
