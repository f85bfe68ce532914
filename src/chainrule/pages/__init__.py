"""The page of the chain rule: a text and its factors as one HTML file, with the parts that a server sends one by one."""

from chainrule.pages.page import Page, page_of, page_of_factors
from chainrule.pages.readings import pseudo_reading, reading
from chainrule.pages.sections import (
    comparison_section,
    growths_section,
    merged,
    text_section,
    variant,
    variants_and_openings,
    variants_section,
)
from chainrule.pages.tokens import Tokens

__all__ = [
    "Page",
    "Tokens",
    "comparison_section",
    "growths_section",
    "merged",
    "page_of",
    "page_of_factors",
    "pseudo_reading",
    "reading",
    "text_section",
    "variant",
    "variants_and_openings",
    "variants_section",
]
