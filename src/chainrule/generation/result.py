"""What was grown: a Score of the raw model, and how it came about."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from chainrule._types import Floats
from chainrule.generation.search import Certificate
from chainrule.results.columns import Row
from chainrule.results.conditional import Alternative
from chainrule.results.rows import record
from chainrule.results.score import Score


@dataclass(frozen=True)
class Step:
    """One token that was added, as `on_token` is told of it while a text grows."""

    sample: int  # which of the texts that grow side by side; 0 for a beam or a search, whose best is told
    step: int  # tokens that were grown before it
    context: int  # embeddings it is conditioned on, start symbol included
    token: str
    id: int
    logprob: float  # under the model, nats
    running_logprob: float  # of all that was grown, this token included
    alternatives: list[Alternative]  # the most probable tokens in its place (top= asks for them)

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
    """A text that was grown, as the Score that `score(ids, context=…)` gives: the same numbers and, where `invariant`, bits.

    Its text may tokenise into other tokens than those that were grown (`canonical` False); the score is that of `ids`.
    """

    method: str
    finish: str  # "end" (the end symbol, the last of `ids`), "stop", "length", or "among" a closed set of texts
    running_logprobs: Floats  # the factors as they were seen while it grew; they differ by rounding
    sampling: str = ""  # how the distribution drawn from departs from the model's; "" where it does not
    sampling_logprob: float | None = None  # log probability of having drawn this, under that distribution, nats
    seed: int | None = None  # of the draw: the same seed, and the same text is drawn again
    certificate: Certificate | None = None  # of method "best"
    canonical: bool | None = None  # whether context and text, joined, tokenise into just these tokens

    @classmethod
    def of(cls, score: Score, **grown: Any) -> Generated:
        """`score`, and how it was grown."""
        return cls(**{f.name: getattr(score, f.name) for f in fields(score)} | grown)

    @property
    def text(self) -> str | None:
        """What was grown, without the end symbol; � stands for bytes that are no character (yet)."""
        if self.request.text is not None or self.tokenizer is None:
            return self.request.text
        own = self.request.ids[: len(self.request.ids) - (self.end is not None)]  # in an order, with those that were given
        return b"".join(self.tokenizer.token_bytes(int(id)) for id in own).decode("utf-8", "replace")

    def describe(self) -> str:
        """How it came about, in one line."""
        ends = {"end": "the end symbol", "stop": "a text to stop at", "length": "its length", "among": "the set of texts"}
        parts = [f"{self.method}, ended by {ends[self.finish]}"]
        if self.sampling_logprob is not None:
            parts.append(f"log probability {self.sampling_logprob:.6f} under what it was chosen from ({self.sampling})")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if (shown := self.certificate) is not None:
            parts.append(
                f"none is more probable ({shown.contexts} contexts)" if shown.certain
                else f"not proven: another may have up to {shown.bound:.6f} ({shown.contexts} contexts were spent)"
            )  # fmt: skip
        if self.canonical is False:
            parts.append("the text has other tokens when it is tokenised")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        certificate = {} if self.certificate is None else {"certificate": vars(self.certificate)}
        return super().to_dict() | record(Row.GENERATION, self) | certificate
