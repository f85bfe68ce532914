"""Lesson 7: arbitrary orders."""

from __future__ import annotations

import math

from chainrule.pages.lessons.contents.values import digits, visible_tokens
from chainrule.pages.lessons.exercises import Exercise, cells, number
from chainrule.pages.lessons.subject import SENTENCE, Contents, Subject
from chainrule.results.score import Score

ENDS = (0, 4, 2, 1, 3)
OTHER = (3, 1, 4, 0, 2)


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    lm = subject.weather
    plain = lm.score(SENTENCE)
    ends, other = (lm.score(SENTENCE, order=order) for order in (ENDS, OTHER))
    values = {
        "probability": digits(math.exp(plain.logprob)),
        "huge": f"{subject.lm.model.head.size:,}⁵",
    }
    exercises = [_grid(ends, "0, 4, 2, 1, 3"), _grid(other, "3 → 1 → 4 → 0 → 2"), _backwards(subject)]
    return Contents(lm, plain, exercises, values, {"ends": ends, "other": other})


def order_of(score: Score) -> list[int]:
    """The positions in the order of prediction."""
    return [] if score.ordering is None else score.ordering.order.tolist()


def _grid(score: Score, name: str) -> Exercise:
    order = order_of(score)
    known = [_known(score, p) for p in order]
    return cells(
        f"The tokens are predicted in the order {name}. In each row, mark the tokens that its factor is conditioned on.",
        visible_tokens(score, len(score)),
        order,
        known,
        "The contexts are "
        + ", ".join("∅" if not row else "{" + ", ".join(map(str, row)) + "}" for row in known)
        + ": before each step, the positions that were predicted already.",
        hint="Each row has the tokens of the row above, and the token that was predicted there.",
    )


def _known(score: Score, position: int) -> list[int]:
    """The positions that the factor of a position is conditioned on."""
    return score.context_positions(score.places.tolist().index(position)).tolist()


def _backwards(subject: Subject) -> Exercise:
    lm = subject.letters
    score = lm.score("AB", order=(1, 0))
    forward = [math.exp(x) for x in lm.score("AB").logprobs.tolist()]
    first, last = (math.exp(score.logprobs[i]) for i in (0, 1))
    return number(
        "A first letter is A with .6 and B with .4. After A comes A with .7 and B with .3; after B comes A with .2 and B with "
        ".8. The text AB is predicted backwards: B at position 1 first. What is the second factor, Pr(x₀ = A | x₁ = B)?",
        first,
        f"Pr(x₁ = B) is {digits(last)}, so the second factor is {digits(forward[0])} · {digits(forward[1])} / {digits(last)} = "
        f"{digits(first)}. The product is {digits(math.exp(score.logprob))}, as from left to right.",
        tolerance=0.0005,
        mistakes={
            "This is Pr(x₀ = A) before anything is known. Here B at position 1 is known.": forward[0],
            "This is the probability of A after B. Here A is before B.": math.exp(lm.score("BA").logprobs[1]),
            "This is Pr(x₁ = B | x₀ = A): the condition is on the wrong side.": forward[1],
            "This is Pr(x₁ = B), the first factor of this order.": last,
            "This is the probability of both. Divide it by Pr(x₁ = B).": math.exp(score.logprob),
        },
        hint="Pr(x₁ = B) sums over both first letters: .6 · .3 + .4 · .8.",
    )
