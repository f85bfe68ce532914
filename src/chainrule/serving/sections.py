"""The sections of a page as data. Called in the model's thread."""

from __future__ import annotations

from typing import Any

from chainrule.engine.question import Progress
from chainrule.pages import comparison_section, growths_section, merged, text_section, variant, variants_section
from chainrule.pages.variants import wrong
from chainrule.results.score import Score
from chainrule.serving.requests.page import PageBody
from chainrule.serving.served import ServedModel

TOP = 10  # alternatives at each position, as `LanguageModel.page` has


def section_of(served: ServedModel, body: PageBody, check: Progress) -> dict[str, Any]:
    """The section that a request asks for, with its tokens. check: is called often, and may raise an error to stop the work.

    Raises InputError for texts that cannot be scored.
    """
    lm = served.lm
    top = min(TOP, served.vocab_size)
    score = lm.score(body.text, context=body.context, start=body.start, top=top, special="text", progress=check)
    match body.section:
        case "text":
            return _text(served, score)
        case "variants":
            return _variants(served, score, check)
        case "variant":
            return variant(lm, score, body.change.to_dict() if body.change else {})
        case "growths":
            return growths_section(lm, score, method=body.method, max_tokens=body.max_tokens, seed=body.seed)
        case "comparison":
            return comparison_section(lm, score, body.compare)


def _text(served: ServedModel, score: Score) -> dict[str, Any]:
    """The model has the name that it is served by: its own may be a path of this machine."""
    data = text_section(served.lm, score)
    return data | {"model": data["model"] | {"name": served.name}}


def _variants(served: ServedModel, score: Score, check: Progress) -> dict[str, Any]:
    """What-ifs, and the openings again: they have what the wrong way makes of the what-ifs."""
    data = variants_section(served.lm, score, progress=check)
    openings = text_section(served.lm, score)
    if openings["openings"] is None or not data["variants"]:
        return data
    more = {"wrong": wrong(openings["openings"]["raw_sum"], score.logprob, data["variants"])}
    return merged(data, {"tokens": openings["tokens"], "openings": openings["openings"] | more})
