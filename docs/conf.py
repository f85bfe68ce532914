"""Sphinx builds the site from these pages: `make docs`."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src")]

import reference  # noqa: E402

import chainrule  # noqa: E402

project = "chainrule"
release = version = chainrule.__version__
copyright = "chainrule's authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_static"]
html_theme = "furo"
html_title = f"chainrule {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False

myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80

GENERATED = {"<!-- commands -->": reference.commands_reference, "<!-- columns -->": reference.columns_reference}
OUTSIDE = re.compile(r"\]\((?=\.\./)")  # a link to a file that is no page is a file to download


def read_page(app: Any, name: str, source: list[str]) -> None:
    """What is generated takes the place of its mark, and links to files of the project lead to a copy of them."""
    text = source[0]
    for mark, made in GENERATED.items():
        if mark in text:
            text = text.replace(mark, made())
    if "<!-- ARCHITECTURE.md -->" in text:
        whole = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
        whole = re.sub(r"\]\((?!https?:|#)(?:docs/)?", lambda m: "](" if m[0].endswith("docs/") else "](../", whole)
        text = whole
    source[0] = OUTSIDE.sub("](path:", text)


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code` in it: the signs that mean more in reStructuredText are escaped.

    A paragraph "name: what it is", with its other lines indented, becomes an entry of a list.
    """
    if not any(lines) and what == "attribute":
        lines[:] = [comment_of(name)]
    made, entry, block = [], False, False
    sections = re.compile(r"^(Args|Arguments|Attributes|Returns|Raises|Yields|Examples?|Notes?):\s*$")
    for line in lines:
        if sections.match(line):  # napoleon's, to the end
            block = True
        text = escaped(line)
        found = None if block else re.match(r"^([a-z_]+(?:, [a-z_]+)*): (.*)", line)
        if found:
            made += ([] if entry else [""]) + [f"- **{escaped(found[1])}**: {escaped(found[2])}"]
            entry = True
        elif entry and line.startswith(" "):
            made.append("  " + text.strip())
        else:
            made += ([""] if entry else []) + [text]
            entry = False
    lines[:] = made


def escaped(line: str) -> str:
    """One line of plain text with `code`, as reStructuredText."""
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(f"`{p}`" if i % 2 else re.sub(r"([\\*|]|(?<=\w)_(?=\W|$))", r"\\\1", p) for i, p in enumerate(parts))


def comment_of(name: str) -> str:
    """The comment behind a field of a class, by the field's full name."""
    _, owner, field = name.rsplit(".", 2)
    for each in getattr(getattr(chainrule, owner, None), "__mro__", ()):
        if field in (found := comments(each)):
            return found[field]
    return ""


@cache
def comments(owner: type) -> dict[str, str]:
    """The comments behind the fields of a class, on the same line."""
    try:
        source = inspect.getsource(owner)
    except (OSError, TypeError):
        return {}
    lines = source.splitlines()
    body = ast.parse(inspect.cleandoc(source) if source[0] == " " else source).body[0]
    fields = [each for each in getattr(body, "body", []) if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)]
    behind = {each.target.id: lines[(each.end_lineno or 1) - 1].partition("  # ")[2] for each in fields}
    return {name: escaped(text[0].upper() + text[1:]) for name, text in behind.items() if text}


def setup(app: Any) -> None:
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
