"""The sections of a page as data. Called in the model's thread."""

from __future__ import annotations

from typing import Any

from chainrule.language import LanguageModel
from chainrule.pages import comparison_section, growths_section, text_section, variant, variants_section
from chainrule.serving.requests.page import PageBody

TOP = 10  # alternatives at each position, as `LanguageModel.page` has


def section_of(lm: LanguageModel, body: PageBody) -> dict[str, Any]:
    """The section that a request asks for, with its tokens. Raises InputError for texts that cannot be scored."""
    score = _scored(lm, body, body.text)
    match body.section:
        case "variants":
            return variants_section(lm, score)
        case "variant" if body.change is not None:
            return variant(lm, score, body.change.to_dict())
        case "growths":
            return growths_section(lm, score, method=body.method, max_tokens=body.max_tokens, seed=body.seed)
        case "comparison" if body.compare is not None:
            return comparison_section(lm, score, _scored(lm, body, body.compare))
    return text_section(lm, score)


def _scored(lm: LanguageModel, body: PageBody, text: str) -> Any:
    return lm.score(text, context=body.context, start=body.start, top=TOP, special="text")
