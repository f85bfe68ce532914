"""Texts for tiny models, and their factors: by chainrule, and by the model's own forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracle import factors, factors_in_windows

from chainrule import LanguageModel
from chainrule.errors import ChainruleError

Floats = NDArray[np.float64]
Ids = list[int]
Draw = Callable[[int], Ids]
LOUD_IDS = (5, 6, 7)  # outliers in some models; every text contains some of them
LONG = 290  # tokens of the longest text
EVERY = 9  # of a text in windows one factor in 9 is compared: each needs its own forward
REAL = (
    "Hello world, how are you today?",
    "The quick brown fox jumps over five dozen lazy jugs.",
    "Hello world!",
    "naïve café",
)
REFUSED = object()


@dataclass
class Pair:
    """The factors of one text: by chainrule, and by the model's own forward."""

    logprobs: Floats
    want: Floats


class OwnRaised(Exception):
    """The model's own forward fails on a text that chainrule scores."""


def short_pairs(lm: LanguageModel, own: Any) -> Iterator[Pair]:
    """Forests in chunks of 16 rows, batches of unequal length, single texts, windows, real text."""
    draw, start = drawing(lm), lm.start.id
    trunk = draw(52)
    forest = [trunk, trunk[:34] + draw(14), trunk[:34] + draw(3), trunk[:7], trunk[:20] + trunk[5:30]]
    uneven = [draw(n) for n in (2, 13, 74, 41, 29)]
    yield from batch(lm, own, forest, rows=16)
    yield from batch(lm, own, uneven, rows=200)
    yield Pair(lm.score(trunk).logprobs, whole(own, start, trunk))
    long = draw(75)
    score = lm.score(long, window=33, stride=11)
    yield Pair(score.logprobs[::3], factors_in_windows(own, long, score.contexts, start, range(0, len(long), 3)))
    for s in lm.score_batch(list(REAL)):
        yield Pair(s.logprobs, whole(own, start, s.ids.tolist()))


def long_pairs(lm: LanguageModel, own: Any, reach: int) -> Iterator[Pair]:
    """Texts of up to 290 tokens, some within two tokens of `reach`, at the start and the end of chunks of many sizes."""
    draw = drawing(lm)
    trunk, other = draw(LONG), draw(reach + 7)
    near = [trunk[:n] + draw(2) for n in (reach - 2, reach - 1, reach, reach + 1)]
    early, late = draw(reach // 2), draw(30)
    early[0], late[0] = 3, lm.model.head.size - 2  # a forest is sorted by ids
    yield from batch(lm, own, [trunk, *near, trunk[:205] + draw(6)])
    yield from batch(lm, own, [early, other], rows=768)
    yield from batch(lm, own, [late, other, trunk[: reach + 20]], rows=16)
    yield from batch(lm, own, [early, late, other[:20] + draw(40)], rows=50)
    yield from batch(lm, own, [draw(reach + 1)])


def symbol_pairs(lm: LanguageModel, own: Any) -> Iterator[Pair]:
    """Texts with symbols in them: start, end and padding symbols, and the placeholder of an image."""
    draw = drawing(lm)
    for symbol in (0, 1, 2, lm.model.head.size - 1):
        yield from batch(lm, own, [[*draw(9), symbol, *draw(12)], [*draw(4), symbol, symbol, *draw(5)]], rows=16)


def drawing(lm: LanguageModel) -> Draw:
    """A function that draws random tokens. The first ids are symbols, and the last one may be the placeholder of an image."""
    random = np.random.default_rng(7)

    def draw(n: int) -> Ids:
        ids = random.integers(3, lm.model.head.size - 1, size=n)
        ids[11::19] = random.choice(LOUD_IDS, size=len(ids[11::19]))
        return ids.tolist()

    return draw


def batch(lm: LanguageModel, own: Any, texts: list[Ids], **options: Any) -> Iterator[Pair]:
    """A batch of texts, compared with single texts; a text longer than the model's context, in its windows."""
    wanted = [(text, _wanted(lm, own, text)) for text in texts]
    kept = [(text, want) for text, want in wanted if want is not REFUSED]
    scores = lm.score_batch([text for text, _ in kept], **options)
    for (text, want), score in zip(kept, scores, strict=True):
        if want is not None:
            yield Pair(score.logprobs, want)
        else:
            some = range(0, len(score.logprobs), EVERY)
            yield Pair(score.logprobs[::EVERY], factors_in_windows(own, text, score.contexts, lm.start.id, some))


def _wanted(lm: LanguageModel, own: Any, text: Ids) -> Any:
    """The factors of a text; None if it is scored in windows, REFUSED if its own forward and chainrule both raise an error."""
    if lm.model.max_rows is not None and len(text) - (lm.start.id is None) > lm.model.max_rows:
        return None
    try:
        return whole(own, lm.start.id, text)
    except OwnRaised:
        try:
            lm.score(text)
        except ChainruleError:
            return REFUSED
        raise


def whole(own: Any, start: int | None, ids: Ids) -> Floats:
    """Every factor of a text, by one forward. Raises OwnRaised."""
    try:
        return factors(own, [*([] if start is None else [start]), *ids])
    except Exception as error:
        raise OwnRaised(f"its own forward raises {type(error).__name__} on {len(ids)} tokens: {error}") from error
