"""Panel g: two texts beside each other, in the browser."""

from __future__ import annotations

import math
from typing import Any

import pytest
from browser import violations

PANEL = '[data-panel="comparison"]'


def panel_of(page: Any) -> Any:
    return page.locator(PANEL)


def typeset(x: float) -> str:
    return f"{x:.6f}".replace("-", "−")


def long_comparison(data: dict[str, Any]) -> dict[str, Any]:
    """The data with a comparison of 1,000 rows: the text of the page many times, its factors one by one."""
    n, reading = 1000, data["readings"]["text"]
    longer = {k: (v * n)[:n] if isinstance(v, list) else v for k, v in reading.items()} | {"position": list(range(n))}
    difference = [math.sin(i) for i in range(n)]
    running = [math.fsum(difference[: i + 1]) for i in range(n)]
    comparison = {
        "readings": ["a", "b"],
        "rows": [[i, i] for i in range(n)],
        "difference": difference,
        "running_difference": running,
        "decided": None,
        "largest": 11,
        "difference_total": running[-1],
    }
    return data | {"readings": data["readings"] | {"a": longer, "b": longer}, "comparison": comparison}


def test_the_numbers_are_those_of_the_data(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    comparison = data["comparison"]
    readings = [data["readings"][name] for name in comparison["readings"]]
    panel = panel_of(open_page(data))
    rows = panel.locator(".rows tbody tr")
    assert rows.count() == len(comparison["rows"])
    for n, (i, j) in enumerate(comparison["rows"]):
        cells = rows.nth(n).locator("td").all_inner_texts()
        assert cells[2] == typeset(readings[0]["logprob"][i])
        assert cells[4] == typeset(readings[1]["logprob"][j])
        assert cells[1].endswith(data["tokens"][str(readings[0]["sequence"][i])])
        difference = comparison["difference"][n]
        assert cells[5].endswith(typeset(difference).lstrip("−") if difference else "0")
        assert ("▲" in cells[5], "▼" in cells[5]) == (difference > 0, difference < 0)
        assert cells[7] == (typeset(comparison["running_difference"][n]) if comparison["running_difference"][n] else "0")
    assert "decided here" in rows.nth(comparison["decided"]).inner_text()
    assert "largest" in rows.nth(comparison["largest"]).inner_text()
    assert panel.get_by_text("decided here").count() == 1


def test_the_verdict_names_the_winner_and_its_factor(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    total = data["comparison"]["difference_total"]
    words = panel_of(open_page(data)).locator(".verdict").inner_text()
    assert words == f"The first text is more probable, by {typeset(total)} nats, a factor of {math.exp(total):.4g}."
    data["comparison"]["difference_total"] = -1000.0
    words = panel_of(open_page(data)).locator(".verdict").inner_text()
    assert words == "The second text is more probable, by 1000.000000 nats, a factor of about 10⁴³⁴."


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (0.0, "Both texts are equally probable."),
        (None, "Both texts are impossible"),
        ("Infinity", "The first text is more probable, by ∞"),
    ],
)
def test_differences_that_are_no_number(open_page: Any, data_of: Any, total: Any, words: str) -> None:
    data = data_of("short")
    n = len(data["comparison"]["rows"])
    data["comparison"] |= {"difference_total": total, "decided": None, "largest": None}
    data["comparison"]["difference"][3] = data["comparison"]["difference_total"] = total
    data["comparison"]["running_difference"][3:] = [total] * (n - 3)
    panel = panel_of(open_page(data))
    assert panel.locator(".verdict").inner_text().startswith(words)
    assert "NaN" not in panel.inner_html()


