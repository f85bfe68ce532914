"""The panel of one factor: the steps from tokens to the product, and the wrong way beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser import violations
from panel_pages import number_of, only

STEPS = ["Tokens", "Embeddings", "Hidden state", "Logits", "Softmax", "Pick the factor", "Multiply"]


def with_sums(data: dict[str, Any]) -> dict[str, Any]:
    """Sums of logits, by which replacement 1 is the best."""
    data["openings"] |= {"raw_sum": 203.5, "wrong": {"best_by_logits": 1, "best_by_probability": -1}}
    for k, variant in enumerate(data["variants"]):
        variant["raw_sum"] = 300.25 if k == 1 else 200.125 + k
    return data


def numbers(page: Any, step: int) -> list[float]:
    """The numbers of the equations of a step."""
    return [number_of(text) for text in page.locator(f".list > li:nth-child({step}) .equation .number").all_inner_texts()]


def test_the_steps_are_those_of_the_course(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("factor", data_of("short")))
    assert page.locator(".list > li .step strong").all_inner_texts() == STEPS
    label = page.locator(".figure svg").get_attribute("aria-label")
    assert "tokens (1 id), then embeddings e (1 × 576), then hidden state h (576), then logits z (49,152)" in label


def test_every_factor_has_the_numbers_of_the_data(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short")
    reading, openings = data["readings"]["text"], data["openings"]
    page = open_page(only("factor", data))
    for i in range(len(reading["logprob"])):
        assert f"(factor {i + 1} of 10)" in page.locator(".which").inner_text()
        assert page.locator(".inputs tbody tr").count() == min(i + 1, 8)
        assert numbers(page, 5) == [openings["logit"][i], openings["logsumexp"][i], reading["logprob"][i]]
        before = reading["running_logprob"][i - 1] if i else 0
        assert numbers(page, 7)[-3:] == [before, reading["logprob"][i], reading["running_logprob"][i]]
        assert numbers(page, 7)[2] == float(reading["running_probability"][i])
        assert number_of(page.locator(".list > li:nth-child(6) p .number").inner_text()) == reading["probability"][i]
        page.get_by_role("button", name="Next").press("Enter")
    assert page.get_by_role("button", name="Next").get_attribute("aria-disabled") == "true"


def test_embeddings_are_rows_of_the_table(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short")
    page = open_page(only("factor", data))
    page.get_by_role("button", name="Next").click()
    row = page.locator(".inputs tbody tr").nth(1)
    assert row.locator("th").inner_text() == "e0"
    token, number, norm, first, nearest = row.locator("td").all_inner_texts()
    assert (token, number) == ("It", "1,589")
    inputs = data["openings"]["inputs"]
    assert number_of(norm) == pytest.approx(inputs["norm"][1], rel=1e-4)
    assert [number_of(value) for value in first.split()[:-1]] == pytest.approx(inputs["first"][1], abs=5e-4)
    assert data["tokens"][str(inputs["nearest"][1][0][0])] in nearest
    assert data["openings"]["position"]["description"] in page.locator(".list").inner_text()
    page.get_by_label("Notation").select_option("course")
    assert page.locator(".inputs tbody th").all_inner_texts() == ["e0", "e1"]


def test_a_long_context_is_shortened(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("factor", data_of("strange")))
    for _ in range(20):
        page.get_by_role("button", name="Next").click()
    assert page.locator(".inputs tbody tr").count() == 8
    page.get_by_role("button", name="Show all 21 embeddings").click()
    assert page.locator(".inputs tbody tr").count() == 21


def test_the_highest_logits(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short")
    page = open_page(only("factor", data))
    shown = [number_of(text) for text in page.locator(".logits td.number:last-child").all_inner_texts()]
    top = [z for _, z in data["openings"]["top_logits"][0]]
    assert shown == pytest.approx([*top, data["openings"]["logit"][0]], rel=1e-5)
    assert page.locator(".logits tr.own").inner_text().split()[0] == "1,973"


def test_the_wrong_way_beside_the_right_one(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = with_sums(data_of("short"))
    page = open_page(only("factor", data))
    wrong = page.locator(".wrong")
    assert "the sum of logits chooses the wrong one" in wrong.inner_text()
    rows = wrong.locator("tbody tr")
    replaced = [variant for variant in data["variants"] if variant["kind"] == "replace"]
    assert rows.count() == min(len(replaced) + 1, 12)
    cells = rows.first.locator("td").all_inner_texts()
    assert [number_of(text) for text in cells[:2]] == [203.5, data["readings"]["text"]["total"]["logprob"]]
    assert cells[2] == "✓ probability"
    cells = rows.nth(2).locator("td").all_inner_texts()
    assert [number_of(text) for text in cells[:2]] == [300.25, data["variants"][1]["total_logprob"]]
    assert cells[2] == "✗ sum of logits"
    assert rows.nth(2).locator("mark").inner_text() == data["tokens"][str(data["variants"][1]["t"])]
    data["openings"]["wrong"] = {"best_by_logits": -1, "best_by_probability": -1}
    page = open_page(only("factor", data))
    assert "both ways choose the same text" in page.locator(".wrong").inner_text()


def test_many_replacements_are_shown_when_asked(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = with_sums(data_of("short"))
    more = [variant | {"raw_sum": 1.5} for variant in data["variants"] if variant["kind"] == "replace"]
    data["variants"] = data["variants"] + more
    page = open_page(only("factor", data))
    assert page.locator(".wrong tbody tr").count() == 12
    page.get_by_role("button", name="Show all").click()
    assert page.locator(".wrong tbody tr").count() == 21


def test_without_openings_a_sentence_says_why(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short") | {"openings": None, "missing": {"openings": "A table has no embeddings."}}
    page = open_page(only("factor", data))
    assert "A table has no embeddings." in page.locator('[data-panel="factor"]').inner_text()
    assert violations(page) == []


def test_the_diagram_fits_its_screen(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("factor", data_of("short")), viewport={"width": 320, "height": 800})
    figure = page.locator(".figure svg").bounding_box()
    assert figure["x"] + figure["width"] <= 320
    assert figure["height"] > figure["width"]
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function("() => document.querySelector('.figure svg').getBoundingClientRect().width > 900")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["short", "strange"])
def test_the_factor_is_accessible(open_page: Callable[..., Any], data_of: Callable[..., Any], name: str, scheme: str):
    page = open_page(only("factor", with_sums(data_of(name))), color_scheme=scheme)
    assert page.locator("main script, main b").count() == 0
    assert violations(page) == []


def test_a_panel_that_becomes_narrow(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    """Its boxes keep a width: a negative one would be an error of the browser, which fails the test."""
    page = open_page(only("factor", data_of("short")))
    page.add_style_tag(content='[data-panel="factor"] { width: 35px; }')
    page.wait_for_timeout(100)
    assert float(page.locator("rect.box").first.get_attribute("width")) > 100
