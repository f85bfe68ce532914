"""The columns of minimal pairs, and of their accuracy.

Shapes: N pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.results.columns import Column, Row

_PAIR, _ACCURACY = (Row.PAIR,), (Row.ACCURACY,)
_WINNER = "the more probable text by {}: `good`, `bad` or `tie`"


def _good_and_bad(name: str, kind: str, help: str, unit: str, values: Callable[[Any], Any]) -> tuple[Column, Column]:
    """A column for the good text and one for the bad text. values: of a `Pairs`, an array or list of both: S or N × 2."""

    def side(number: int) -> Callable[[Any], Any]:
        def of(pairs: Any) -> Any:
            both = values(pairs)
            return both[:, number] if getattr(both, "ndim", 1) == 2 else both[number::2]

        return of

    good = Column(f"{name}_good" if name else "good", kind, help.format("good"), _PAIR, unit, batch=side(0))
    return good, Column(f"{name}_bad" if name else "bad", kind, help.format("bad"), _PAIR, unit, batch=side(1))


def _of_regions(field: str) -> Callable[[Any], Any]:
    return lambda pairs: [None] * (2 * len(pairs)) if pairs.regions is None else getattr(pairs.regions, field)


def _of_requests(field: str) -> Callable[[Any], Any]:
    return lambda pairs: [getattr(request, field) for request in pairs.scores.requests]


OF_PAIRS: tuple[Column, ...] = (
    Column("index", "int64", "number of the pair in the input, from 0", _PAIR, given=True),
    Column(
        "phenomenon", "string", "the phenomenon; null without", _PAIR,
        batch=lambda pairs: pairs.phenomena or [None] * len(pairs),
    ),
    Column(
        "phenomenon", "string", "the phenomenon; null: all pairs", _ACCURACY, of=lambda accuracy: accuracy.group,
    ),
    *_good_and_bad("", "string", "the {} text; null for token ids", "", _of_requests("text")),
    Column(
        "context_text", "string", "the context, if it was a text", _PAIR,
        batch=lambda pairs: [request.context for request in pairs.scores.requests[::2]],
    ),
    *_good_and_bad("region", "string", "the critical region of the {} text; null: the whole text", "", _of_regions("texts")),
    *_good_and_bad("logprob", "double", "log probability of the {} text, or of its region", "nats", lambda p: p.logprob),
    *_good_and_bad("tokens", "int64", "number of factors in it", "", lambda pairs: pairs.tokens),
    *_good_and_bad("bytes", "int64", "UTF-8 bytes of it", "bytes", lambda pairs: pairs.bytes),
    Column(
        "difference_nats", "double", "logprob_good − logprob_bad; 0 if both are impossible", _PAIR, "nats",
        batch=lambda pairs: pairs.difference_nats,
    ),
    Column("winner", "string", _WINNER.format("log probability"), _PAIR, batch=lambda pairs: pairs.winners()),
    Column(
        "winner_per_token", "string", _WINNER.format("log probability per token"), _PAIR,
        batch=lambda pairs: pairs.winners("per_token"),
    ),
    Column(
        "winner_per_byte", "string", _WINNER.format("log probability per byte"), _PAIR,
        batch=lambda pairs: pairs.winners("per_byte"),
    ),
    Column(
        "boundary", "string",
        "`clean`, or `token crosses` if a token of a region also holds characters outside of it; null without regions", _PAIR,
        batch=lambda pairs: pairs.boundary,
    ),
    *_good_and_bad(
        "crossing", "list<string>", "tokens of the {} region that also hold characters outside of it", "",
        _of_regions("crossing"),
    ),
    *_good_and_bad(
        "context_boundary", "string", "`same` if context and {} text tokenise together as they do apart, else `apart`", "",
        _of_requests("boundary"),
    ),
    Column("measure", "string", "what decides: `logprob`, `per_token` or `per_byte`", _ACCURACY),
    Column("accuracy", "double", "successes / n", _ACCURACY),
    Column("accuracy_low", "double", "lower end of its 95 % Wilson interval", _ACCURACY),
    Column("accuracy_high", "double", "upper end", _ACCURACY),
    Column("successes", "int64", "number of pairs whose good text is more probable", _ACCURACY),
    Column("ties", "int64", "number of pairs whose texts are equally probable: no success", _ACCURACY),
    Column("n", "int64", "number of pairs, ties included", _ACCURACY),
)  # fmt: skip
