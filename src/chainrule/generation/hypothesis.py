"""A hypothesis: one continuation while it is generated, and the criteria that stop it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.text.base import TokenizerLike


@dataclass
class Hypothesis:
    """Tokens after the prefix, with their log probabilities as they were seen during generation."""

    node: int = 0  # of the decoding tree, where the hypothesis ends
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)  # under the model
    ranks: list[int] = field(default_factory=list)  # by `sampling` only
    entropies: list[float] = field(default_factory=list)
    sampling_logprobs: list[float] = field(default_factory=list)  # under the distribution sampled from, where it differs
    tops: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # ids and log probabilities of the alternatives
    finish: str | None = None  # "end", "stop", "length"; None: not finished

    @property
    def logprob(self) -> float:
        return math.fsum(self.logprobs)

    def with_token(self, token: int, logprob: float, criteria: StoppingCriteria) -> Hypothesis:
        """The hypothesis with one more token; its node stays that of the token before."""
        hypothesis = Hypothesis(self.node, [*self.ids, token], [*self.logprobs, logprob])
        hypothesis.finish = criteria.finish(hypothesis.ids)
        return hypothesis


@dataclass(frozen=True)
class StoppingCriteria:
    """The end symbol, if any, the stop texts, and the most tokens."""

    max_tokens: int
    end_id: int | None
    stops: tuple[str, ...]
    tokenizer: TokenizerLike | None  # one is needed for stop texts

    def finish(self, ids: list[int]) -> str | None:
        """Why a sequence of these tokens is finished; None where it is not."""
        if ids[-1] == self.end_id:
            return "end"
        if self.stops and self.tokenizer is not None and self._stopped(ids, self.tokenizer):
            return "stop"
        return "length" if len(ids) >= self.max_tokens else None

    def _stopped(self, ids: list[int], tokenizer: TokenizerLike) -> bool:
        """Whether the last token completes a stop text. Only as many bytes are read as may hold it."""
        wanted = [stop.encode() for stop in self.stops]
        last = tokenizer.token_bytes(ids[-1])
        tail, need = last, max(map(len, wanted)) - 1 + len(last)
        for id in reversed(ids[:-1]):
            if len(tail) >= need:
                break
            tail = tokenizer.token_bytes(id) + tail
        return any(stop in tail[-need:] for stop in wanted)


Report = Callable[[int, Hypothesis], None]  # the number of the sequence that has a new token (0 where there is one), and it


def extend(tree: DecodingTree, hypotheses: list[Hypothesis]) -> NextTokens:
    """Make the last token of each hypothesis a node, one for all hypotheses with the same tokens."""
    edges = list(dict.fromkeys((hypothesis.node, hypothesis.ids[-1]) for hypothesis in hypotheses))
    following = tree.extend([parent for parent, _ in edges], [token for _, token in edges])
    node_of = dict(zip(edges, following.nodes, strict=True))
    for hypothesis in hypotheses:
        hypothesis.node = node_of[hypothesis.node, hypothesis.ids[-1]]
    return following
