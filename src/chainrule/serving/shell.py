"""The page before a text was computed: its form, and places for its panels."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any

from chainrule.pages.document import document

TEXT = "It is raining. I need an umbrella."  # is in the form at first
_NONE = "No text has been computed yet: write one in the form above, and choose Compute."
_SECTIONS = ("text", "openings", "variants", "growths", "comparison")


@lru_cache(8)
def shell(models: tuple[str, ...], closed: bool) -> str:
    """The document. models: their names. closed: the server needs a key; the page then asks for the names with it.

    Addresses are relative, so that the application may be mounted at any path.
    """
    live: dict[str, Any] = {
        "url": "page", "names": "v1/models", "models": list(models), "key": closed, "text": TEXT,
        "lessons": None if closed else "lessons/",
    }  # fmt: skip
    return document(empty(), title="chainrule", live=live)


def empty() -> dict[str, Any]:
    """The data of a page without a text."""
    return {
        "version": version("chainrule"), "model": None, "tokens": {}, "readings": {}, "openings": None, "variants": [],
        "growths": None, "comparison": None, "missing": dict.fromkeys(_SECTIONS, _NONE),
    }  # fmt: skip
