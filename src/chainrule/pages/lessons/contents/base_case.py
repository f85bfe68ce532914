"""Lesson 2: the base case and the start symbol."""

from __future__ import annotations

import math
from typing import Any

from chainrule.errors import ChainruleError
from chainrule.pages.lessons.contents.values import decimals, digits, listed
from chainrule.pages.lessons.exercises import Exercise, match, number
from chainrule.pages.lessons.subject import Contents, Subject

TEXTS = ("AA", "AB", "BA", "BB")


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    exercises = [_names(), _first_factor(subject), _sum_if_given(subject)]
    return Contents(subject.lm, subject.score, exercises, {"given": _given(subject)}, sections=frozenset({"variants"}))


def _given(subject: Subject) -> str:
    """log Pr of the text with its first token given."""
    try:
        return decimals(subject.lm.score(subject.text, start="given").logprob)
    except ChainruleError:
        return "0 (a text of one token has no other factor)"


def _names() -> Exercise:
    return match(
        "Pair each expression with what it is.",
        {
            "the course: Pr(x₀) = 1": "the start symbol, which is always there",
            "chainrule: Pr(x₀ | s)": "the first token of the text, predicted from the start symbol",
            "the first token is given": "no factor: the result is a conditional",
            "Pr(end symbol | all tokens)": "the factor that makes it a text that ends here",
        },
        [1, 3, 0, 2],
        "The course's Pr(x₁ | e₀) and chainrule's Pr(x₀ | s) are the same number.",
    )


def _first_factor(subject: Subject) -> Exercise:
    lm: Any = subject.letters
    score = lm.score("AB")
    first, second = (math.exp(x) for x in score.logprobs.tolist())
    alone, after = math.exp(lm.score("B").logprob), math.exp(lm.score("BA").logprobs[1])
    return number(
        "From the start symbol, A has .6 and B has .4. After A, A has .7 and B has .3; after B, A has .2 and B has .8. What is "
        "the joint probability of AB?",
        math.exp(score.logprob),
        f"Pr(A | s) · Pr(B | s, A) = {listed([first, second])} = {digits(math.exp(score.logprob))}.",
        tolerance=0.0005,
        mistakes={
            "You forgot the start symbol: this is Pr(B | A), a conditional, as if A were given.": second,
            "B is not predicted from the start symbol alone: A is before it.": first * alone,
            "The second factor is that of B after A, not that of A after B.": first * after,
        },
        hint="Two factors: the first token is predicted from the start symbol.",
    )


def _sum_if_given(subject: Subject) -> Exercise:
    lm: Any = subject.letters
    total = sum(math.exp(lm.score(text, start="given").logprob) for text in TEXTS)
    joint = sum(math.exp(lm.score(text).logprob) for text in TEXTS)
    return number(
        "The same table, but now the first letter is given and has no factor. Add up the products of the four texts AA, AB, BA "
        "and BB. What is the sum?",
        total,
        "Each of the V = 2 first letters begins texts that sum to 1. So the sum is V, and the product is a conditional, not a "
        "joint probability.",
        tolerance=0.005,
        mistakes={
            "This is the sum with a start symbol. Without it, the first letter has no factor.": joint,
            "Each text has one factor left, and all four count.": math.exp(lm.score("AA", start="given").logprob),
        },
        hint="Add the two numbers in the row after A, and the two in the row after B.",
    )
