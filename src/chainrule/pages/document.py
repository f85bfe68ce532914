"""The page as one HTML document, which needs no other file and makes no request.

The scripts are ES modules. An import map gives the name of each its text, so that the file also works from a disk, where
modules of other files cannot be loaded. The policy of the document forbids all requests, but those of a server's page to its
own server.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

_PANELS = {
    "text": "The text",
    "grid": "The grid of contexts",
    "product": "The product",
    "factor": "One factor, opened",
    "what-if": "What if",
    "growing": "Growing",
    "comparison": "Two texts compared",
    "table": "A table of your own",
}
_SAFE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in "%#<")  # of a module's text: as it is in its URL
_START = 'import { start } from "chainrule/main.js"; start();'


def document(data: dict[str, Any], *, title: str, body: str | None = None, live: dict[str, Any] | None = None) -> str:
    """The HTML document of a page.

    data: of `Page.data`. title: plain text. body: the HTML of a lesson, with places for panels; None: all panels. live: for the
    page of a server, the address that computes its sections, the names of models, and whether a key is needed.
    """
    content = all_panels(title, data, live) if body is None else body
    shown = data if live is None else data | {"live": live}
    return _DOCUMENT.format(
        policy=_policy(live is not None),
        title=escape(title),
        css=_asset("page.css") + "".join(_asset(name) for name in _names("panels", ".css")),
        modules=_in_script(import_map()),
        content=content,
        data=_packed(shown),
        start=_START,
    )


def all_panels(title: str, data: dict[str, Any], live: dict[str, Any] | None = None) -> str:
    """The body of a page with all panels."""
    model = data["model"]["title"] if data.get("model") else ""
    places = "\n".join(f'<section data-panel="{name}" id="{name}"></section>' for name in _PANELS)
    links = "\n".join(f'<li><a href="#{name}">{label}</a></li>' for name, label in _PANELS.items())
    form = '<section id="live" aria-label="A text to compute"></section>' if live is not None else ""
    return (
        f'<header><h1>{escape(title)}</h1>\n<p class="note">{escape(model)}</p></header>\n{form}\n'
        f'<nav aria-label="Panels" class="no-print"><ul class="links">{links}</ul></nav>\n{places}\n'
    )


@cache
def import_map() -> dict[str, dict[str, str]]:
    """The modules of the page by their names, each as a data: URL."""
    names = [*_names("", ".js"), *_names("panels", ".js")]
    return {"imports": {f"chainrule/{name}": "data:text/javascript," + quote(_asset(name), safe=_SAFE) for name in names}}


def _policy(live: bool) -> str:
    """No requests; from a server's page, to the server itself."""
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )


def _in_script(value: Any) -> str:
    """JSON that cannot end the element that it is in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _packed(data: dict[str, Any]) -> str:
    """JSON, compressed to a third: numbers with all their digits are long."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "web").joinpath(*name.split("/")).read_text("utf-8")


@cache
def _names(folder: str, suffix: str) -> list[str]:
    """The assets of a folder, by name."""
    place = files(__package__) / "web"
    prefix = f"{folder}/" if folder else ""
    where = place / folder if folder else place
    return sorted(prefix + entry.name for entry in where.iterdir() if entry.name.endswith(suffix))


_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{css}</style>
<script type="importmap">{modules}</script>
</head>
<body>
<a class="skip" href="#page">To the page</a>
<div id="settings" role="region" aria-label="Settings" class="no-print"></div>
<main id="page" tabindex="-1">
<noscript><p class="warning">The panels need JavaScript. <code>chainrule explain TEXT -o table.html</code> writes a table
that does not.</p></noscript>
{content}</main>
<div id="announcer" class="hidden" role="status" aria-live="polite"></div>
<script type="text/plain" id="data">{data}</script>
<script type="module">{start}</script>
</body>
</html>
"""
