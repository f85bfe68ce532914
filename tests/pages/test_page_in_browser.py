"""The whole page in a browser: every panel draws itself, for every text, screen and reader."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from browser import violations

from chainrule.pages.document import document

NAMES = ["text", "grid", "product", "factor", "what-if", "growing", "comparison", "table"]


@pytest.mark.parametrize("name", ["short", "strange"])
def test_every_panel_has_a_heading_and_a_content(open_page: Callable[..., Any], data_of: Callable[..., Any], name: str):
    page = open_page(data_of(name))
    for panel in NAMES:
        place = page.locator(f'[data-panel="{panel}"]')
        assert place.locator("h2").count() == 1
        assert len(place.inner_text()) > 80


@pytest.mark.parametrize("name", ["short", "strange"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(open_page: Callable[..., Any], data_of: Callable[..., Any], name: str, scheme: str):
    page = open_page(data_of(name), color_scheme=scheme)
    assert violations(page) == []
    page.get_by_label("Notation").select_option("course")
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 768, 1920])
@pytest.mark.parametrize("name", ["short", "strange"])
def test_no_page_is_wider_than_its_screen(open_page: Callable[..., Any], data_of: Callable[..., Any], name: str, width: int):
    page = open_page(data_of(name), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_strange_text_is_shown_as_text(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("strange")
    page = open_page(data)
    text = data["readings"]["text"]["text"]
    assert "<b onclick=" in text
    assert page.locator("b[onclick], main script").count() == 0
    shown = page.evaluate("document.querySelector('[data-panel=text]').textContent")
    for part in ("<b onclick=", "👩‍👩‍👧", "עברית"):
        assert part in shown


def test_the_page_without_the_sections_of_a_model(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    """Panels whose data is missing say why."""
    data = data_of("short")
    missing = {name: f"{name} need a model." for name in ("openings", "variants", "growths", "comparison")}
    page = open_page(data | {"openings": None, "variants": [], "growths": None, "comparison": None, "missing": missing})
    for panel, name in {"factor": "openings", "what-if": "variants", "growing": "growths", "comparison": "comparison"}.items():
        assert missing[name] in page.locator(f'[data-panel="{panel}"]').inner_text()
    assert violations(page) == []


def test_the_keyboard_reaches_every_panel(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(data_of("short"))
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[data-panel]')?.dataset.panel ?? null"))
    assert set(NAMES) <= reached


def test_the_page_prints_every_panel(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(data_of("short"))
    page.emulate_media(media="print")
    assert not page.get_by_label("Notation").is_visible()
    for panel in NAMES:
        assert page.locator(f'[data-panel="{panel}"] h2').is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_the_policy_forbids_requests():
    html = document({"readings": {}, "tokens": {}}, title="<i>a & b</i>")
    assert "default-src 'none'" in html
    assert "connect-src 'none'" in html
    assert "<title>&lt;i&gt;a &amp; b&lt;/i&gt;</title>" in html
    assert not re.search(r"""(src|href)=["'](?!#)""", html)


def test_the_data_is_packed_whole():
    data = {"text": "</script><!--<script>\u2028 עברית 👩‍👩‍👧", "x": -0.1234567890123456}
    html = document(data, title="x")
    assert html.count("</script>") == 3  # the modules, the data, and what begins
    packed = re.search(r'id="data">([A-Za-z0-9+/=]+)</script>', html)
    assert packed is not None
    assert json.loads(gzip.decompress(base64.b64decode(packed[1]))) == data


def test_no_module_makes_markup_of_text():
    web = files("chainrule.pages") / "web"
    modules = [entry for folder in (web, web / "panels") for entry in folder.iterdir() if entry.name.endswith(".js")]
    assert len(modules) > 12
    for module in modules:
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3\.org/2000/svg)",
            module.read_text(),
        )
        assert not found, (module.name, found)


def test_tokens_with_escapes_are_read_from_left_to_right(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(data_of("strange"))
    tokens = dict(page.locator("bdi").evaluate_all("(all) => all.map((e) => [e.textContent, e.getAttribute('dir')])"))
    escaped = {token for token in tokens if re.search(r"\\[a-z]", token)}
    assert len(escaped) > 1
    assert {token for token, direction in tokens.items() if direction == "ltr"} == escaped
