"""Charts as files: a page that works offline, a picture, or the Vega-Lite specification."""

from __future__ import annotations

import html
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import OutputError, require
from chainrule.files.writing import write_bytes

if TYPE_CHECKING:
    import altair

_FORMS = {".html": "html", ".htm": "html", ".png": "png", ".svg": "svg", ".json": "json"}
_SCALE = 2  # pixels of a .png for each pixel of the chart


def plot_form(path: str | os.PathLike[str]) -> str:
    """The form of a saved chart by the suffix of its name: html, png, svg or json.

    Raises OutputError for another suffix, and without the extra `plot`.
    """
    form = _FORMS.get(Path(path).suffix.lower())
    if form is None:
        raise OutputError(f"cannot infer the format of {os.fspath(path)!r}: use a name ending in .html, .png, .svg or .json")
    require("plot", "saving a plot", OutputError)
    return form


def save_plot(chart: altair.TopLevelMixin, path: str | os.PathLike[str], inputs: Iterable[str] = ()) -> None:
    """Write a chart to a file, whole or not at all: .html, .png, .svg, or .json with the Vega-Lite specification.

    The .html file holds its scripts, so it needs no other file and no network. Raises OutputError for another suffix, without
    the extra `plot`, and if the file cannot be written.

    inputs: files that must not be overwritten.
    """
    write_bytes(path, plot_bytes(chart, plot_form(path)), inputs)


def plot_bytes(chart: altair.TopLevelMixin, form: str) -> bytes:
    """The content of the file, in a form that `plot_form` names."""
    if form == "html":
        return _page(chart.to_dict()).encode()
    if form == "png":
        picture = io.BytesIO()
        chart.save(picture, format="png", scale_factor=_SCALE)
        return picture.getvalue()
    text = io.StringIO()
    chart.save(text, format=form)  # pyrefly: ignore[bad-argument-type]
    return text.getvalue().encode()


def _page(spec: dict[str, Any]) -> str:
    """A page with the chart. altair's own page breaks if a text contains "</script>"."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    scripts = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    data = json.dumps(spec).replace("<", "\\u003c")
    heading = spec.get("title", "chart")
    name = html.escape(heading["text"] if isinstance(heading, dict) else str(heading))
    actions = {"export": True, "source": False, "compiled": False, "editor": False}  # the editor is on the network
    options = json.dumps({"mode": "vega-lite", "renderer": "svg", "actions": actions})
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>body {{ margin: 16px; background: white; }}</style>\n"
        f"<script>{scripts}</script>\n</head>\n<body>\n"
        f'<div id="chart"></div>\n<script>vegaEmbed("#chart", {data}, {options}).catch(console.error)</script>\n'
        "</body>\n</html>\n"
    )
