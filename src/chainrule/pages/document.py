"""The page as one HTML document, which needs no other file and makes no request.

The scripts are ES modules, and the file has their texts as they are, compressed, as its data is: to a third. The policy of the
document forbids all requests, but those of a server's page to its own server.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

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


def document(
    data: dict[str, Any],
    *,
    title: str,
    heading: str | None = None,
    body: str | None = None,
    live: dict[str, Any] | None = None,
) -> str:
    """The HTML document of a page.

    data: of `Page.data`. title, heading: plain text; the heading is the title if it is not given. body: the HTML of a lesson,
    with places for panels; None: all panels. live: for the page of a server, the address that computes its sections, the names
    of models, and whether a key is needed.
    """
    content = all_panels(heading or title, data, live) if body is None else body
    shown = data if live is None else data | {"live": live}
    return Template(_asset("document.html")).substitute(
        policy=policy(live is not None),
        title=escape(title),
        css=_asset("page.css") + "".join(_asset(name) for name in _names("panels", ".css")),
        modules=_modules(),
        content=content,
        data=_packed(shown),
    )


def all_panels(heading: str, data: dict[str, Any], live: dict[str, Any] | None = None) -> str:
    """The body of a page with all panels."""
    model = data["model"]["title"] if data.get("model") else ""
    places = "\n".join(f'<section data-panel="{name}" id="{name}"></section>' for name in _PANELS)
    links = "\n".join(f'<li><a href="#{name}">{label}</a></li>' for name, label in _PANELS.items())
    form = '<section id="live" aria-label="A text to compute"></section>' if live is not None else ""
    return (
        f'<header><h1>{escape(heading)}</h1>\n<p class="note">{escape(model)}</p></header>\n{form}\n'
        f'<nav aria-label="Panels" class="no-print"><ul class="links">{links}</ul></nav>\n{places}\n'
    )


@cache
def _modules() -> str:
    """The texts of all modules by their names."""
    return _packed({f"chainrule/{name}": _asset(name) for name in [*_names("", ".js"), *_names("panels", ".js")]})


def policy(live: bool) -> str:
    """The policy of a document: no requests; from a server's page, to the server itself."""
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )


def _packed(data: dict[str, Any]) -> str:
    """JSON, compressed by gzip, in base64."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@cache
def _asset(name: str) -> str:
    return (files("chainrule.pages") / "web").joinpath(*name.split("/")).read_text("utf-8")


@cache
def _names(folder: str, suffix: str) -> list[str]:
    """The assets of a folder, by name."""
    place = files("chainrule.pages") / "web"
    prefix = f"{folder}/" if folder else ""
    where = place / folder if folder else place
    return sorted(prefix + entry.name for entry in where.iterdir() if entry.name.endswith(suffix))
