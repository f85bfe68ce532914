"""The sections of a page as data. Called in the model's thread."""

from __future__ import annotations

from typing import Any

from chainrule.engine.question import Progress
from chainrule.pages import comparison_section, growths_section, text_section, variant, variants_and_openings
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
            return _text(served, score, check)
        case "variants":
            return variants_and_openings(lm, score, progress=check)
        case "variant":
            return variant(lm, score, body.change.to_dict() if body.change else {}, progress=check)
        case "growths":
            how = {"method": body.method, "max_tokens": body.max_tokens, "seed": body.seed}
            return growths_section(lm, score, **how, progress=check)
        case "comparison":
            return comparison_section(lm, score, body.compare, progress=check)


def _text(served: ServedModel, score: Score, check: Progress) -> dict[str, Any]:
    """The model has the name that it is served by: its own may be a path of this machine."""
    data = text_section(served.lm, score, progress=check)
    dtype = data["model"]["title"].rpartition(" · ")[2]
    return data | {"model": data["model"] | {"name": served.name, "title": f"{served.name} · {dtype}"}}
