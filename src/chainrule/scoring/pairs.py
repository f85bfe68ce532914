"""Minimal pairs: all texts scored as one batch, and the factors of their critical regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.engine.question import Settings
from chainrule.errors import InputError, short
from chainrule.results.batch import Scores
from chainrule.results.pairs import Pairs, RegionFactors
from chainrule.scoring.regions import given_tokens, token_characters
from chainrule.scoring.scorer import Scorer
from chainrule.text.arguments import is_missing
from chainrule.text.reading import Reading
from chainrule.text.regions import Region, located, tokens_of_region, unmarked

SIDES = ("good", "bad")


def score_pairs(
    scorer: Scorer,
    texts: tuple[list[Any], list[Any]],
    contexts: list[Any],
    phenomena: list[Any] | None,
    regions: tuple[list[Any], list[Any]] | None,
    marked: bool,
    settings: Settings,
    reading: Reading,
    *,
    start: str | int | None,
    end: bool | int | None,
) -> Pairs:
    """The pairs (texts[0][i], texts[1][i]). regions: the critical region of each text; marked: whether the texts mark it.

    Raises InputError, with the number of the pair, for a pair that cannot be scored.
    """
    count = len(texts[0])
    _check_lengths(count, good=texts[0], bad=texts[1], context=contexts, phenomenon=phenomena)
    if not count:
        raise InputError("there are no pairs, so there is no accuracy")
    names = None if phenomena is None else [_name(label, i) for i, label in enumerate(phenomena)]
    both: list[Any] = [text for pair in zip(*texts, strict=True) for text in pair]
    places: list[Region] | None = None
    if marked:
        if regions is not None:
            raise InputError("give marked=True, or the regions, not both")
        both, places = map(list, zip(*(_unmarked(text, s) for s, text in enumerate(both)), strict=True))
    elif regions is not None:
        _check_lengths(count, good=texts[0], good_region=regions[0], bad_region=regions[1])
        wanted = [region for pair in zip(*regions, strict=True) for region in pair]
        places = [_located(text, region, s) for s, (text, region) in enumerate(zip(both, wanted, strict=True))]
    try:
        requests = scorer.requests(both, [context for context in contexts for _ in SIDES], reading)
        scores = scorer.score(requests, settings, start=start, end=end)
    except InputError as error:
        if error.item is None:
            raise
        raise _of_pair(error.reason, error.item) from None
    return Pairs(scores, names, None if places is None else _region_factors(scores, places))


def _region_factors(scores: Scores, regions: Sequence[Region]) -> RegionFactors:
    """The factors of one region of each sequence. Raises InputError for a region of which a token has no factor."""
    texts, crossing, bounds = list[str](), list[list[str]](), []
    for s, ((begin_T, stop_T), region) in enumerate(zip(token_characters(scores), regions, strict=True)):
        text, given = scores.requests[s].text or "", given_tokens(scores, s)
        found = tokens_of_region(text, begin_T, stop_T, region)
        if found.first == found.stop:
            raise _of_pair(f"no token spells the region {short(text[slice(*region)])} of {short(text)}", s)
        if found.first < given:
            raise _of_pair("the first token of the region is given and has no factor: choose a start symbol with start=", s)
        first = int(scores.offsets[s]) + found.first - given
        bounds.append((first, first + found.stop - found.first))
        texts.append(text[slice(*region)])
        crossing.append([scores[s].tokens[i - given] for i in found.crossing])
    first_S, stop_S = np.array(bounds, np.int64).T
    return RegionFactors(texts, first_S, stop_S, crossing)


def _unmarked(text: Any, s: int) -> tuple[str, Region]:
    if not isinstance(text, str):
        raise _of_pair(f"marked=True is for texts, not {type(text).__name__}", s)
    try:
        return unmarked(text)
    except InputError as error:
        raise _of_pair(error.reason, s) from None


def _located(text: Any, region: Any, s: int) -> Region:
    if not isinstance(text, str) or not isinstance(region, str):
        raise _of_pair(f"a region is a part of a text, not {short(region)} of {short(text)}", s)
    try:
        return located(text, region)
    except InputError as error:
        raise _of_pair(error.reason, s) from None


def _of_pair(reason: str, s: int) -> InputError:
    """The error of sequence s, with the number of its pair."""
    return InputError(f"the {SIDES[s % 2]} text: {reason}", s // 2)


def _name(label: Any, item: int) -> str:
    if is_missing(label):
        raise InputError(f"the phenomenon is missing ({label}): give each pair one, or leave phenomenon= out", item)
    return str(label)


def _check_lengths(count: int, **columns: list[Any] | None) -> None:
    """Raises InputError unless all columns have this many items."""
    first = next(iter(columns))
    for name, values in columns.items():
        if values is not None and len(values) != count:
            raise InputError(f"there are {count} items in {first} and {len(values)} in {name}: they must be as many")
