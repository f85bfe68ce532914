"""Sphinx builds the site from these pages: `make docs`."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src")]

import reference  # noqa: E402
from sphinx.ext.napoleon import Config, GoogleDocstring  # noqa: E402

import chainrule  # noqa: E402

project = "chainrule"
release = version = chainrule.__version__
copyright = "chainrule's authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_static"]
smartquotes = False  # options begin with two hyphens
html_theme = "furo"
html_title = f"chainrule {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
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
SECTION = re.compile(r"^(Args|Arguments|Attributes|Returns|Raises|Yields|Examples?|Notes?):\s*$")  # of Google's style


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
    out = "../" * (name.count("/") + 1)
    source[0] = text.replace(f"]({out}", f"](path:{out}")  # a file that is no page is one to download


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code` in it: the signs that mean more in reStructuredText are escaped.

    A paragraph "name: what it is", with its other lines indented, becomes an entry of a list.
    """
    made, entry, block = [], False, False
    for line in lines:
        block = block or bool(SECTION.match(line))  # to the end
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
    if block:
        made = GoogleDocstring(made, Config(napoleon_use_rtype=False), app, "function", name, obj, options).lines()
    lines[:] = made + (listed(fields_of(obj)) if what == "class" else [])


def escaped(line: str) -> str:
    """One line of plain text with `code`, as reStructuredText."""
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(f"`{p}`" if i % 2 else re.sub(r"([\\*|]|(?<=\w)_(?=\W|$))", r"\\\1", p) for i, p in enumerate(parts))


def listed(fields: dict[str, tuple[str, str]]) -> list[str]:
    """The fields of a class as a list: name, type as it is written, and the comment."""
    lines = [
        f"- **{name}** ({escaped(kind)}){': ' if comment else ''}{escaped(comment)}" for name, (kind, comment) in fields.items()
    ]
    return ["", *lines, ""] if lines else []


@cache
def fields_of(owner: type) -> dict[str, tuple[str, str]]:
    """The fields of a class, and of its bases that have no entry of their own in the reference."""
    bases = [base for base in owner.__bases__ if base.__module__.startswith("chainrule.") and not is_public(base)]
    return {
        name: field for each in (*bases, owner) for name, field in (fields_of if each in bases else own_fields)(each).items()
    }


def is_public(owner: type) -> bool:
    return getattr(chainrule, owner.__name__, None) is owner


def own_fields(owner: type) -> dict[str, tuple[str, str]]:
    """The annotated fields of a class: type, and the comment on the same line."""
    source = inspect.getsource(owner)
    lines, body = source.splitlines(), ast.parse(source).body[0]
    found = [
        each for each in getattr(body, "body", []) if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]
    found = [each for each in found if not ast.unparse(each.annotation).startswith("ClassVar")]
    after = [lines[(each.end_lineno or 1) - 1].partition("  # ")[2] for each in found]
    return {
        ast.unparse(f.target): (ast.unparse(f.annotation).replace("np.", ""), text)
        for f, text in zip(found, after, strict=True)
    }


def no_signature(app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returns: str) -> Any:
    """Results and configs are not made by users: their fields are listed in its place."""
    return ("", None) if what == "class" and fields_of(obj) else None


def in_the_list(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields are in the list of their class, and have no entry of their own."""
    owners = [getattr(chainrule, each) for each in chainrule.__all__ if isinstance(getattr(chainrule, each), type)]
    return True if any(name in fields_of(owner) for owner in owners) and not callable(obj) and not is_property(obj) else None


def is_property(obj: Any) -> bool:
    return isinstance(obj, property | cached_property)


def setup(app: Any) -> None:
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("autodoc-process-signature", no_signature)
    app.connect("autodoc-skip-member", in_the_list)
