"""The factors of the tokens of a prompt and of its continuation, as lists of Python."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.results.score import Score


@dataclass(frozen=True)
class Factors:
    """Tokens with their log probabilities in nats. The first token of a prompt has none: it is given."""

    ids: list[int]
    logprobs: list[float | None]
    ranks: list[int | None]
    top_ids: list[list[int]]  # the most probable tokens at each position, most probable first
    top_logprobs: list[list[float]]

    @classmethod
    def of(cls, score: Score, top: int) -> Factors:
        """Of a score, with `top` alternatives at each position."""
        return cls(
            score.ids.tolist(),
            score.logprobs.tolist(),
            score.ranks.tolist(),
            score.top_ids[:, :top].tolist(),
            score.top_logprobs[:, :top].tolist(),
        )

    @classmethod
    def given(cls, id: int) -> Factors:
        """A token without a factor."""
        return cls([id], [None], [None], [[]], [[]])

    @classmethod
    def none(cls) -> Factors:
        """No tokens."""
        return cls([], [], [], [], [])

    @classmethod
    def most_probable(cls, score: Score, top: int) -> Factors:
        """The most probable token at the last position of a score, in place of the token there."""
        ids, logprobs = score.top_ids[-1].tolist(), score.top_logprobs[-1].tolist()
        return cls(ids[:1], logprobs[:1], [1], [ids[:top]], [logprobs[:top]])

    def __add__(self, other: Factors) -> Factors:
        return Factors(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def first(self, count: int) -> Factors:
        """The first tokens."""
        return Factors(*(values[:count] for values in vars(self).values()))

    def limited(self, top: int | None) -> Factors:
        """With `top` alternatives at each position, or fewer if there are not so many."""
        if not self.ids or top is None or len(self.top_ids[-1]) <= top:  # the first token of a prompt has none
            return self
        return Factors(
            self.ids, self.logprobs, self.ranks, [ids[:top] for ids in self.top_ids], [each[:top] for each in self.top_logprobs]
        )

    def __len__(self) -> int:
        return len(self.ids)
