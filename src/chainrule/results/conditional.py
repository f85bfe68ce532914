"""The next-token distribution Pr(· | e_0 … e_{i−1})."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule._checks import is_whole
from chainrule._types import Floats
from chainrule.errors import InputError, short
from chainrule.models.identity import Identity
from chainrule.results import units
from chainrule.results.provenance import WithProvenance
from chainrule.results.shown import Shown, as_text
from chainrule.text.base import TokenizerLike, token_formatter
from chainrule.text.start_end import Start


class Alternative(NamedTuple):
    """A possible next token."""

    token: str
    id: int
    logprob: float  # nats


@dataclass(frozen=True, eq=False)
class Conditional(Shown, WithProvenance):
    """log Pr(v | context) for each of the V tokens v of the vocabulary, in nats. The probabilities sum to 1."""

    logprobs: Floats
    context: int  # number of embeddings that it is conditioned on, start symbol included
    start: Start
    tokenizer: TokenizerLike | None
    identity: Identity
    context_special: str | None = None  # how names of control symbols in the context were read: "text" or "parse"
    temperature: float = 1.0  # of softmax(logits / temperature)

    @property
    def entropy(self) -> float:
        """Entropy of the distribution, in nats."""
        p = np.exp(self.logprobs)
        return max(0.0, float(-np.dot(p[p > 0], self.logprobs[p > 0])))

    @property
    def entropy_bits(self) -> float:
        """Entropy of the distribution, in bits."""
        return self.entropy / units.LN2

    def top(self, count: int = 5) -> list[Alternative]:
        """The `count` most probable tokens, most probable first. Ties are ordered by id. Raises InputError."""
        if not is_whole(count, 1):
            raise InputError(f"top needs a whole number, 1 or more, not {short(count)}")
        return [self._alternative(int(i)) for i in np.argsort(-self.logprobs, kind="stable")[:count]]

    def logprob(self, token: str | int) -> float:
        """log Pr(token | context), in nats. token: an id, or a text that is a single token. Raises InputError."""
        return float(self.logprobs[self._id(token)])

    def rank(self, token: str | int) -> int:
        """One more than the number of more probable tokens: 1 for the most probable. Raises InputError."""
        return int((self.logprobs > self.logprobs[self._id(token)]).sum()) + 1

    def to_dict(self, top: int = 10) -> dict[str, Any]:
        return {
            "context": self.context,
            "start": self.start.policy,
            "start_id": self.start.id,
            "temperature": self.temperature,
            "entropy_bits": self.entropy_bits,
            "top": [
                {"index": i, "rank": i + 1} | a._asdict() | {"probability": math.exp(a.logprob)}
                for i, a in enumerate(self.top(top))
            ],
            "context_special": self.context_special,
        } | self.provenance()

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        best = ", ".join(f"{a.token!r} {math.exp(a.logprob):.3g}" for a in self.top(3))
        at = "" if self.temperature == 1 else f", temperature {self.temperature:g}"
        return f"Conditional(of {self.context} embeddings{at}, entropy {self.entropy_bits:.4g} bits: {best} …)"

    def _alternative(self, id: int) -> Alternative:
        token = token_formatter(self.tokenizer)(id)
        return Alternative(token, id, float(self.logprobs[id]))

    def _id(self, token: str | int) -> int:
        if isinstance(token, str):
            if self.tokenizer is None:
                raise InputError("this model has no tokenizer: pass a token id")
            ids = self.tokenizer.encode_continuations([token], "parse")[0]  # accepts names of control symbols
            if len(ids) != 1:
                raise InputError(f"{token!r} is {len(ids)} tokens, not one; score it with rank(context, [{token!r}])")
            return int(ids[0])
        if not is_whole(token, 0, len(self.logprobs) - 1):
            raise InputError(f"{short(token)} is not a token id from 0 to {len(self.logprobs) - 1}")
        return int(token)
