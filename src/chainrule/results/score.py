"""The score of one sequence: its factors, and the quantities computed from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._types import Ints
from chainrule.results import units
from chainrule.results.columns import Row
from chainrule.results.detection import WithDetection
from chainrule.results.ordering import Ordering
from chainrule.results.provenance import WithWindow
from chainrule.results.rows import record, records
from chainrule.results.scored_text import ScoredText
from chainrule.results.shown import plotted
from chainrule.results.token_lists import WithTokenLists
from chainrule.text.base import Spans, token_formatter
from chainrule.text.continuation import Segment
from chainrule.text.requests import Request
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

if TYPE_CHECKING:
    import altair


def kind(request: Request, start: Start, ordering: Ordering | None, tokens: int) -> str:
    """See `Score.kind`. tokens: the number of factors."""
    given = len(request.context_ids) or (ordering is not None and len(ordering.given)) or tokens < len(request.ids)
    return "conditional" if given else start.kind


@dataclass(frozen=True, eq=False)
class Score(WithTokenLists, WithWindow, ScoredText, WithDetection):
    """log Pr of one sequence with all of its factors. Arrays have one entry for each of the T tokens scored.

    The start symbol has no entry; with start "given", neither has the first token. `kind` says whether the product of the
    factors is a joint or a conditional probability.
    """

    start: Start
    end: int | None  # the id of the end symbol whose factor is the last one, or None
    contexts: Ints  # number of embeddings that each factor is conditioned on, start symbol included
    window: int | None  # the most embeddings that a factor could be conditioned on; None if there is no limit
    windows: int  # more than 1 if the text is longer than the model's context or the window; see `cut`
    invariant: Verdict  # whether the numbers have the same bits with any other sequences in the batch
    ordering: Ordering | None = None  # the order of prediction; None: left to right, as in causal models
    temperature: float = 1.0  # of every factor: softmax(logits / temperature)

    @cached_property
    def logprob(self) -> float:
        """log Pr of the sequence: the sum of its factors in float64, in nats; −inf if it is impossible."""
        return math.fsum(self.logprobs.tolist())

    @property
    def kind(self) -> str:
        """ "joint" if every token has a factor, "conditional" if a context or other tokens are given."""
        return kind(self.request, self.start, self.ordering, len(self))

    @property
    def condition(self) -> str:
        """A line for readers: what the first token is conditioned on."""
        how = self.start.describe()
        if self.start.id is None:
            return how
        if len(self.request.context_ids):
            return how.replace("joint: the first token", "conditional: the context is given; the first token of it", 1)
        if self.ordering is None and (given := len(self.request.ids) - len(self)):
            first = f"conditional: the first {units.count(given, 'token')} of the text are given; the first of them"
            return how.replace("joint: the first token", first, 1)
        return how

    @property
    def least_context(self) -> int:
        """The fewest embeddings that a factor was conditioned on, start symbol included."""
        return int(self.contexts.min())

    @property
    def cut(self) -> bool:
        """Whether a window left some of the known embeddings out of the context of a factor."""
        known = self.places + len(self.request.context_ids) if self.ordering is None else self.ordering.known
        return bool((self.contexts < known + (self.start.id is not None)).any())

    @property
    def remarks(self) -> list[str]:
        """Lines for readers of the score: contexts that were cut, and how names of control symbols were read."""
        lines = []
        if self.temperature != 1:
            lines.append(f"temperature {self.temperature:g}: each factor is that of the logits divided by {self.temperature:g}")
        if self.cut:
            lines.append(f"a window shortened the context of some factors: the shortest has {self.least_context} embeddings")
        for where, special in (("text", self.special), ("context", self.context_special)):
            if special is not None:
                how = "plain text" if special == "text" else "the symbols"
                lines.append(f"the names of control symbols in the {where} were read as {how}")
        return lines

    @property
    def at_temperature(self) -> str:
        """ " at temperature 0.7"; empty for temperature 1."""
        return "" if self.temperature == 1 else f" at temperature {self.temperature:g}"

    @property
    def boundary(self) -> str | None:
        """ "same" if context and text tokenise together as they do separately, else "apart"; None without a context."""
        return self.request.boundary

    @cached_property
    def token_bytes(self) -> list[bytes]:
        return [self.tokenizer.token_bytes(int(i)) if self.tokenizer else b"" for i in self.ids]

    @cached_property
    def spans(self) -> Spans | None:
        """The part of `text` that each token spells, empty for the end symbol; None for token ids, embeddings and pairs."""
        if self.request.text is None or self.tokenizer is None or self.request.segments:
            return None
        has_end = self.end is not None
        spans = self.tokenizer.spans(self.request.text, self.request.ids[: len(self.request.ids) - has_end])
        positions = self.places[: len(self.ids) - has_end].tolist()
        size, length = len(self.request.text.encode()), len(self.request.text)
        return Spans(
            [spans.byte_spans[i] for i in positions] + [(size, size)] * has_end,
            [spans.char_spans[i] for i in positions] + [(length, length)] * has_end,
            spans.exact,
        )

    @property
    def places(self) -> Ints:
        """The position in the text of each entry: all positions except given ones."""
        if self.ordering is not None:
            return self.ordering.places - len(self.request.context_ids)
        return np.arange(len(self.request.ids) - len(self.ids), len(self.request.ids))

    def context_positions(self, column: int) -> Ints:
        """The positions that a factor was conditioned on, in the order in which they became known, a context's first.

        In a window they are the most recent ones. The start symbol, if there is one, precedes them and has no position.
        """
        position = len(self.request.context_ids) + int(self.places[column])
        known = np.arange(position) if self.ordering is None else self.ordering.contexts_of(column)
        return known[len(known) - (int(self.contexts[column]) - (self.start.id is not None)) :]

    @cached_property
    def bytes(self) -> int:
        """UTF-8 bytes of the text that was scored, without its context and without a given first token."""
        if self.request.text is None or self.request.segments:
            return sum(map(len, self.token_bytes[: len(self.ids) - (self.end is not None)]))
        given = np.setdiff1d(np.arange(len(self.request.ids)), self.places).tolist()
        if len(given) > 1:
            return sum(map(len, self.token_bytes))
        return len(self.request.text.encode()) - (self._bytes_of(given[0]) if given and self.spans else 0)

    @property
    def bits(self) -> float:
        """−log2 Pr: the surprisal of the whole sequence."""
        return units.bits(self.logprob)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log factor; infinite if the sequence is impossible."""
        return units.perplexity(self.logprob, len(self.ids))

    @property
    def bits_per_byte(self) -> float | None:
        return units.bits_per_byte(self.logprob, self.bytes)

    @property
    def segment_logprobs(self) -> dict[str, float]:
        """Of a pair [CLS] A [SEP] B [SEP], the sum of the factors of each segment, in nats. They add up to `logprob`."""
        return {s.name: math.fsum(self.logprobs[s.start : s.stop].tolist()) for s in self._all_segments()}

    def top(self, column: int) -> list[tuple[str, float]]:
        """The most probable tokens at the position of factor `column`, with log probabilities in nats; empty without top=."""
        name = token_formatter(self.tokenizer)
        pairs = zip(self.top_ids[column].tolist(), self.top_logprobs[column].tolist(), strict=True)
        return [(name(id), logprob) for id, logprob in pairs]

    def summary(self) -> dict[str, Any]:
        """The columns of a sequence, in plain Python."""
        ordering = {} if self.ordering is None else {"ordering": self.ordering.to_dict()}
        segments = {"segment_logprobs": self.segment_logprobs} if self.request.segments else {}
        return record(Row.SEQUENCE, self) | ordering | segments

    def to_dict(self) -> dict[str, Any]:
        """The summary and every factor, for JSON. Infinities are floats."""
        rows = {
            Row.FACTOR: True,
            Row.SPAN: self.spans is not None,
            Row.ORDERED_FACTOR: self.ordering is not None,
            Row.TOP_FACTOR: self.top_ids.shape[1] > 0,
            Row.TARGETS: self.targets is not None,
            Row.DRAWS: self.draws is not None,
        }
        return (
            self.summary() | self.provenance() | {"factors": records([row for row, present in rows.items() if present], self)}
        )

    def plot(self) -> altair.TopLevelMixin:
        """An Altair chart of the surprisal of each token, with the entropy of its distribution as a thin line, in bits.

        Raises OutputError without the extra `plot`. `save_plot` writes a chart to a file.
        """
        return plotted(self)

    def __repr__(self) -> str:
        name = ("Pr" if self.kind == "joint" else "Pr given its context") + self.at_temperature
        tokens = units.count(len(self), "token")
        return f"{type(self).__name__}(log {name} = {self.logprob:.6f} nats, {tokens}, {self.label})"

    def _bytes_of(self, given: int) -> int:
        """UTF-8 bytes of the text that belong to token `given`, which is not scored."""
        spans, size = (self.spans.byte_spans if self.spans else []), len((self.text or "").encode())
        return (spans[given][0] if given < len(spans) else size) - (spans[given - 1][1] if given else 0)

    def _all_segments(self) -> list[Segment]:
        segments = self.request.segments
        return [*segments, Segment("end", len(self.ids) - 1, len(self.ids))] if segments and self.end is not None else segments
