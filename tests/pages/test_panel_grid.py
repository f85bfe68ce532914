"""The grid of contexts: its shape, its rows, and other orders."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from browser import violations
from panel_pages import given, only, ordered, pseudo

ORDER = [3, 1, 4, 0, 2, 9, 8, 7, 6, 5]


def filled(page: Any) -> list[list[int]]:
    """The filled columns of each row, by the drawing itself."""
    paths = page.locator(".context").evaluate_all("paths => paths.map((path) => path.getAttribute('d'))")
    own = page.locator('[data-row="0"] .own').evaluate("e => e.getBoundingClientRect().width")
    cell = own + 3  # the outline of a cell is inside it
    left = float(page.locator(".lines").get_attribute("d").split()[0].removeprefix("M"))
    rows = []
    for path in paths:
        runs = re.findall(r"M([\d.]+) [\d.]+h([\d.]+)", path)
        rows.append([round((float(x) - left) / cell) + k for x, w in runs for k in range(round(float(w) / cell))])
    return rows


def test_a_causal_model_makes_a_triangle(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", data_of("short")))
    assert filled(page) == [list(range(i + 1)) for i in range(10)]
    assert page.locator("figcaption").inner_text().startswith("A triangle")
    assert page.locator('[data-row="2"] .context').get_attribute("d").count("M") == 1  # adjacent cells are one shape


def test_a_masked_model_makes_a_square_without_its_diagonal(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", pseudo(data_of("short"))))
    assert filled(page) == [[c for c in range(11) if c != i + 1] for i in range(10)]
    assert page.locator("figcaption").inner_text().startswith("A full square without its diagonal")
    assert violations(page) == []


def test_an_order_permutes_the_rows(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", ordered(data_of("short"), ORDER)))
    assert filled(page) == [sorted([0, *(p + 1 for p in ORDER[:i])]) for i in range(10)]
    assert page.locator("figcaption").inner_text().startswith("Permuted rows")
    assert violations(page) == []


def test_given_tokens_have_columns_but_no_rows(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", given(data_of("short"), 3)))
    assert filled(page) == [list(range(i + 3)) for i in range(7)]
    assert "first 3 tokens are given" in page.locator("figcaption").inner_text()


def test_rows_have_names_and_the_keyboard_moves_among_them(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", data_of("short")))
    assert page.locator('[data-row="2"]').get_attribute("aria-label") == "Pr(x_2 | s, e_0, e_1): ra, given s, It, is"
    page.locator('[role="option"][tabindex="0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.row") == "2"
    assert page.locator('[aria-selected="true"]').get_attribute("data-row") == "2"
    assert page.locator(".line").inner_text().startswith("Pr(x2 | s, e0, e1) = 0.0001028: ␣ra, given")
    page.get_by_label("Notation").select_option("course")
    assert page.locator('[data-row="2"]').get_attribute("aria-label") == "Pr(x_3 | e_0, e_1, e_2): ra, given x₀, It, is"


def test_another_order_is_drawn(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", data_of("short")))
    field = page.get_by_label("Another order of prediction")
    field.fill("3 1 4 0 2 9 8 7 6 5")
    field.press("Enter")
    assert filled(page) == [sorted([0, *(p + 1 for p in ORDER[:i])]) for i in range(10)]
    assert "the numbers on this page are those of the model's own order" in page.locator("figcaption").inner_text()
    page.locator('[data-row="2"]').click()
    assert page.locator(".line").inner_text().startswith("Pr(x4 | s, e3, e1): .")  # no number: that of this order is not known
    assert violations(page) == []
    page.get_by_role("button", name="Right to left").click()
    assert filled(page)[1] == [0, 10]
    page.get_by_role("button", name="Random").click()
    assert "seed 1" in page.locator(".orders .note").inner_text()
    page.get_by_role("button", name="The model's own order").click()
    assert page.locator("figcaption").inner_text().startswith("A triangle")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 x", "“x” is not a position"),
        ("0 1 1 2 3 4 5 6 7 8", "Position 1 is there twice"),
        ("0 1 2 3 4 5 6 7 8", "9 missing"),
        ("0 1 2 3 4 5 6 7 8 10", "no token to predict at position 10: write 0 to 9"),
        ("", "Write the positions"),
    ],
)
def test_what_is_no_order_is_refused(open_page: Callable[..., Any], data_of: Callable[..., Any], text: str, message: str):
    page = open_page(only("grid", data_of("short")))
    page.get_by_label("Another order of prediction").fill(text)
    page.get_by_role("button", name="Show").click()
    assert message in page.locator(".orders .warning").inner_text()
    assert page.locator("figcaption").inner_text().startswith("A triangle")


def test_an_order_in_the_notation_of_the_course(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    """x_0 is the start symbol there: it comes first, or is left out."""
    page = open_page(only("grid", data_of("short")))
    page.get_by_label("Notation").select_option("course")
    field = page.get_by_label("Another order of prediction")
    for text in ("0 4 2 5 1 3 10 9 8 7 6", "4 2 5 1 3 10 9 8 7 6"):
        field.fill(text)
        field.press("Enter")
        assert page.locator('[data-row="0"]').get_attribute("aria-label").startswith("Pr(x_4 | e_0)")
    field.fill("4 0 2 5 1 3 10 9 8 7 6")
    field.press("Enter")
    assert "x₀ is the start symbol" in page.locator(".orders .warning").inner_text()


def test_a_large_grid_is_light(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    """1,000 rows: some elements a row, not one for each of a million cells; cells of 2 pixels, in a region of their own."""
    data = data_of("short")
    reading = data["readings"]["text"]
    for name, value in list(reading.items()):
        if isinstance(value, list) and len(value) == 10:
            reading[name] = value * 100
    reading.update(position=list(range(1000)), contexts=list(range(1, 1001)))
    page = open_page(only("grid", data), viewport={"width": 320, "height": 800})
    assert page.locator("[data-row]").count() == 1000
    assert page.locator("svg *").count() < 6000
    assert page.locator('[data-row="0"] .own').get_attribute("width") == "2"
    assert page.evaluate("document.documentElement.scrollWidth - document.querySelector('#settings').scrollWidth") <= 32


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["short", "strange"])
def test_the_grid_is_accessible(open_page: Callable[..., Any], data_of: Callable[..., Any], name: str, scheme: str):
    page = open_page(only("grid", data_of(name)), color_scheme=scheme)
    assert page.locator("main script, main b").count() == 0
    assert violations(page) == []


def test_the_focus_stays_on_a_control(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("grid", data_of("short")))
    for name in ("Random", "Right to left"):
        page.get_by_role("button", name=name).press("Enter")
        assert page.evaluate("document.activeElement.textContent") == name
    page.get_by_role("button", name="The model's own order").press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