def test_rows_that_one_text_lacks(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    data["comparison"]["rows"][3] = [3, None]
    data["comparison"]["rows"][4] = [None, 4]
    rows = panel_of(open_page(data)).locator(".rows tbody tr")
    assert rows.nth(3).locator("td").nth(3).inner_text() == "nothing"
    assert rows.nth(4).locator("td").nth(1).inner_text() == "nothing"


def test_the_picture_is_named_and_its_line_has_all_rows(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    page = open_page(data)
    picture = panel_of(page).get_by_role("img")
    assert "running sum, from 0 to 2.702 nats" in picture.get_attribute("aria-label")
    points = picture.locator("polyline").get_attribute("points").split()
    assert len(points) == 1 + len(data["comparison"]["rows"])
    heights = [float(point.split(",")[1]) for point in points[1:]]
    order = sorted(range(len(heights)), key=lambda n: (-heights[n], n))  # y grows downwards
    running = data["comparison"]["running_difference"]
    assert order[0] == running.index(min(running))
    assert heights.index(min(heights)) == running.index(max(running))


def test_a_thousand_rows_come_as_they_are_needed(open_page: Any, data_of: Any) -> None:
    page = open_page(long_comparison(data_of("short")))
    rows = panel_of(page).locator(".rows tbody tr")
    assert rows.count() < 500
    assert panel_of(page).locator(".chart .name").count() == 0
    for _ in range(20):
        panel_of(page).locator(".tall").evaluate("(e) => e.scrollTo(0, e.scrollHeight)")
        page.wait_for_timeout(50)
    assert rows.count() == 1000
    page = open_page(long_comparison(data_of("short")))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert panel_of(page).locator(".rows tbody tr").count() == 1000


def test_the_notation_of_the_course(open_page: Any, data_of: Any) -> None:
    page = open_page(data_of("short"))
    first = panel_of(page).locator(".position").first
    assert first.inner_text() == "x0"
    page.get_by_label("Notation").select_option("course")
    assert first.inner_text() == "x1"


def test_without_a_comparison_the_panel_says_why(open_page: Any, data_of: Any) -> None:
    data = data_of("short") | {"comparison": None, "missing": {"comparison": "There is <i>one</i> text."}}
    assert "There is <i>one</i> text." in panel_of(open_page(data)).inner_text()
    assert "no second text" in panel_of(open_page(data | {"missing": {}})).inner_text()


def test_strange_texts_are_shown_as_text(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    data["readings"]["other"]["text"] = "<img src=x onerror=alert(1)> עברית 👩‍👩‍👧"
    panel = panel_of(open_page(data))
    assert "<img src=x onerror=alert(1)> עברית 👩‍👩‍👧" in panel.inner_text()
    assert panel.locator("img").count() == 0


def test_a_live_page_asks_for_another_text(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    page = open_page(data | {"comparison": None})
    page.evaluate(
        """async (full) => {
          const { mount } = await import("chainrule/panels/comparison.js");
          const { store } = await import("chainrule/stores.js");
          const element = document.createElement("section");
          element.dataset.panel = "comparison";
          element.id = "live-comparison";
          document.querySelector("main").append(element);
          const data = { ...full, comparison: null, missing: {} };
          const page = { data, reading: (name) => data.readings[name], notation: store("ours"), changed: store(0) };
          window.asked = [];
          page.live = { ask: async (section, more) => {
            window.asked.push([section, more]);
            if (more.compare === "bad") throw new Error("this text is bad");
            data.comparison = full.comparison;
            page.changed.set(page.changed.value + 1);
          } };
          mount(element, page);
        }""",
        data,
    )
    live = page.locator("#live-comparison")
    live.get_by_role("button", name="Compare").click()
    assert live.get_by_text("Type another text.").is_visible()
    live.get_by_label("Another text").fill("bad")
    live.get_by_label("Another text").press("Enter")
    assert live.get_by_text("this text is bad").is_visible()
    live.get_by_label("Another text").fill("It is raining.")
    live.get_by_role("button", name="Compare").click()
    assert page.evaluate("window.asked.at(-1)") == ["comparison", {"compare": "It is raining."}]
    assert live.locator(".rows tbody tr").count() == len(data["comparison"]["rows"])


@pytest.mark.parametrize("width", [320, 1280])
def test_the_panel_is_accessible_and_fits(open_page: Any, data_of: Any, width: int) -> None:
    for data in (data_of("short"), long_comparison(data_of("short"))):
        page = open_page(data, viewport={"width": width, "height": 800})
        assert violations(page, PANEL) == []
        assert panel_of(page).evaluate("(e) => e.scrollWidth <= e.clientWidth")
