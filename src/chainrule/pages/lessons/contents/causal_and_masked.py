"""Lesson 8: causal beside masked."""

from __future__ import annotations

import math

from chainrule.pages.lessons.contents.values import decimals, digits, visible_tokens
from chainrule.pages.lessons.exercises import Exercise, cells, number
from chainrule.pages.lessons.subject import SENTENCE, Contents, Subject

TEXTS = ("00", "01", "10", "11")
ORDER = (0, 4, 2, 1, 3)


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    lm = subject.weather
    plain, ordered = lm.score(SENTENCE), lm.score(SENTENCE, order=ORDER)
    masked = lm.pseudo_log_likelihood(SENTENCE)
    values = {"pll": decimals(masked.pll_nats)} | _two_bits(subject)
    exercises = [_joint(subject), _sum(subject), _grid(subject)]
    return Contents(lm, plain, exercises, values, {"masked": masked, "order": ordered})


def joint(subject: Subject) -> dict[str, float]:
    """Pr of each text of two bits."""
    return {text: math.exp(subject.bits.score(text).logprob) for text in TEXTS}


def plls(subject: Subject) -> dict[str, float]:
    """The pseudo-log-likelihood of each text of two bits, in nats."""
    return {text: subject.bits.pseudo_log_likelihood(text).pll_nats for text in TEXTS}


def _two_bits(subject: Subject) -> dict[str, str]:
    probability, pll = joint(subject), plls(subject)
    table = {f"pr_{text}": digits(probability[text]) for text in TEXTS}
    table |= {f"pll_{text}": decimals(pll[text], 0) for text in TEXTS}
    table |= {f"exp_{text}": digits(math.exp(pll[text])) for text in TEXTS}
    return table | {
        "pr_sum": digits(sum(probability.values())),
        "exp_sum": digits(sum(math.exp(x) for x in pll.values())),
    }


def _joint(subject: Subject) -> Exercise:
    probability, pll = joint(subject)["00"], plls(subject)["00"]
    return number(
        "Two fair bits always agree: 00 or 11. What is Pr(00) by the chain rule?",
        probability,
        f"Pr(x₀ = 0) · Pr(x₁ = 0 | x₀ = 0) = {digits(probability)} · 1 = {digits(probability)}.",
        tolerance=0.0005,
        mistakes={
            "This is exp(PLL): each bit is predicted from the other, so neither costs anything. By the chain rule, the first "
            "bit is predicted from nothing.": math.exp(pll),
            "The bits are not independent: the second is certain once the first is known.": probability**2,
        },
    )


def _sum(subject: Subject) -> Exercise:
    pll = plls(subject)
    return number(
        "Add up exp(PLL) over the four texts 00, 01, 10 and 11. What is the sum?",
        sum(math.exp(x) for x in pll.values()),
        "exp(PLL) is 1 for 00 and for 11, and 0 for the others. The sum is 2, so exp(PLL) is not a probability.",
        tolerance=0.005,
        mistakes={
            "Probabilities sum to 1, but exp(PLL) is none. Add up the last column of the table.": sum(joint(subject).values()),
            "Only 00 and 11 are possible. exp(−∞) is 0.": len(TEXTS),
            "This is the sum of the PLLs of 00 and 11. Take exp of each first.": 2 * pll["00"],
        },
    )


def _grid(subject: Subject) -> Exercise:
    plain = subject.weather.score(SENTENCE)
    length = len(plain)
    terms = subject.weather.pseudo_log_likelihood(SENTENCE).term_logprobs
    known = [[p for p in range(length) if p != t] for t in range(len(terms))]
    return cells(
        "Fill the grid of a masked model: in each row, mark the tokens that the term of the pseudo-log-likelihood is "
        "conditioned on.",
        visible_tokens(plain, length),
        list(range(length)),
        known,
        "A full square without its diagonal. No order of its rows is a triangle, so it is no chain rule.",
        hint="A masked model sees the tokens on both sides of the one that is hidden.",
    )
