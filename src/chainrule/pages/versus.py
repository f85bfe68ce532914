"""Two texts beside each other: their factors aligned by their tokens, and the differences of log Pr."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import islice
from typing import Any

import numpy as np

from chainrule.engine.question import Progress
from chainrule.errors import InputError, short
from chainrule.generation.spelling import special_of, text_of
from chainrule.pages.changes import Changed, applied
from chainrule.pages.language import Language
from chainrule.pages.proposed import replacements
from chainrule.pages.recomputed import reads_left_to_right, sequence_of
from chainrule.pages.variants import settings_of
from chainrule.results.explanation import running_sums
from chainrule.results.score import Score
from chainrule.scoring.assemble import score_requests
from chainrule.text.reading import Reading
from chainrule.text.requests import Request

Row = tuple[int | None, int | None]


def other_score(lm: Language, score: Score, other: Any, progress: Progress | None = None) -> Score:
    """The score of a second text under the conditions of the first. Raises InputError if it cannot be scored so.

    other: a text or token ids, which follow the context of the first text; or a `Score`, which is taken as it is.
    """
    if isinstance(other, Score):
        return other
    own = score.request
    context = own.context if isinstance(other, str) else own.context_ids.tolist() or None
    if isinstance(other, str) and context is None and len(own.context_ids):
        raise InputError("the context of the first text is token ids, so the second is given as token ids too")
    reading = Reading(own.special or "text", own.context_special or "text", True)
    try:
        [request] = lm.scorer.requests([other], [context], reading)
        return _scored(lm, score, request, progress)
    except InputError as error:
        raise InputError(f"the second text, {short(other)}, cannot be compared: {error.reason}") from None


def proposed_score(lm: Language, score: Score, progress: Progress | None = None) -> Score | None:
    """The score of the text with its most surprising token replaced by the most probable other one; None if none can be."""
    changes = [] if score.request.embeddings is not None else replacements(score)
    if not changes:
        return None
    changed = applied(score, changes[0])
    return _scored(lm, score, _spelled(lm, score, changed), progress)


def _spelled(lm: Language, score: Score, changed: Changed) -> Request:
    """The request for a changed text, with the text that its tokens spell."""
    own, ids = score.request, sequence_of(score)
    given = len(own.context_ids)
    ids = changed.ids[given:]
    text = None if own.text is None or own.segments else text_of(ids.tolist(), lm.tokenizer)
    special = None if text is None else special_of(ids.tolist(), lm.tokenizer)
    return Request(ids, own.context_ids, text, own.context, special=special, context_special=own.context_special)


def _scored(lm: Language, score: Score, request: Request, progress: Progress | None) -> Score:
    order = None
    if not reads_left_to_right(score):
        if len(request.ids) != len(score.request.ids):
            raise InputError(
                f"the first text was scored in an order of its {len(score.request.ids)} tokens, and the second has "
                f"{len(request.ids)}: compare texts of one length, or score the first from left to right"
            )
        order = [_order(score)]
    settings = settings_of(lm, score, progress)
    return score_requests(lm.predictor, lm.tokenizer, [request], score.start, score.end, settings, order=order)[0]


def _order(score: Score) -> Any:
    """The order of prediction, as positions in the text."""
    ordering: Any = score.ordering
    if len(ordering.given) > len(score.request.context_ids) + (score.start.id is None):
        raise InputError("some tokens of the text are given, so no second text can be scored alike: pass its Score")
    return np.concatenate([ordering.given[len(score.request.context_ids) :], ordering.order]) - len(score.request.context_ids)


def comparison(first: Score, second: Score, names: Sequence[str] = ("text", "other")) -> dict[str, Any]:
    """The factors of two scores, aligned by their tokens, as plain data."""
    rows = _rows(first, second)
    a, b = (score.logprobs.tolist() for score in (first, second))
    pairs = [(0.0 if i is None else a[i], 0.0 if j is None else b[j]) for i, j in rows]
    differences = [None if math.isinf(x) and math.isinf(y) else x - y for x, y in pairs]
    running = _running(pairs)
    sizes = [abs(each or 0.0) for each in differences]
    return {
        "readings": list(names),
        "rows": [[_step(first, i), _step(second, j)] for i, j in rows],
        "difference": differences,
        "running_difference": running,
        "decided": _decided(running),
        "largest": sizes.index(max(sizes)) if any(sizes) else None,
        "difference_total": running[-1],
    }


def _rows(first: Score, second: Score) -> list[Row]:
    """Pairs of factors in the order of the text: those of equal tokens, and those between them one beside the other."""
    matcher = SequenceMatcher(None, first.ids.tolist(), second.ids.tolist(), autojunk=False)
    return [
        (i if i < b else None, j if j < d else None)
        for _, a, b, c, d in matcher.get_opcodes()
        for i, j in zip(range(a, a + max(b - a, d - c)), range(c, c + max(b - a, d - c)), strict=True)
    ]


def _step(score: Score, column: int | None) -> int | None:
    """The number of a factor in the order of prediction."""
    return column if column is None or score.ordering is None else int(score.ordering.steps[column])


def _running(pairs: Sequence[tuple[float, float]]) -> list[float | None]:
    """The exactly rounded sums of all differences up to each row; None from the row on from which they are ∞ − ∞."""
    both = [term for x, y in pairs for term in (x, -y)]
    defined = next((row for row in range(len(pairs)) if _undefined(both[: 2 * row + 2])), len(pairs))
    sums = list(islice(running_sums(both[: 2 * defined]), 1, None, 2))
    return [*sums, *[None] * (len(pairs) - defined)]


def _undefined(terms: Sequence[float]) -> bool:
    return math.inf in terms and -math.inf in terms


def _decided(running: Sequence[float | None]) -> int | None:
    """The first row from which on the sign never changes; None if no text is more probable than the other."""
    last = running[-1]
    if not last:
        return None
    others = [row for row, each in enumerate(running) if each is None or each * math.copysign(1, last) <= 0]
    return others[-1] + 1 if others else 0
