"""A generated text: its score under the raw model, and how it was generated."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from chainrule._types import Floats
from chainrule.results.columns import Row
from chainrule.results.conditional import Alternative
from chainrule.results.rows import record
from chainrule.results.score import Score

if TYPE_CHECKING:
    from chainrule.generation.search import Certificate


@dataclass(frozen=True)
class Step:
    """A generated token, as passed to `on_token` during generation, and as a `Stream` gives it."""

    sample: int  # the number of the sample; 0 for a beam or a search, which report their best hypothesis
    step: int  # tokens generated before it
    context: int  # number of embeddings that it is conditioned on, start symbol included
    token: str
    id: int
    logprob: float  # under the model, nats
    running_logprob: float  # of the generated tokens up to this one, nats
    alternatives: list[Alternative]  # the most probable tokens at its position; empty without top=, and of a beam or a search
    finish: str | None = None  # of the last token of a sample: "end", "stop" or "length", as in `Generated`

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)

    def __str__(self) -> str:
        others = "  ".join(f"{a.token!r} {math.exp(a.logprob):.3g}" for a in self.alternatives)
        return (
            f"{self.step:>4}  {self.context:>5}  {self.token!r:<16} {self.probability:<11.6g} log {self.logprob:>10.6f}"
            f"   so far {self.running_logprob:>12.6f}" + (f"   of {others}" if others else "")
        )

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"probability": self.probability, "alternatives": [a._asdict() for a in self.alternatives]}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Generated(Score):
    """A generated text. It is the Score that `score(ids, context=…)` gives: the same numbers, and the same bits if `invariant`.

    The tokenizer may encode its text as other tokens (`canonical` is False then); the score is that of `ids`.
    """

    method: str
    finish: str  # "end" (the end symbol, the last of `ids`), "stop", "length", or "among" a closed set of texts
    running_logprobs: Floats  # the factors as computed during generation; they differ from `logprobs` by rounding
    sampling: str = ""  # how the sampling distribution differs from the model's; "" if it does not
    sampling_logprob: float | None = None  # log probability under that distribution, nats
    seed: int | None = None  # the same seed gives the same text
    certificate: Certificate | None = None  # set by method "best"
    canonical: bool | None = None  # whether context and text, joined, are encoded as these tokens; None: unknown

    @classmethod
    def of(cls, score: Score, **own: Any) -> Generated:
        """The score as a generated text. own: the fields that a Score does not have."""
        return cls(**{f.name: getattr(score, f.name) for f in fields(score)} | own)

    @property
    def text(self) -> str | None:
        """The generated text without the end symbol. Bytes that are not a whole character appear as �."""
        if self.request.text is not None or self.tokenizer is None:
            return self.request.text
        own = self.request.ids[: len(self.request.ids) - (self.end is not None)]  # of an infilled text, given tokens included
        return b"".join(self.tokenizer.token_bytes(int(id)) for id in own).decode("utf-8", "replace")

    def describe(self) -> str:
        """How it was generated, in one line."""
        ends = {"end": "the end symbol", "stop": "a stop text", "length": "its length", "among": "the set of texts"}
        parts = [f"{self.method}, ended by {ends[self.finish]}"]
        if self.sampling_logprob is not None:
            parts.append(
                f"log probability {self.sampling_logprob:.6f} under the distribution it was chosen from ({self.sampling})"
            )
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if (proof := self.certificate) is not None:
            parts.append(
                f"none is more probable ({proof.contexts} contexts)" if proof.certain
                else f"not proven: another may have up to {proof.logprob_bound:.6f} ({proof.contexts} contexts)"
            )  # fmt: skip
        if self.canonical is False:
            parts.append("the tokenizer encodes this text as other tokens")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        certificate = {} if self.certificate is None else {"certificate": vars(self.certificate)}
        return super().to_dict() | record(Row.GENERATION, self) | certificate
