"""The page of one text: the chain rule and its factors as one HTML file, which needs no other file and no network."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from chainrule.engine.question import Progress
from chainrule.errors import OutputError
from chainrule.files.row_text import json_text
from chainrule.files.writing import write_bytes
from chainrule.pages.document import document
from chainrule.pages.language import Language, described
from chainrule.pages.numbers import strict
from chainrule.pages.readings import reading
from chainrule.pages.sections import whole
from chainrule.pages.tokens import Tokens
from chainrule.results.explanation import Explanation
from chainrule.results.score import Score

_HEIGHT = 640  # CSS pixels in a notebook
_TITLE = 60  # characters of the text in a title

NO_MODEL = "This page was made from factors alone, without the model: make it with lm.page(text) or lm.explain(text).page()."


class Page:
    """The page of one text: its factors, each opened, what-ifs, generation step by step, and a second text beside it.

    `html` is one file without external parts; `data` is the plain data that it shows, for JSON.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @property
    def title(self) -> str:
        """The beginning of the text, and the name of the model."""
        return " · ".join(filter(None, (self._beginning, self.data["model"]["name"], "chainrule")))

    @property
    def _beginning(self) -> str:
        own = self.data["readings"]["text"]["text"]
        text = "" if own is None else " ".join(own.split())
        return text if len(text) <= _TITLE else text[: _TITLE - 1] + "…"

    @property
    def html(self) -> str:
        """The whole document."""
        return document(self.data, title=self.title, heading=self._beginning or None)

    def to_dict(self) -> dict[str, Any]:
        """The data, for JSON. Infinities are the strings "Infinity" and "-Infinity"."""
        return self.data

    def to_json(self) -> str:
        """JSON of `to_dict`."""
        return json_text(self.data)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a .html file, whole or not at all. Raises OutputError."""
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise OutputError(f"cannot write the page to {os.fspath(path)!r}: use a name ending in .html")
        write_bytes(path, self.html.encode())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its styles and scripts do not meet those of a notebook."""
        return (
            f'<iframe srcdoc="{escape(self.html)}" title="{escape(self.title)}" width="100%" height="{_HEIGHT}" '
            'style="border: 0; resize: vertical; overflow: auto"></iframe>'
        )

    def __repr__(self) -> str:
        factors = len(self.data["readings"]["text"]["position"])
        return f"Page({self.title}, {factors} factors)"


def page_of(lm: Language, score: Score, *, compare: Any = None, max_tokens: int = 8, progress: Progress | None = None) -> Page:
    """The page of a score of this model.

    compare: a second text, token ids or a `Score`; None: the text with its most surprising token replaced. max_tokens: of
    generated texts. progress: called with (done, total), in contexts: for the factors of the what-ifs, then for their logits.
    Raises InputError.
    """
    data = whole(lm, score, compare=compare, max_tokens=max_tokens, progress=progress)
    return Page({"version": score.identity.chainrule, **data})


def page_of_factors(explanation: Explanation) -> Page:
    """The page of an explanation without its model: the panels that need only the factors."""
    score = explanation.score
    tokens = Tokens(score.tokenizer)
    own = reading(tokens, score)
    kind = "causal" if score.ordering is None else "any-order"
    return Page(
        {
            "version": score.identity.chainrule,
            "model": described(score.identity, kind, None),
            "tokens": tokens.names,
            "readings": {"text": strict(own)},
            "openings": None,
            "variants": [],
            "growths": None,
            "comparison": None,
            "missing": dict.fromkeys(("openings", "variants", "growths", "comparison"), NO_MODEL),
        }
    )
