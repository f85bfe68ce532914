"""One scored sequence: its factors, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engine.invariance import Invariance
from chainrule.scores import units
from chainrule.text.policy import Start
from chainrule.text.requests import Request
from chainrule.text.segments import Segment
from chainrule.text.spans import Spans
from chainrule.text.tokenizer import Tokenizes


@dataclass(frozen=True, eq=False)
class Score:
    """log Pr of one sequence, and every factor of it. Arrays have one entry for each token scored (T).

    A given start symbol is in none of them; with start "given" neither is the first token. `kind` says whether the
    product of the factors is a joint probability or a conditional one.
    """

    request: Request
    start: Start
    end: int | None  # the id of the end symbol whose factor is the last one, or None
    ids: NDArray[np.int64]
    logprobs: NDArray[np.float64]  # log Pr(ids[i] | the embeddings before it), nats
    contexts: NDArray[np.int64]  # how many embeddings that were, start symbol included
    ranks: NDArray[np.int32]  # 1: the most probable token
    entropies: NDArray[np.float64]  # of the conditional distribution, nats
    top_ids: NDArray[np.int32]  # T × k: the most probable tokens in each place, where asked for
    top_logprobs: NDArray[np.float64]
    windows: int  # more than 1: the text was longer than the model's context
    tokenizer: Tokenizes | None
    model: str
    invariant: Invariance  # whether these numbers have the same bits in any other company

    @cached_property
    def logprob(self) -> float:
        """The sum of the factors in float64, in nats: log Pr of the sequence; −inf where it is impossible."""
        return math.fsum(self.logprobs.tolist())

    @property
    def kind(self) -> str:
        """ "joint" (every token has a factor) or "conditional" (on a context, or on a given first token)."""
        return "conditional" if len(self.request.context_ids) else self.start.kind

    @property
    def text(self) -> str | None:
        return self.request.text

    @property
    def context(self) -> str | None:
        return self.request.context

    @property
    def boundary(self) -> str | None:
        """ "same": context and text tokenise together as they do apart; "apart": they do not. None without a context."""
        return self.request.boundary

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens to read; a part of a character is written as bytes (\\xe2)."""
        return [self.tokenizer.token(int(i)) if self.tokenizer else f"<{i}>" for i in self.ids]

    @cached_property
    def token_bytes(self) -> list[bytes]:
        return [self.tokenizer.token_bytes(int(i)) if self.tokenizer else b"" for i in self.ids]

    @cached_property
    def spans(self) -> Spans | None:
        """Where each token lies in `text`; None for token ids, embeddings and pairs. The end symbol lies behind it."""
        if self.request.text is None or self.tokenizer is None or self.request.segments:
            return None
        found = self.tokenizer.spans(self.request.text, self.request.ids[: len(self.request.ids) - (self.end is not None)])
        skip = len(self.request.ids) - len(self.ids)  # a first token that is given
        size, length = len(self.request.text.encode()), len(self.request.text)
        behind = self.end is not None
        return Spans(
            found.byte_spans[skip:] + [(size, size)] * behind,
            found.char_spans[skip:] + [(length, length)] * behind,
            found.exact,
        )

    @cached_property
    def bytes(self) -> int:
        """UTF-8 bytes of the text that was scored (not of its context, nor of a first token that is given)."""
        if self.request.text is None or self.request.segments:
            return sum(map(len, self.token_bytes[: len(self.ids) - (self.end is not None)]))
        given = len(self.request.ids) - len(self.ids)
        begin = self.spans.byte_spans[0][0] if given and self.spans else 0
        return len(self.request.text.encode()) - begin

    @property
    def bits(self) -> float:
        """−log2 Pr: the surprisal of the whole sequence."""
        return units.bits(self.logprob)

    @property
    def surprisals_bits(self) -> NDArray[np.float64]:
        """−log2 of each factor."""
        return -self.logprobs / units.LN2

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log factor."""
        return units.perplexity(self.logprob, len(self.ids))

    @property
    def bits_per_byte(self) -> float | None:
        return units.bits_per_byte(self.logprob, self.bytes)

    @property
    def segments(self) -> dict[str, float]:
        """For a pair [CLS] A [SEP] B [SEP]: the sum over each segment, in nats; together they are `logprob`."""
        return {s.name: math.fsum(self.logprobs[s.start : s.stop].tolist()) for s in self._all_segments()}

    def top(self, place: int) -> list[tuple[str, float]]:
        """The most probable tokens in the place of token `place`, with their log probabilities (top= asks for them)."""
        name = self.tokenizer.token if self.tokenizer else "<{}>".format
        pairs = zip(self.top_ids[place].tolist(), self.top_logprobs[place].tolist(), strict=True)
        return [(name(id), logprob) for id, logprob in pairs]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it (infinities stay floats)."""
        from chainrule.scores.tables import score_dict

        return score_dict(self)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shown = repr(self.text) if self.text is not None else f"{len(self.ids)} token ids"
        what = "Pr" if self.kind == "joint" else "Pr given its context"
        short = shown if len(shown) < 60 else shown[:57] + "..."
        return f"{type(self).__name__}(log {what} = {self.logprob:.6f} nats, {len(self)} tokens, {short})"

    def __rich__(self) -> Any:
        from chainrule.scores.views import score_panel

        return score_panel(self)

    def _repr_html_(self) -> str:
        from chainrule.scores.views import score_html

        return score_html(self)

    def _all_segments(self) -> list[Segment]:
        found = self.request.segments
        return [*found, Segment("end", len(self.ids) - 1, len(self.ids))] if found and self.end is not None else found
