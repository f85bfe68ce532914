"""Panel f: a text that grows step by step, in the browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from browser import violations

PANEL = '[data-panel="growing"]'


def panel_of(page: Any) -> Any:
    return page.locator(PANEL)


def tokens_of(page: Any, method: str) -> list[str]:
    """The tokens that are shown of a method."""
    return panel_of(page).locator(f'[data-method="{method}"] .growth tbody th code').all_inner_texts()


def typeset(x: float) -> str:
    return f"{x:.6f}".replace("-", "−")


def spelled(text: str) -> str:
    """A number in the signs of the page."""
    return re.sub(r"e-0(\d)", lambda match: " × 10⁻" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(match[1])], text)


def test_the_numbers_are_those_of_the_data(open_page: Any, data_of: Any) -> None:
    data = data_of("story")
    page = open_page(data)
    for method in data["growths"]["methods"][:2]:
        assert tokens_of(page, method["method"]) == [data["tokens"][str(t)] for t in method["t"]]
        column = panel_of(page).locator(f'[data-method="{method["method"]}"]')
        shown = column.locator(".growth tbody tr td.number:last-child").all_inner_texts()
        assert shown == [spelled(text) for text in method["running_probability"]]
        assert f"log Pr = {typeset(method['total_logprob'])} nats" in column.locator(".total").inner_text()
        first = column.locator(".growth tbody tr").first.locator("td.number").first.inner_text()
        assert float(first) == pytest.approx(method["probability"][0], rel=1e-3)


def test_greedy_and_best_part_and_are_compared(open_page: Any, data_of: Any) -> None:
    data = data_of("story")
    page = open_page(data)
    greedy, best = data["growths"]["methods"][:2]
    part = next(n for n, (a, b) in enumerate(zip(greedy["t"], best["t"], strict=True)) if a != b)
    assert f"They part at step {part + 1}:" in panel_of(page).locator(".parting").inner_text()
    difference = best["total_logprob"] - greedy["total_logprob"]
    assert f"best has the more probable text, by {typeset(difference)} nats" in panel_of(page).locator(".winner").inner_text()
    assert panel_of(page).locator("tr.part").count() == 2
    contexts = best["certificate"]["contexts"]
    words = f"No text of 4 tokens is more probable: proven by {contexts} contexts."
    assert panel_of(page).locator(".certificate").inner_text() == words


def test_a_search_that_is_not_proven_names_its_bound(open_page: Any, data_of: Any) -> None:
    data = data_of("story")
    best = data["growths"]["methods"][1]
    best["rule"] = "argmax of the whole product over all texts of 6 tokens, or fewer with the end symbol"
    best["certificate"] = {"certain": False, "contexts": 1234, "logprob_bound": -2.5}
    words = panel_of(open_page(data)).locator(".certificate").inner_text()
    assert "Not proven: the search ended after 1,234 contexts." in words
    assert "No other text of 6 tokens, or fewer with the end symbol, has a log Pr above −2.500000 nats" in words


def test_steps_are_shown_one_at_a_time(open_page: Any, data_of: Any) -> None:
    page = open_page(data_of("story"))
    panel = panel_of(page)
    panel.get_by_role("button", name="First").click()
    assert len(tokens_of(page, "greedy")) == 1
    assert panel.locator(".words").inner_text() == ""
    panel.get_by_role("button", name="Next").click()
    assert panel.locator(".where").inner_text() == "step 2 of 4"
    page.keyboard.press("ArrowRight")
    assert len(tokens_of(page, "best")) == 3
    page.keyboard.press("ArrowLeft")
    assert len(tokens_of(page, "best")) == 2
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")  # there is no step before the first
    assert panel.locator(".where").inner_text() == "step 1 of 4"
    assert panel.get_by_role("button", name="Next").evaluate("(e) => e === document.activeElement")
    page.keyboard.press("End")
    assert len(tokens_of(page, "greedy")) == 4
    page.wait_for_function('document.getElementById("announcer").textContent.startsWith("step 4 of 4.")')


def test_the_alternatives_of_a_step_are_shown(open_page: Any, data_of: Any) -> None:
    data = data_of("story")
    page = open_page(data)
    panel_of(page).get_by_role("button", name="Beam", exact=True).click()
    column = panel_of(page).locator('[data-method="beam"]')
    column.get_by_role("button", name="Step 4: show the alternatives").press("Enter")
    assert column.get_by_role("button", name="Step 4").evaluate("(e) => e === document.activeElement")
    assert column.locator(".alternatives caption").inner_text() == "Step 4: the most probable tokens"
    beam = data["growths"]["methods"][2]
    names = [data["tokens"][str(t)] for t, *_ in beam["top"][3]]
    shown = column.locator(".alternatives th").all_inner_texts()
    assert shown[: len(names)] == names
    assert column.locator(".alternatives .taken th").inner_text() == data["tokens"][str(beam["t"][3])]


def test_the_course_counts_from_the_start_symbol(open_page: Any, data_of: Any) -> None:
    page = open_page(data_of("story"))
    formula = panel_of(page).locator(".growth .formula").first
    assert formula.inner_text() == "argmax Pr(x4 | …)"
    page.get_by_label("Notation").select_option("course")
    assert formula.inner_text() == "argmax Pr(x5 | …)"


def test_without_growths_the_panel_says_why(open_page: Any, data_of: Any) -> None:
    data = data_of("story") | {"growths": None, "missing": {"growths": "A masked model does not <b>grow</b> texts."}}
    assert "A masked model does not <b>grow</b> texts." in panel_of(open_page(data)).inner_text()


def test_a_single_step_that_is_impossible(open_page: Any, data_of: Any) -> None:
    data = data_of("story")
    method = data["growths"]["methods"][0]
    for name in ("t", "rank", "top"):
        method[name] = method[name][:1]
    method |= {"logprob": ["-Infinity"], "probability": [0.0], "running_logprob": ["-Infinity"], "running_probability": ["0"]}
    data["growths"] |= {"methods": [method | {"total_logprob": "-Infinity"}], "max_tokens": 1}
    panel = panel_of(open_page(data))
    assert "1 factor: log Pr = −∞ nats, Pr = 0" in panel.locator(".total").inner_text()
    assert "NaN" not in panel.inner_text()


def test_strange_tokens_are_shown_as_text(open_page: Any, data_of: Any) -> None:
    data = data_of("strange")
    token = data["growths"]["methods"][0]["t"][0]
    data["tokens"][str(token)] = "<img src=x onerror=alert(1)> עברית"
    page = open_page(data)
    assert tokens_of(page, "greedy")[0] == "<img src=x onerror=alert(1)> עברית"
    assert panel_of(page).locator("img").count() == 0


def test_a_live_page_asks_for_a_method(open_page: Any, data_of: Any) -> None:
    data = data_of("story")
    sample = data["growths"]["methods"][0] | {"method": "sample", "rule": "drawn"}
    page = open_page(data)
    page.evaluate(
        """async ({ sample }) => {
          const { mount } = await import("chainrule/panels/growing.js");
          const { store } = await import("chainrule/stores.js");
          const element = document.createElement("section");
          element.dataset.panel = "growing";
          element.id = "live-growing";
          document.querySelector("main").append(element);
          const data = { tokens: {}, readings: {}, growths: null, missing: {} };
          const page = { data, reading: () => null, notation: store("ours"), changed: store(0), announce: () => {} };
          window.asked = [];
          page.live = { ask: async (section, more) => {
            window.asked.push([section, more]);
            if (more.max_tokens > 9) throw new Error("max_tokens must be <= 9");
            data.growths = { context: [], max_tokens: more.max_tokens, methods: [sample] };
            page.changed.set(page.changed.value + 1);
          } };
          mount(element, page);
        }""",
        {"sample": sample},
    )
    live = page.locator("#live-growing")
    live.get_by_label("Method").select_option("sample")
    live.get_by_label("Tokens").fill("10")
    live.get_by_label("Seed").fill("7")
    live.get_by_role("button", name="Grow").click()
    assert live.get_by_text("max_tokens must be <= 9").is_visible()
    live.get_by_label("Tokens").fill("6")
    live.get_by_label("Tokens").press("Enter")
    assert page.evaluate("window.asked.at(-1)") == ["growths", {"method": "sample", "max_tokens": 6, "seed": 7}]
    assert live.locator('[data-method="sample"] .growth tbody tr').count() == len(sample["t"])


@pytest.mark.parametrize("name", ["short", "strange"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_panel_is_accessible_and_fits(open_page: Any, data_of: Any, name: str, width: int) -> None:
    page = open_page(data_of(name), viewport={"width": width, "height": 800})
    assert violations(page, PANEL) == []
    assert panel_of(page).evaluate("(e) => e.scrollWidth <= e.clientWidth")
