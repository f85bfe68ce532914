"""The panel of the text: tokens shaded by surprisal, and the details of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser import violations
from panel_pages import given, impossible, number_of, only, ordered, pseudo

DETAILS = '[data-panel="text"] .details'
SELECTED = '[role="option"][aria-selected="true"]'


def detail(page: Any, name: str) -> str:
    """The value beside a name in the details."""
    return page.locator(f"{DETAILS} dl > div", has=page.get_by_text(name, exact=True)).locator("dd").inner_text()


def shows(page: Any, token: str) -> None:
    """Wait until the details are those of a token."""
    shown = "([place, token]) => document.querySelector(place).textContent.includes(`= ${token}`)"
    page.wait_for_function(shown, arg=[DETAILS, token])


def test_the_details_are_the_numbers_of_the_data(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short")
    reading = data["readings"]["text"]
    page = open_page(only("text", data))
    page.locator('[data-position="2"]').hover()
    shows(page, "␣ra")
    assert number_of(detail(page, "Pr")) == reading["probability"][2]
    assert number_of(detail(page, "log Pr").removesuffix(" nats")) == reading["logprob"][2]
    assert number_of(detail(page, "Surprisal").removesuffix(" bits")) == reading["surprisal_bits"][2]
    assert number_of(detail(page, "Entropy").removesuffix(" bits")) == reading["entropy_bits"][2]
    assert detail(page, "Rank") == f"{reading['rank'][2]} of 49,152"
    assert detail(page, "Factor") == "Pr(x2 | s, e0, e1)"
    assert "3 embeddings" in detail(page, "Given")
    assert page.locator(f"{DETAILS} tr.own").inner_text().split()[:2] == ["437", "␣ra"]
    assert page.locator(f"{DETAILS} tbody tr").count() == len(reading["top"][2]) + 1  # the token itself is not among them
    page.locator("h1").hover()
    shows(page, "It")


def test_the_keyboard_moves_and_selects(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("text", data_of("short")))
    page.locator('[role="option"][tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    shows(page, "␣is")
    assert page.locator(SELECTED).inner_text() == "It"
    page.keyboard.press("Enter")
    assert page.locator(SELECTED).inner_text().strip() == "is"
    page.keyboard.press("End")
    page.keyboard.press(" ")
    assert page.locator(SELECTED).get_attribute("data-position") == "9"


def test_a_click_selects_in_all_panels(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(data_of("short"))
    page.locator('[data-panel="text"] [data-position="3"]').click()
    assert page.locator('[data-panel="grid"] [aria-selected="true"]').get_attribute("data-row") == "3"
    assert "ining" in page.locator('[data-panel="factor"] .which').inner_text()
    page.locator('[data-panel="grid"] [data-row="5"]').click()
    assert page.locator('[data-panel="text"] [aria-selected="true"]').get_attribute("data-position") == "5"


def test_the_shade_has_a_second_sign(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    """The bar under a token is as high as its surprisal; names have the token, Pr and rank."""
    data = data_of("short")
    page = open_page(only("text", data))
    for position, bits in enumerate(data["readings"]["text"]["surprisal_bits"]):
        token = page.locator(f'[data-position="{position}"]')
        assert float(token.evaluate("e => e.style.getPropertyValue('--part')")) == pytest.approx(min(bits / 16, 1), abs=1e-3)
    assert page.locator('[data-position="1"]').get_attribute("aria-label") == "is, Pr 0.004358, rank 24"


def test_a_text_is_shown_in_its_own_characters(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("strange")
    reading = data["readings"]["text"]
    page = open_page(only("text", data))
    text = page.evaluate("document.querySelector('.running').textContent")
    assert text == "".join(reading["pieces"])
    assert page.locator('.running [role="option"]').count() == len(reading["sequence"])
    assert page.locator(".running b, .running script").count() == 0
    assert page.evaluate("[...document.querySelectorAll('.running > *')].every((e) => e.getBoundingClientRect().width > 0)")


def test_characters_of_several_tokens_stay_whole(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("text", data_of("short")))
    shown = page.evaluate(
        """async (pieces) => (await import("chainrule/panels/text_pieces.js")).shownPieces(pieces)""",
        ["a", " 👩", "", "\u200d", "👧", "", "e", "\u0301x", "", "y", "", "é"],
    )
    assert shown == ["a", " 👩\u200d👧", "", "", "", "", "e\u0301", "x", "", "y", "", "é"]


def test_given_tokens_have_no_factor(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("text", given(data_of("short"), 3)))
    first = page.locator('[data-position="0"]')
    assert first.get_attribute("aria-disabled") == "true"
    first.hover()
    shows(page, "It")
    assert "it has no factor" in page.locator(DETAILS).inner_text()
    first.dispatch_event("click")
    assert page.locator(SELECTED).get_attribute("data-position") == "3"
    assert violations(page) == []


def test_the_notation_changes_formulas(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("text", data_of("short")))
    page.get_by_label("Notation").select_option("course")
    shows(page, "It")
    page.wait_for_function("() => document.querySelector('.details dd').textContent === 'Pr(x1 | e0)'")


@pytest.mark.parametrize("kind", ["zero", "ids", "pseudo", "order"])
def test_other_readings(open_page: Callable[..., Any], data_of: Callable[..., Any], kind: str):
    data = data_of("short")
    if kind == "ids":
        data["readings"]["text"] |= {"text": None, "pieces": None}
    made = {"zero": lambda: impossible(data, 4), "ids": lambda: data, "pseudo": lambda: pseudo(data)}
    page = open_page(only("text", made.get(kind, lambda: ordered(data, [0, 4, 2, 1, 3, 9, 8, 7, 6, 5]))()))
    page.locator('[data-position="4"]').click()
    shows(page, ".")
    context = {"zero": "5 embeddings", "ids": "5 embeddings", "pseudo": "10 embeddings", "order": "2 embeddings"}[kind]
    assert context in detail(page, "Given")
    assert ("−∞" in detail(page, "log Pr")) == (kind == "zero")
    assert violations(page) == []


def test_a_reading_without_ranks_and_entropies(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short") | {"model": None}
    data["readings"]["text"] |= {"rank": None, "entropy_bits": None}
    page = open_page(only("text", data))
    shows(page, "It")
    assert page.locator('[data-position="1"]').get_attribute("aria-label") == "is, Pr 0.004358"
    assert page.locator(f"{DETAILS} dt").all_inner_texts() == ["Factor", "Token", "Pr", "log Pr", "Surprisal", "Given"]
    assert "null" not in page.locator(DETAILS).inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_is_accessible(open_page: Callable[..., Any], data_of: Callable[..., Any], scheme: str):
    page = open_page(only("text", data_of("strange")), color_scheme=scheme)
    page.locator('[data-position="7"]').click()
    shows(page, "")
    assert violations(page) == []
