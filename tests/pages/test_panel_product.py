"""The panel of the product: the base case, the factors, step by step, and by embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser import violations
from panel_pages import given, impossible, number_of, only, ordered, pseudo

ROWS = ".product tbody tr:not(.base)"


def cells(row: Any) -> list[str]:
    return [cell.inner_text().strip() for cell in row.locator("td").all()]


def test_rows_are_the_numbers_of_the_data(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    reading = data_of("short")["readings"]["text"]
    page = open_page(only("product", data_of("short")))
    rows = page.locator(ROWS)
    assert rows.count() == len(reading["logprob"])
    for i in range(rows.count()):
        _, probability, logprob, product, total = cells(rows.nth(i))
        assert number_of(probability) == pytest.approx(reading["probability"][i], rel=1e-5)
        assert number_of(logprob) == reading["logprob"][i]
        assert number_of(product) == float(reading["running_probability"][i])
        assert number_of(total) == reading["running_logprob"][i]
    total = page.locator(".total").inner_text()
    assert str(reading["total"]["logprob"]).replace("-", "−") in total
    assert str(reading["total"]["bits"]) in total


def test_the_base_case_in_both_notations(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("product", data_of("short")))
    base = page.locator(".base-case")
    assert "the start symbol s = <|im_start|> (start policy “bos”) is given: it has no factor" in base.inner_text()
    assert page.locator(".base th").inner_text() == "s is given"
    page.get_by_label("Notation").select_option("course")
    assert "Base case: Pr(x0) = 1. The start symbol x0 = <|im_start|>" in page.locator(".base-case").inner_text()
    assert page.locator(".base th").inner_text() == "Pr(x0) = 1"
    assert page.locator(f"{ROWS} th").nth(2).inner_text().strip() == "Pr(x3 | e0, e1, e2)"


def test_given_tokens_make_a_conditional(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("product", given(data_of("short"), 3)))
    assert "x0 … x2 are given, without a factor" in page.locator(".base-case").inner_text()
    assert "a conditional probability, not a joint one" in page.locator(".base-case").inner_text()
    assert page.locator(".base").count() == 0
    assert violations(page) == []


def test_step_by_step(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    """The running product is shown factor by factor, by buttons and by the keyboard."""
    page = open_page(only("product", data_of("short")))
    running = page.locator(f"{ROWS} td.running:nth-of-type(4) span")  # columns: token, Pr, log Pr, product
    assert all(cell.is_visible() for cell in running.all())
    page.get_by_role("button", name="Multiply step by step").click()
    assert [cell.is_visible() for cell in running.all()] == [False] * 10
    assert not page.locator(".total").is_visible()
    following = page.get_by_role("button", name="Next", exact=True)
    following.click()
    following.click()
    assert [cell.is_visible() for cell in running.all()] == [True] * 2 + [False] * 8
    assert page.locator(".equation").inner_text().endswith("1.6214 × 10⁻⁵ · 0.00435835 = 7.06663 × 10⁻⁸")
    page.keyboard.press("ArrowRight")
    assert page.locator(".equation").inner_text().startswith("Step 3: Pr(x2 | s, e0, e1)")
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Back").press("Enter")
    assert [cell.is_visible() for cell in running.all()] == [True] + [False] * 9
    assert violations(page) == []
    page.get_by_role("button", name="All", exact=True).click()
    assert all(cell.is_visible() for cell in running.all())
    assert page.locator(".total").is_visible()
    page.get_by_role("button", name="First").click()
    page.get_by_role("button", name="Show all at once").click()
    assert all(cell.is_visible() for cell in running.all())


def test_bars_show_probabilities_or_bits(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    reading = data_of("short")["readings"]["text"]
    page = open_page(only("product", data_of("short")))
    part = "bars => bars.map((bar) => Number(bar.style.getPropertyValue('--part')))"
    assert page.locator(f"{ROWS} .measure").evaluate_all(part) == pytest.approx(reading["probability"], abs=1e-4)
    page.get_by_label("Bars show").select_option("bits")
    most = max(reading["surprisal_bits"])
    expected = [bits / most for bits in reading["surprisal_bits"]]
    assert page.locator(f"{ROWS} .measure").evaluate_all(part) == pytest.approx(expected, abs=1e-4)
    assert cells(page.locator(ROWS).first)[1] == "15.912 bits"


def test_by_tokens_and_by_embeddings(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short")
    reading = data["readings"]["text"]
    page = open_page(only("product", data))
    pairs = page.locator(".pairs")
    assert "All 10 factors are equal to the last bit" in pairs.inner_text()
    row = pairs.locator("tbody tr").nth(2)
    assert row.locator("th").inner_text() == "Pr(x2 | s, x0, x1)"
    logprob, sign, formula, by_embeddings = cells(row)
    assert (sign, formula) == ("=", "Pr(x2 | s, e0, e1)")
    assert number_of(logprob) == number_of(by_embeddings) == reading["logprob"][2]
    reading["by_embeddings"][2] += 1e-9
    page = open_page(only("product", data))
    assert "9 of 10 factors are equal to the last bit" in page.locator(".pairs").inner_text()
    assert cells(page.locator(".pairs tbody tr").nth(2))[1] == "≠"
    reading["by_embeddings"] = None
    page = open_page(only("product", data))
    assert page.locator(".pairs").count() == 0
    assert "computed from tokens alone" in page.locator("main").inner_text()


def test_a_pseudo_log_likelihood_is_never_called_a_probability(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("product", pseudo(data_of("short"))))
    text = page.locator("main").inner_text()
    assert "Pseudo-log-likelihood" in text
    assert "does not sum to 1" in text
    assert "Running product" not in text
    assert "Pr(x)" not in text
    page.get_by_role("button", name="Add step by step").click()
    page.get_by_role("button", name="Next", exact=True).click()
    assert "0 + (−11.029635683318876) = −11.029635683318876" in page.locator(".equation").inner_text()
    assert violations(page) == []


def test_an_impossible_factor(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("product", impossible(data_of("short"), 4)))
    assert cells(page.locator(ROWS).nth(4))[1:] == ["0", "−∞", "0", "−∞"]
    assert cells(page.locator(ROWS).nth(5))[2:] == ["−2.358724578885237", "0", "−∞"]
    page.get_by_label("Bars show").select_option("bits")
    assert cells(page.locator(ROWS).nth(4))[1] == "∞ bits"
    assert "NaN" not in page.locator("main").inner_text()


def test_long_texts_are_shown_in_parts(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    data = data_of("short")
    reading = data["readings"]["text"]
    for name, value in list(reading.items()):
        if isinstance(value, list) and len(value) == 10:
            reading[name] = value * 50
    reading.update(position=list(range(500)), contexts=list(range(1, 501)))
    page = open_page(only("product", data))
    assert page.locator(ROWS).count() == 100
    page.get_by_role("button", name="Show the next 200").first.click()
    assert page.locator(ROWS).count() == 300
    page.get_by_role("button", name="Show the next 200").first.click()
    assert page.locator(ROWS).count() == 500
    assert page.locator(".pairs tbody tr").count() == 100
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # a printer gets all rows
    assert page.locator(".pairs tbody tr").count() == 500


def test_rows_are_selected_by_pointer_and_keyboard(open_page: Callable[..., Any], data_of: Callable[..., Any]):
    page = open_page(only("product", ordered(data_of("short"), [0, 4, 2, 1, 3, 9, 8, 7, 6, 5])))
    page.locator(ROWS).nth(2).click()
    assert page.locator('[aria-pressed="true"]').inner_text().strip() == "Pr(x2 | s, e0, e4)"
    page.locator(f'{ROWS} [tabindex="0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator('[aria-pressed="true"]').inner_text().strip() == "Pr(x1 | s, e0, e4, e2)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["short", "strange"])
def test_the_product_is_accessible(open_page: Callable[..., Any], data_of: Callable[..., Any], name: str, scheme: str):
    page = open_page(only("product", data_of(name)), color_scheme=scheme)
    assert page.locator("main script, main b").count() == 0
    assert violations(page) == []
