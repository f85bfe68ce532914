"""Lesson 6: the general form o = g(x_0 … x_m; θ), its symbols matched to the model."""

from __future__ import annotations

from typing import Any

from chainrule.pages.lessons.exercises import Exercise, match, number
from chainrule.pages.lessons.subject import Contents, Subject


def contents(subject: Subject) -> Contents:
    """What the lesson adds to its text."""
    model = subject.lm.model
    values = {
        "rows": f"{model.embeddings:,}",
        "width": f"{model.width:,}",
        "hidden": f"{hidden_width(model):,}",
        "parameters": parameters(model),
    }
    exercises = [_symbols(subject), _outputs(subject)]
    return Contents(subject.lm, subject.score, exercises, values, sections=frozenset({"openings"}))


def hidden_width(model: Any) -> int:
    """The number of elements of a hidden state after the last layer."""
    network = getattr(model, "lm", None)
    head = None if network is None else network.get_output_embeddings()
    return int(model.width if head is None else head.weight.shape[1]) if network is not None else model.head.size


def parameters(model: Any) -> str:
    """How many parameters the model has, in words."""
    if (network := getattr(model, "lm", None)) is not None:
        return f"{sum(p.numel() for p in network.parameters()):,} numbers"
    if (rows := getattr(model, "rows", None)) is not None:
        return f"{sum(row.size for row in rows.values()):,} numbers, the table itself"
    return "its weights"


def _symbols(subject: Subject) -> Exercise:
    model = subject.lm.model
    return match(
        "Match the symbols of o = g(x₀, …, xₘ; θ) to this model.",
        {
            "xᵢ": f"a token: one of {model.head.size:,} ids",
            "eᵢ": f"{model.width:,} numbers that say which token",
            "hᵢ": f"{hidden_width(model):,} numbers after the last layer",
            "zᵢ": f"{model.head.size:,} numbers of any size and sign",
            "o": f"{model.head.size:,} numbers that sum to 1",
            "θ": f"{parameters(model)}, the same for every text",
        },
        [4, 2, 0, 5, 1, 3],
        "Token → embedding → hidden state → logits → distribution; θ takes part in each step.",
        hint="Logits can be negative. Probabilities cannot, and they sum to 1.",
    )


def _outputs(subject: Subject) -> Exercise:
    count, size = len(subject.score), int(subject.lm.model.head.size)
    mistakes = {
        "One more than needed: the output after the last token predicts a token that the text does not have.": count + 1,
        "The first token needs a distribution too: the one after the start symbol.": count - 1,
        "This is the size of one distribution. How many distributions are needed?": size,
        "One distribution is enough for one factor. The text has more of them.": 1,
    }
    return number(
        f"The text has {count} tokens that are predicted. How many of the output distributions does the chain rule need?",
        count,
        "One for each token that is predicted: the output after the start symbol, and after each token but the last.",
        tolerance=0.01,
        mistakes={message: value for message, value in mistakes.items() if value != count},
    )
