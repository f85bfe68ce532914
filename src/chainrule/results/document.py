"""Results that are written as documents: HTML, SVG, LaTeX and JSON."""

from __future__ import annotations

import os
from pathlib import Path

from chainrule.errors import OutputError
from chainrule.files.row_text import json_text
from chainrule.files.writing import write_bytes
from chainrule.results.shown import Shown, exported

_FORMS = {".html": "html", ".htm": "html", ".svg": "svg", ".tex": "latex", ".json": "json"}


class Document(Shown):
    """A result that can be written as a document. It has a method `to_dict`."""

    def to_html(self) -> str:
        """An HTML document without scripts, which needs no other file. It follows the light or dark mode of the reader."""
        return exported(self, "html")

    def to_svg(self) -> str:
        """A picture for slides and papers. Its texts are text, in generic fonts."""
        return exported(self, "svg")

    def to_latex(self) -> str:
        r"""A table for \input in a LaTeX document. The comments at its beginning name the packages that it needs."""
        return exported(self, "latex")

    def to_json(self) -> str:
        """JSON of `to_dict`. Infinities are the strings "Infinity" and "-Infinity"."""
        return json_text(self.to_dict(), indent=2) + "\n"  # pyrefly: ignore[missing-attribute]  (all subclasses have it)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a .html, .svg, .tex or .json file, whole or not at all. Raises OutputError."""
        write_bytes(path, self.as_form(form_of(path)).encode())

    def as_form(self, form: str) -> str:
        """The document in a form that `form_of` names."""
        return self.to_json() if form == "json" else exported(self, form)


def form_of(path: str | os.PathLike[str]) -> str:
    """The form of a document by the suffix of its name: html, svg, latex or json. Raises OutputError for another suffix."""
    form = _FORMS.get(Path(path).suffix.lower())
    if form is None:
        raise OutputError(f"cannot infer the format of {os.fspath(path)!r}: use a name ending in .html, .svg, .tex or .json")
    return form
