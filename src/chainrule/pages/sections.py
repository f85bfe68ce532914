"""The sections of a page, each a part of its data. A section that cannot be made is absent, and `missing` says why.

All numbers are finite. Others are the strings "Infinity" and "-Infinity".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.engine.head.opened import Opened
from chainrule.engine.question import Progress
from chainrule.errors import InputError
from chainrule.generation.options import Method
from chainrule.pages.changes import requested
from chainrule.pages.growths import check_max_tokens, growths
from chainrule.pages.language import Language, check_score, model_part, title_of
from chainrule.pages.numbers import strict
from chainrule.pages.openings import openings
from chainrule.pages.proposed import proposed
from chainrule.pages.readings import reading
from chainrule.pages.recomputed import by_embeddings, opened, why_closed, with_top
from chainrule.pages.tokens import Tokens
from chainrule.pages.variants import variants, why_unchanged, wrong
from chainrule.pages.versus import comparison, other_score, proposed_score
from chainrule.results.score import Score

Part = dict[str, Any]  # some members of the data of a page

NOTHING_TO_REPLACE = (
    "No token of this text has a known alternative, so there is no other text to compare with: give a second one."
)


def text_section(lm: Language, score: Score, *, progress: Progress | None = None) -> Part:
    """The reading of a score, its openings, and the model. Raises InputError for a score of another model."""
    score = _checked(lm, score, progress)
    return strict(_text(lm, score, _opened(lm, score, progress), progress))


def variants_section(lm: Language, score: Score, *, progress: Progress | None = None) -> Part:
    """The what-ifs of a page: see `proposed`. progress: called with (done, total), in contexts."""
    score = _checked(lm, score, progress)
    return strict(_variants(lm, score, _opened(lm, score, progress), progress))


def text_and_variants(lm: Language, score: Score) -> Part:
    """Both sections. The openings then say which of the texts the sum of raw logits would choose."""
    score = _checked(lm, score)
    return strict(_text_and_variants(lm, score, None))


def variants_and_openings(lm: Language, score: Score, *, progress: Progress | None = None) -> Part:
    """The what-ifs, and the openings, which say which of these texts the sum of raw logits would choose."""
    score = _checked(lm, score, progress)
    main = _opened(lm, score, progress)
    part = _variants(lm, score, main, progress)
    if main is None or not part["variants"]:
        return strict(part)
    tokens = Tokens(lm.tokenizer)
    found, _ = openings(lm, tokens, score, main)
    _judge(found, score, part)
    return strict(merged(part, {"tokens": tokens.names, "openings": found}))


def variant(lm: Language, score: Score, change: Mapping[str, Any], *, progress: Progress | None = None) -> Part:
    """One what-if that a reader asks for: see `requested`. Raises InputError."""
    score, tokens = _checked(lm, score, progress), Tokens(lm.tokenizer)
    if why := why_unchanged(score):
        raise InputError(why)
    main = _opened(lm, score, progress)
    found = variants(lm, tokens, score, [requested(lm, score, change)], main=main, progress=progress)
    return strict({"tokens": tokens.names, "variants": found})


def growths_section(
    lm: Language,
    score: Score,
    method: Method | None = None,
    max_tokens: int = 8,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Part:
    """The text continued by each method: see `growths`."""
    check_score(lm, score)
    check_max_tokens(max_tokens)
    tokens = Tokens(lm.tokenizer)
    try:
        found = growths(lm, tokens, score, method, max_tokens, seed, progress)
    except InputError as error:
        return _missing("growths", None, error.reason.replace(str(lm.model.name), title_of(lm)))
    return strict({"tokens": tokens.names, "growths": found})


def comparison_section(lm: Language, score: Score, other: Any = None, *, progress: Progress | None = None) -> Part:
    """A second text beside the first: its reading "other", and the comparison.

    other: see `other_score`; None: the text with its most surprising token replaced by the most probable other token.
    The reading has no alternatives, which would take half of the page. Raises InputError for a second text that cannot be
    scored.
    """
    score, tokens = _checked(lm, score, progress), Tokens(lm.tokenizer)
    second = proposed_score(lm, score, progress) if other is None else other_score(lm, score, other, progress)
    if second is None:
        return _missing("comparison", None, NOTHING_TO_REPLACE)
    check_score(lm, second)
    readings = {"other": reading(tokens, second, top=0)}
    return strict({"tokens": tokens.names, "readings": readings, "comparison": comparison(score, second)})


def whole(lm: Language, score: Score, *, compare: Any = None, max_tokens: int = 8, progress: Progress | None = None) -> Part:
    """The data of a whole page. Raises InputError as the sections do."""
    check_max_tokens(max_tokens)
    score = _checked(lm, score)
    compared = comparison_section(lm, score, compare)  # first, since a second text may be refused
    data = _text_and_variants(lm, score, progress)
    growing = growths_section(lm, score, max_tokens=max_tokens)
    return strict(merged(data, growing, compared))


def merged(*parts: Part) -> Part:
    """The members of all parts. Tokens, readings and what is missing are put together."""
    data: Part = {}
    for part in parts:
        for name, value in part.items():
            joins = name in ("tokens", "readings", "missing") and name in data
            data[name] = data[name] | value if joins else value
    return data


def _checked(lm: Language, score: Score, progress: Progress | None = None) -> Score:
    """The score with alternatives. Raises InputError if it is none, or of another model."""
    check_score(lm, score)
    return with_top(lm, score, progress)


def _opened(lm: Language, score: Score, progress: Progress | None = None) -> Opened | None:
    return None if why_closed(lm, score) else opened(lm, [score], [0], progress)[0]


def _text(lm: Language, score: Score, main: Opened | None, progress: Progress | None = None) -> Part:
    tokens = Tokens(lm.tokenizer)
    own = reading(tokens, score, embedded=by_embeddings(lm, score, progress))
    found, missing = (None, {"openings": why_closed(lm, score)}) if main is None else openings(lm, tokens, score, main)
    return {
        "model": model_part(lm),
        "tokens": tokens.names,
        "readings": {"text": own},
        "openings": found,
        "missing": missing,
    }


def _variants(lm: Language, score: Score, main: Opened | None, progress: Progress | None) -> Part:
    if why := why_unchanged(score):
        return _missing("variants", [], why)
    tokens, (changes, note) = Tokens(lm.tokenizer), proposed(lm, score)
    found = variants(lm, tokens, score, changes, main=main, progress=progress)
    return {"tokens": tokens.names, "variants": found, "variants_note": note}


def _text_and_variants(lm: Language, score: Score, progress: Progress | None) -> Part:
    main = _opened(lm, score)
    data, of_variants = _text(lm, score, main), _variants(lm, score, main, progress)
    if data["openings"] is not None:
        _judge(data["openings"], score, of_variants)
    return merged(data, of_variants)


def _judge(found: Part, score: Score, of_variants: Part) -> None:
    """Say in the openings which of the text and its what-ifs the sum of raw logits would choose."""
    found["wrong"] = wrong(found["raw_sum"], score.logprob, of_variants["variants"])


def _missing(name: str, empty: Any, why: str) -> Part:
    return {name: empty, "missing": {name: why}, "tokens": {}}
