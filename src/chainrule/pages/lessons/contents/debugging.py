"""Lesson 4: debugging a calculation."""

from __future__ import annotations

import math

from chainrule.pages.lessons.contents.values import decimals, digits
from chainrule.pages.lessons.exercises import Exercise, choice, number
from chainrule.pages.lessons.subject import DEBUGGING, Contents, Subject


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    lm = subject.debugging
    values = {
        "raw_aa": digits(raw("AA")),
        "raw_bb": digits(raw("BB")),
        "lse_first": decimals(DEBUGGING[""][0] - lm.score("A").logprob),
        "lse_a": decimals(DEBUGGING["A"][0] - lm.score("AA").logprobs[1]),
        "lse_b": decimals(DEBUGGING["B"][0] - lm.score("BA").logprobs[1]),
        "aa": decimals(lm.score("AA").logprob),
        "bb": decimals(lm.score("BB").logprob),
        "b_after_b": digits(math.exp(lm.score("BB").logprobs[1]), 3),
    }
    exercises = [_right(subject), _other(subject), _winner(subject)]
    return Contents(subject.lm, subject.score, exercises, values, sections=frozenset({"openings", "variants"}))


def raw(text: str) -> float:
    """The sum of the raw logits of two letters: the wrong way."""
    return DEBUGGING[""]["ABC".index(text[0])] + DEBUGGING[text[0]]["ABC".index(text[1])]


def _right(subject: Subject) -> Exercise:
    lm = subject.debugging
    score = lm.score("AA")
    first, second = score.logprobs.tolist()
    return number(
        "The logits are A 10, B 9, C 0 at the first step, and 0, 0, 0 after A. What is log Pr(AA), in nats?",
        score.logprob,
        f"{decimals(first)} + {decimals(second)} = {decimals(score.logprob)}: 10 minus the log-sum-exp of (10, 9, 0), plus "
        "0 minus ln 3.",
        tolerance=0.001,
        unit="nats",
        mistakes={
            "These are raw logits, added. Subtract the log-sum-exp of each step from its logit.": raw("AA"),
            "This is the first factor alone. The second A has a factor too: three equal logits are ⅓ each.": first,
            "This is the second factor alone.": second,
            "The second factor is in the row after A, not in the row after B.": first + lm.score("BA").logprobs[1],
            "The second factor is in the row after A, not in the first row again.": 2 * first,
            "This is the probability. Take its natural logarithm.": math.exp(score.logprob),
            "This is the logarithm to base 10. Use the natural one.": score.logprob / math.log(10),
            "This is in bits. Use the natural logarithm.": -score.bits,
        },
        hint=f"ln(e¹⁰ + e⁹ + e⁰) = {decimals(DEBUGGING[''][0] - first)}.",
    )


def _other(subject: Subject) -> Exercise:
    lm = subject.debugging
    score = lm.score("BB")
    first, second = score.logprobs.tolist()
    return number(
        "After B, the logits are A 8, B 7, C 0. What is log Pr(BB), in nats?",
        score.logprob,
        f"{decimals(first)} + {decimals(second)} = {decimals(score.logprob)}.",
        tolerance=0.001,
        unit="nats",
        mistakes={
            "These are raw logits, added. Subtract the log-sum-exp of each step from its logit.": raw("BB"),
            "This is the first factor alone. Add the log of the second.": first,
            "This is the second factor alone. Add the log of the first.": second,
            "The second factor is in the row after B, not in the row after A.": first + lm.score("AB").logprobs[1],
            "The last factor is that of A. The second letter is B.": lm.score("BA").logprob,
            "This is the probability. Take its natural logarithm.": math.exp(score.logprob),
            "This is the logarithm to base 10. Use the natural one.": score.logprob / math.log(10),
            "This is in bits. Use the natural logarithm.": -score.bits,
        },
        hint="B has 9 at the first step, and 7 after B. The log-sum-exp is another one at each step.",
    )


def _winner(subject: Subject) -> Exercise:
    lm = subject.debugging
    aa, bb = lm.score("AA").logprob, lm.score("BB").logprob
    return choice(
        f"The raw logits of AA sum to {digits(raw('AA'))}, those of BB to {digits(raw('BB'))}. Which text is more probable?",
        {
            f"BB, because {digits(raw('BB'))} is larger": "The logits of different steps have no common scale. The 0 after A "
            "is as good as the other two logits of its step.",
            "AA": "",
            "The logits do not say": "They do, after the softmax of each step over the whole vocabulary.",
            "Both the same: each is a sum of two logits": "Compare the normalised sums of the two exercises above.",
        },
        1 if aa > bb else 0,
        f"log Pr(AA) = {decimals(aa)} is larger than log Pr(BB) = {decimals(bb)}. Raw logits choose the wrong text.",
    )
