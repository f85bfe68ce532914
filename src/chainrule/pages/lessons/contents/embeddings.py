"""Lesson 5: embeddings in place of tokens."""

from __future__ import annotations

from chainrule.pages.lessons.exercises import Exercise, arrange, choice, number
from chainrule.pages.lessons.subject import Contents, Subject
from chainrule.pages.positions import position_part

STEPS = (
    "tokens",
    "embeddings",
    "hidden states",
    "logits",
    "softmax",
    "pick the factor of the token that comes next",
    "multiply the factors (add their logs)",
)


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    model = subject.lm.model
    position = position_part(model, len(subject.score) + 1)
    values = {"rows": f"{model.embeddings:,}", "width": f"{model.width:,}", "position": position["description"]}
    return Contents(
        subject.lm, subject.score, [_equal(), _steps(), _width(subject)], values, sections=frozenset({"embeddings", "openings"})
    )


def _equal() -> Exercise:
    return choice(
        "Pr(x₂ | x₀, x₁) is computed from token ids, Pr(x₂ | e₀, e₁) from their embeddings. How do the two compare?",
        {
            "The second is larger, because a vector says more than a number": "The vector is computed from the token, so it "
            "cannot say more than the token and its position.",
            "They are close, but vectors are only approximations": "Nothing is approximated: the network replaces ids by the "
            "same vectors in its first step.",
            "They are equal": "",
            "They cannot be compared: a vector has no probability": "It needs none. It is after the bar; what is predicted is "
            "still a token.",
        },
        2,
        "The network sees nothing of the context but its embeddings, so both conditions are the same. The library returns "
        "equal numbers.",
    )


def _steps() -> Exercise:
    return arrange(
        "Put the steps in order, from the text to its probability.",
        STEPS,
        [3, 0, 5, 2, 6, 4, 1],
        "Tokens → embeddings → hidden states → logits → softmax → pick the factor → multiply.",
        hint="The logits are computed from the hidden states, and the softmax needs all logits of a step.",
    )


def _width(subject: Subject) -> Exercise:
    model = subject.lm.model
    width, size = int(model.width), int(model.head.size)
    mistakes = {
        f"{size} is the size of the vocabulary: the number of logits of one step.": size,
        "This is the number of rows of the table. How long is one row?": model.embeddings,
        "This is the number of tokens. Each of them has a vector.": len(subject.score),
        "An id is one number. The embedding is the row of the table that the id names.": 1,
    }
    return number(
        "How many numbers does the embedding of one token have in this model?",
        width,
        f"A row of the table of embeddings has {width} numbers.",
        tolerance=0.01,
        mistakes={message: value for message, value in mistakes.items() if value != width},
        hint="The panel above shows the shapes.",
    )
