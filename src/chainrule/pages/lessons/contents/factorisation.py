"""Lesson 1: the factorisation."""

from __future__ import annotations

import math

from chainrule.pages.lessons.contents.values import digits, listed, visible_tokens
from chainrule.pages.lessons.exercises import Exercise, cells, choice, number
from chainrule.pages.lessons.subject import Contents, Subject

MOST = 6  # rows of the grid of an exercise


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    score = subject.score
    worst = visible_tokens(score, len(score))[int(score.logprobs.argmin())]
    return Contents(subject.lm, score, [_product(), _grid(subject), _letters(subject)], {"worst": worst})


def _product() -> Exercise:
    return choice(
        "Which product is the joint probability of three tokens, for every distribution?",
        {
            "Pr(x₀) · Pr(x₁) · Pr(x₂)": "This is right only if the tokens are independent. A factor must know "
            "the tokens before it.",
            "Pr(x₀) · Pr(x₁ | x₀) · Pr(x₂ | x₁)": "This is a bigram model: its last factor has forgotten x₀. The chain rule "
            "conditions on all tokens before.",
            "Pr(x₀) · Pr(x₁ | x₀) · Pr(x₂ | x₀, x₁)": "",
            "Pr(x₀ | x₁, x₂) · Pr(x₁ | x₀, x₂) · Pr(x₂ | x₀, x₁)": "Here each token is used to predict the others, and is "
            "predicted from them. The product is a score, not a probability: see lesson 8.",
        },
        2,
        "Each token is conditioned on all tokens before it, and on none after it.",
        hint="Apply Pr(a, b) = Pr(a) · Pr(b | a) twice.",
    )


def _grid(subject: Subject) -> Exercise:
    score = subject.score
    n = min(MOST, len(score))
    places, sizes = score.places[:n].tolist(), (score.contexts[:n] - (score.start.id is not None)).tolist()
    return cells(
        "Fill the grid of contexts of a causal model: in each row, mark the tokens that the factor is conditioned on, apart "
        "from the start symbol.",
        [*["(given)"] * places[0], *visible_tokens(score, n)],
        places,
        [list(range(place - size, place)) for place, size in zip(places, sizes, strict=True)],
        "A triangle: each row knows one token more than the row above, and none knows its own.",
        hint="Before the first token there is only the start symbol. No row has a token that comes later.",
    )


def _letters(subject: Subject) -> Exercise:
    lm, text = subject.letters, "ABB"
    score = lm.score(text)
    first, again, last = (math.exp(x) for x in score.logprobs.tolist())
    alone = math.exp(lm.score("B").logprob)
    return number(
        "A table has two letters. The first is A with .6 and B with .4. After A comes A with .7 and B with .3; after B comes A "
        "with .2 and B with .8. What is Pr(ABB)?",
        math.exp(score.logprob),
        f"Pr(A) · Pr(B | A) · Pr(B | AB) = {listed([first, again, last])} = {digits(math.exp(score.logprob))}.",
        tolerance=0.0005,
        mistakes={
            "These are the probabilities of each letter as a first letter. The second and the third depend on what is before "
            "them.": first * alone * alone,
            "The last factor is in the row after B, not in the row after A.": first * again * again,
            "You left out the first factor, Pr(A).": again * last,
            "Factors are multiplied, not added.": first + again + last,
            "This is the last factor alone. Multiply all three.": last,
        },
        hint="Take one number from each of the three rows, by what was before.",
    )
