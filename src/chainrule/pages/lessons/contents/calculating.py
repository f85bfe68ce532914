"""Lesson 3: calculating a sequence probability."""

from __future__ import annotations

import math

from chainrule.pages.lessons.contents.values import decimals, digits, listed
from chainrule.pages.lessons.exercises import Exercise, choice, number
from chainrule.pages.lessons.subject import Contents, Subject

LOGS = (-1.5, -2.0, -1.2)


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    first, second = (math.exp(subject.steps.score(text).logprob) for text in ("ABA", "ABB"))
    values = {
        "first": digits(first),
        "second": digits(second),
        "sum": decimals(subject.chain([math.exp(x) for x in LOGS]).score("AAA").logprob, 1),
        "bit": decimals(math.log(2)),
    }
    return Contents(subject.lm, subject.score, [_product(subject), _log(subject), _impossible(subject)], values)


def _product(subject: Subject) -> Exercise:
    score = subject.steps.score("ABA")
    factors, p = [math.exp(x) for x in score.logprobs.tolist()], math.exp(score.logprob)
    return number(
        "The factors of a text are .1, .5 and .8. What is its probability?",
        p,
        f"{listed(factors)} = {digits(p)}.",
        tolerance=0.0005,
        mistakes={
            "Factors are multiplied. It is their logs that are added.": sum(factors),
            "This is the mean of the factors. The probability is their product.": sum(factors) / len(factors),
            "This is the natural log of the probability. The question asks for the probability itself.": score.logprob,
            "One place too many or too few: .1 · .5 is .05.": p * 10,
        },
    )


def _log(subject: Subject) -> Exercise:
    score = subject.steps.score("ABB")
    factors, x = [math.exp(x) for x in score.logprobs.tolist()], score.logprob
    return number(
        "The factors of another text are .1, .5 and .2. What is its log probability, in nats?",
        x,
        f"ln .1 + ln .5 + ln .2 = {' + '.join(f'({decimals(log)})' for log in score.logprobs.tolist())} = {decimals(x)}, "
        f"the natural log of {digits(math.exp(x))}.",
        tolerance=0.001,
        unit="nats",
        mistakes={
            "This is the logarithm to base 10. A nat is the unit of the natural logarithm, ln.": math.log10(math.exp(x)),
            "This is the logarithm to base 2, so the unit is bits. Multiply it by ln 2.": -score.bits,
            "This is the surprisal. A log probability is never positive.": -x,
            "This is the probability. Take its natural logarithm.": math.exp(x),
            "You added the factors before you took the log. Add their logs.": math.log(sum(factors)),
        },
        hint="Multiply first and take ln, or take ln of each factor and add.",
    )


def _impossible(subject: Subject) -> Exercise:
    logprob = subject.zero.score("ABA").logprob
    choices = {
        "0": "A log probability of 0 belongs to the probability 1: a certain event.",
        "NaN: it is not defined": "It is defined: log 0 is −∞, and −∞ plus finite numbers is −∞. NaN shows that a program has "
        "calculated 0 · ∞ or ∞ − ∞.",
        "ln .4 + ln .8: the zero is left out": "A factor that is left out counts as 1. Then an impossible text would look "
        "probable.",
        decimals(logprob): "",
    }
    return choice(
        "The factors of a third text are 0, .4 and .8. What is its log probability?",
        choices,
        list(choices).index(decimals(logprob)),
        f"0 · .4 · .8 = {digits(math.exp(logprob))}: the text is impossible, and its log probability is −∞.",
    )
