"""The what-ifs of a page that nobody asked for one by one: other tokens, other start symbols, and cut beginnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from chainrule.errors import InputError
from chainrule.pages.changes import Change, applied
from chainrule.pages.language import Language, is_causal
from chainrule.pages.recomputed import positions_of, sequence_of
from chainrule.results.score import Score

LIMIT = 3000  # new factors of all what-ifs of a page
_CUTS = (1, 2, 4)


def proposed(lm: Language, score: Score, limit: int = LIMIT) -> tuple[list[Change], str | None]:
    """The changes of a page, with at most `limit` new factors in all, and a sentence if tokens were left out.

    Each token is replaced by the most probable other token at its position. A third of the limit is for the other changes.
    """
    general = [change for change in (*_starts(lm, score), *_cuts(score)) if _is_possible(score, change)]
    chosen = _fitting(score, general, limit // 3)
    possible = replacements(score)
    left = limit - sum(_new_factors(score, change) for change in chosen)
    replaced = _fitting(score, possible, left)
    note = None
    if len(replaced) < len(possible):
        note = (
            f"The text is long: {len(replaced)} of its {len(possible)} tokens are replaced here, those with a high surprisal "
            "first."
        )
    return [*sorted(replaced, key=lambda change: change.position), *chosen], note


def replacements(score: Score) -> list[Change]:
    """Each token replaced by the most probable other token at its position, the token with the highest surprisal first.

    Only tokens with a factor and with alternatives are replaced, and not the end symbol.
    """
    changes = []
    own = score.ids[: len(score) - (score.end is not None)].tolist()
    for column in sorted(range(len(own)), key=lambda column: float(score.logprobs[column])):
        position = int(positions_of(score)[column])
        others = (Change("replace", position, (id,)) for id in score.top_ids[column].tolist() if id != own[column])
        changes += [change for change in others if not applied(score, change).repeats_start][:1]
    return changes


def column_of(score: Score, position: int) -> int:
    """The number of the first factor at or after a position, in the order of the text."""
    return int(np.searchsorted(positions_of(score), position))


def _fitting(score: Score, changes: Sequence[Change], limit: int) -> list[Change]:
    """The changes whose new factors fit into a limit, taken one after another."""
    chosen = []
    for change in changes:
        if (count := _new_factors(score, change)) <= limit:
            chosen.append(change)
            limit -= count
    return chosen


def _new_factors(score: Score, change: Change) -> int:
    """The number of factors that a change makes anew, at most."""
    if change.kind == "replace":
        return len(score) - column_of(score, change.position)
    return len(score) - change.count if change.kind == "cut" else len(score)


def _starts(lm: Language, score: Score) -> Iterable[Change]:
    """Other start symbols that the model allows: BOS, EOS, a line break, and none."""
    starts = {score.start.id: score.start}
    for requested in ("bos", "eos", *_newline(lm), "given"):
        try:
            start = lm.scorer.start(requested)
        except InputError:
            continue
        starts.setdefault(start.id, start)
    return [Change("start", start=start) for start in starts.values() if start is not score.start]


def _newline(lm: Language) -> list[int]:
    """The token of a line break, if there is one."""
    if lm.tokenizer is None or not is_causal(lm):
        return []
    try:
        ids = lm.tokenizer.encode("\n").tolist()
    except InputError:  # a table has no token for it
        return []
    return ids if len(ids) == 1 else []


def _cuts(score: Score) -> Iterable[Change]:
    """The first tokens cut off: 1, 2, 4, and half of them."""
    length = len(sequence_of(score)) - (score.end is not None)
    return [Change("cut", count=count) for count in sorted({*_CUTS, length // 2}) if 0 < count < length]


def _is_possible(score: Score, change: Change) -> bool:
    changed = applied(score, change)
    return changed.factors > 0 and not changed.repeats_start
