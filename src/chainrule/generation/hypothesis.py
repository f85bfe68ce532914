"""A hypothesis: one continuation while it is generated, and the criteria that stop it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from chainrule.engine.decoding.base import DecodingTree, NextTokens
from chainrule.statistics import Statistics
from chainrule.text.base import TokenizerLike


@dataclass
class Hypothesis:
    """The tokens after the prefix, with their log probabilities as computed during generation."""

    node: int = 0  # the node of the decoding tree at which it ends
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)  # under the model
    statistics: list[Statistics] = field(default_factory=list)  # of each token; set by `sampling` only
    sampling_logprobs: list[float] = field(default_factory=list)  # under the altered distribution; empty if it is the model's
    finish: str | None = None  # "end", "stop", "length"; None: not finished

    @property
    def logprob(self) -> float:
        return math.fsum(self.logprobs)

    def append(self, token: int, statistics: Statistics, sampling_logprob: float | None, criteria: StoppingCriteria) -> None:
        """Add a token. statistics: of this token; sampling_logprob: None if the distribution is the model's."""
        self.ids.append(token)
        self.logprobs.append(float(statistics.logprobs[0]))
        self.statistics.append(statistics)
        if sampling_logprob is not None:
            self.sampling_logprobs.append(sampling_logprob)
        self.finish = criteria.finish(self.ids)

    def with_token(self, token: int, logprob: float, criteria: StoppingCriteria) -> Hypothesis:
        """A hypothesis with one more token. Its node is still that of the token before."""
        hypothesis = Hypothesis(self.node, [*self.ids, token], [*self.logprobs, logprob])
        hypothesis.finish = criteria.finish(hypothesis.ids)
        return hypothesis


@dataclass(frozen=True)
class StoppingCriteria:
    """The end symbol, the stop texts, and the maximum number of tokens."""

    max_tokens: int
    end_id: int | None
    stops: tuple[str, ...]
    tokenizer: TokenizerLike | None  # needed for stop texts

    def finish(self, ids: list[int]) -> str | None:
        """Why a sequence of these tokens is finished: "end", "stop" or "length"; None if it is not."""
        if ids[-1] == self.end_id:
            return "end"
        if self.stops and self.tokenizer is not None and self._ends_with_stop(ids, self.tokenizer):
            return "stop"
        return "length" if len(ids) >= self.max_tokens else None

    def _ends_with_stop(self, ids: list[int], tokenizer: TokenizerLike) -> bool:
        """Whether the last token completes a stop text. Only the last bytes are decoded, enough for the longest one."""
        stops = [stop.encode() for stop in self.stops]
        last = tokenizer.token_bytes(ids[-1])
        tail, size = last, max(map(len, stops)) - 1 + len(last)
        for id in reversed(ids[:-1]):
            if len(tail) >= size:
                break
            tail = tokenizer.token_bytes(id) + tail
        return any(stop in tail[-size:] for stop in stops)


T = TypeVar("T")

NewToken: TypeAlias = tuple[int, Hypothesis]  # the number of a sample (0 for a search), and its hypothesis with a new token
Steps: TypeAlias = Generator[NewToken, None, T]  # yields each new token, and returns the result


def finished(steps: Steps[T], report: Callable[[int, Hypothesis], None] = lambda *_: None) -> T:
    """The result of all steps. `report` is called with each new token."""
    while True:
        try:
            new_token = next(steps)
        except StopIteration as end:
            return end.value
        report(*new_token)


def extend(tree: DecodingTree, hypotheses: list[Hypothesis]) -> NextTokens:
    """Add the last token of each hypothesis to the tree. Hypotheses with the same tokens share a node."""
    edges = list(dict.fromkeys((hypothesis.node, hypothesis.ids[-1]) for hypothesis in hypotheses))
    following = tree.extend([parent for parent, _ in edges], [token for _, token in edges])
    node_of = dict(zip(edges, following.nodes, strict=True))
    for hypothesis in hypotheses:
        hypothesis.node = node_of[hypothesis.node, hypothesis.ids[-1]]
    return following
