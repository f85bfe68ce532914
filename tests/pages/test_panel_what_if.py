"""Panel e: another token, another start symbol, a shorter context, in the browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from browser import violations

from chainrule import LanguageModel, TableModel

PANEL = '[data-panel="what-if"]'


def panel_of(page: Any) -> Any:
    return page.locator(PANEL)


def typeset(x: float) -> str:
    return f"{x:.6f}".replace("-", "−")


def cells_of(page: Any) -> list[list[str]]:
    """Token, before, after, difference and words of each row."""
    rows = panel_of(page).locator("tbody tr")
    return [[rows.nth(n).locator("th").inner_text(), *rows.nth(n).locator("td").all_inner_texts()] for n in range(rows.count())]


def variant_of(data: dict[str, Any], kind: str, position: int | None = None) -> dict[str, Any]:
    return next(v for v in data["variants"] if v["kind"] == kind and position in (None, v["position"]))


def longer(data: dict[str, Any], n: int = 1000) -> dict[str, Any]:
    """The data with a text of n tokens, and a what-if at its end."""
    reading = data["readings"]["text"]
    arrays = {k: (v * n)[:n] if isinstance(v, list) else v for k, v in reading.items()}
    reading = arrays | {"position": list(range(n)), "contexts": list(range(1, n + 1))}
    variant = data["variants"][0] | {"position": n - 3, "first": n - 3, "logprob": [-1.0, -2.0, -3.0]}
    cut = variant_of(data, "cut") | {"position": 500, "first": 500, "removed": 500, "logprob": [-1.0] * (n - 500)}
    return data | {"readings": {"text": reading}, "variants": [variant, cut], "comparison": None}


def test_a_replaced_token_moves_no_factor_before_it(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    reading = data["readings"]["text"]
    page = open_page(data)
    panel_of(page).get_by_role("button", name="Another token instead of x₄ .").click()
    variant = variant_of(data, "replace", 4)
    cells = cells_of(page)
    assert len(cells) == len(reading["logprob"])
    for i, (name, before, after, difference, _, words) in enumerate(cells):
        assert before == typeset(reading["logprob"][i])
        if i < 4:
            assert (after, difference, words) == (before, "0", "unchanged, bit for bit")
            continue
        new = variant["logprob"][i - 4]
        by = new - reading["logprob"][i]
        assert after == typeset(new)
        assert difference.endswith(typeset(by))
        assert difference.startswith("▲" if by > 0 else "▼")
        assert ("→" in name) == (i == 4)
        assert words == ("◆ of the new token" if i == 4 else "")
    totals = panel_of(page).locator("tfoot td").all_inner_texts()
    assert totals[:2] == [typeset(reading["total"]["logprob"]), typeset(variant["total_logprob"])]


def test_the_summary_names_the_largest_change(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    page = open_page(data)
    panel_of(page).get_by_label("Instead of", exact=True).select_option(label="x₃ ining")
    reading, variant = data["readings"]["text"], variant_of(data, "replace", 3)
    changes = [b - a for a, b in zip(reading["logprob"][4:], variant["logprob"][1:], strict=True)]
    largest = max(changes, key=abs)
    summary = panel_of(page).locator(".summary").inner_text()
    assert "The factors of x0 … x2 did not move, bit for bit." in summary
    assert f"that of x{4 + changes.index(largest)} " in summary
    assert f"{largest:.3f} nats.".replace("-", "−") in summary


def test_the_bars_have_the_size_and_the_side_of_the_differences(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    page = open_page(data)
    panel_of(page).get_by_label("Instead of", exact=True).select_option(label="x₃ ining")
    reading, variant = data["readings"]["text"], variant_of(data, "replace", 3)
    changes = [b - a for a, b in zip(reading["logprob"][3:], variant["logprob"], strict=True)]
    bars = (
        panel_of(page)
        .locator(".diverging rect")
        .evaluate_all(
            "(all) => all.map((e) => (e.getAttribute('class') === 'less' ? -1 : 1) * Number(e.getAttribute('width')))"
        )
    )
    expected = [50 * x / max(map(abs, changes)) for x in changes]
    assert bars[:3] == [0, 0, 0]
    assert bars[3:] == pytest.approx(expected, abs=1e-3)


def test_the_start_symbol_and_the_cut_are_chosen(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    page = open_page(data)
    panel_of(page).get_by_role("button", name="another start symbol").click()
    assert "No factor comes before the change." in panel_of(page).locator(".summary").inner_text()
    assert cells_of(page)[0][2] == typeset(variant_of(data, "start")["logprob"][0])
    panel_of(page).get_by_role("button", name="a shorter context").click()
    cut, reading = variant_of(data, "cut"), data["readings"]["text"]
    cells = cells_of(page)
    gone = cut["removed"]
    assert [row[2] for row in cells[:gone]] == ["–"] * gone
    assert cells[0][-1] == "no factor any more"
    assert cells[gone][2] == typeset(cut["logprob"][0])
    before, after, difference = panel_of(page).locator("tfoot td").all_inner_texts()[:3]
    remain = reading["total"]["logprob"] - reading["running_logprob"][gone - 1]
    assert (before, after) == (typeset(remain), typeset(cut["total_logprob"]))
    assert typeset(cut["total_logprob"] - remain) in difference
    assert panel_of(page).locator(".tokens .cut").count() == gone


def test_tokens_are_chosen_by_keyboard(open_page: Any, data_of: Any) -> None:
    page = open_page(data_of("short"))
    tokens = panel_of(page).locator(".tokens button")
    assert tokens.evaluate_all("(all) => all.filter((e) => e.tabIndex === 0).length") == 1
    panel_of(page).locator('.tokens [aria-pressed="true"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert "x9 . becomes" in panel_of(page).locator(".summary").inner_text()
    assert tokens.last.evaluate("(e) => e === document.activeElement")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert "x8 ␣umbrella becomes" in panel_of(page).locator(".summary").inner_text()


def test_a_lesson_chooses_the_kind_of_change(open_page: Any, data_of: Any) -> None:
    from chainrule.pages.document import document

    body = '<h1>A lesson</h1><section data-panel="what-if" data-change="start" data-level="3"></section>'
    data = data_of("short")
    page = open_page(document(data, title="A lesson", body=body))
    symbol = next(data["tokens"][str(each["t"])] for each in data["variants"] if each["kind"] == "start")
    assert f"The start symbol is {symbol}." in panel_of(page).locator(".summary").inner_text()
    assert panel_of(page).locator("h3").inner_text() == "What if"


def test_the_notation_of_the_course(open_page: Any, data_of: Any) -> None:
    page = open_page(data_of("short"))
    panel_of(page).get_by_label("Instead of", exact=True).select_option(label="x₃ ining")
    page.get_by_label("Notation").select_option("course")
    assert "x4 ining becomes" in panel_of(page).locator(".summary").inner_text()
    assert panel_of(page).get_by_label("Instead of", exact=True).locator("option:checked").inner_text() == "x₄ ining"


def test_a_long_text_is_folded_where_nothing_moves(open_page: Any, data_of: Any) -> None:
    page = open_page(longer(data_of("short")))
    cells = cells_of(page)
    assert len(cells) == 4
    assert cells[0][1].startswith("997 factors: unchanged, bit for bit.")
    assert "tokens …" in panel_of(page).locator(".tokens").inner_text()
    panel_of(page).get_by_role("button", name="Show them").click()
    assert panel_of(page).locator("tbody tr").count() == 1000
    panel_of(page).get_by_role("button", name="a shorter context").click()
    assert panel_of(page).locator("tbody tr").count() < 300
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert panel_of(page).locator("tbody tr").count() == 501


def test_factors_of_0(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    reading = data["readings"]["text"]
    reading["logprob"][5], reading["logprob"][6] = "-Infinity", "-Infinity"
    reading["running_logprob"][5:] = ["-Infinity"] * 5
    reading["total"]["logprob"] = "-Infinity"
    data["variants"] = [variant_of(data, "replace", 3) | {"logprob": [-1.0, -2.0, "-Infinity", -3.0, -1.0, "-Infinity", -2.0]}]
    data["variants"][0]["total_logprob"] = "-Infinity"
    page = open_page(data)
    cells = cells_of(page)
    assert cells[5][1:4] == ["−∞", "−∞", "0"]
    assert cells[6][3] == "▲ +∞"
    assert cells[8][3] == "▼ −∞"
    assert panel_of(page).locator("tfoot td").nth(2).inner_text() == "0"
    assert "NaN" not in panel_of(page).inner_html()


def test_a_text_of_one_token(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    reading = data["readings"]["text"]
    reading |= {k: v[:1] for k, v in reading.items() if isinstance(v, list)}
    reading["total"]["logprob"] = reading["logprob"][0]
    variant = variant_of(data, "replace", 0)
    data |= {"comparison": None, "openings": None, "growths": None}
    data["variants"] = [variant | {"logprob": variant["logprob"][:1], "total_logprob": variant["logprob"][0]}]
    page = open_page(data)
    assert len(cells_of(page)) == 1
    assert "No factor comes before the change. No later factor moved." in panel_of(page).locator(".summary").inner_text()


def test_without_what_ifs_the_panel_says_why(open_page: Any, data_of: Any) -> None:
    data = data_of("short") | {"variants": [], "missing": {"variants": "This <b>order</b> has none."}}
    assert "This <b>order</b> has none." in panel_of(open_page(data)).inner_text()
    assert "no what-ifs" in panel_of(open_page(data | {"missing": {}})).inner_text()


def test_strange_tokens_are_shown_as_text(open_page: Any, data_of: Any) -> None:
    data = data_of("strange")
    data["tokens"][str(data["variants"][0]["t"])] = "<img src=x onerror=alert(1)>"
    page = open_page(data)
    panel_of(page).locator(".tokens button").first.click()
    assert "becomes <img src=x onerror=alert(1)>." in panel_of(page).locator(".summary").inner_text()
    assert panel_of(page).locator("img").count() == 0


ROWS = """async ({ reading, variant }) => {
  const { rowsOf } = await import("chainrule/panels/what_if_rows.js");
  return rowsOf(reading, variant).map(({ kind, i, before, after }) => [kind, i, before, after]);
}"""


def test_the_rows_of_a_token_that_becomes_several(open_page: Any, data_of: Any) -> None:
    random = np.random.default_rng(0)
    rows = {"": [3, 1, 2]} | {c: random.normal(0, 1, 3).tolist() for c in "abc"}
    lm = LanguageModel(TableModel(list("abc"), rows, back_off=True))
    before, after = lm.score([0, 1, 2, 0]), lm.score([0, 2, 2, 1, 2, 0])
    reading = {"logprob": before.logprobs.tolist(), "position": [0, 1, 2, 3]}
    variant = {"kind": "replace", "position": 1, "first": 1, "removed": 0, "added": [], "tokens": [2, 2, 1], "t": 2}
    got = open_page(data_of("short")).evaluate(
        ROWS, {"reading": reading, "variant": variant | {"logprob": after.logprobs[1:].tolist()}}
    )
    assert [row[:2] for row in got] == [["same", 0], ["new", 1], ["new", None], ["new", None], ["moved", 2], ["moved", 3]]
    assert [row[3] for row in got] == after.logprobs.tolist()
    assert [row[2] for row in got if row[2] is not None] == before.logprobs.tolist()


def test_the_rows_of_a_start_symbol_that_comes_or_goes(open_page: Any, data_of: Any) -> None:
    page = open_page(data_of("short"))
    variant = {"kind": "start", "position": None, "t": None, "tokens": []}
    reading = {"logprob": [-1, -2, -3], "position": [0, 1, 2]}
    gone = variant | {"first": 1, "removed": 1, "added": [], "logprob": [-4, -5]}
    assert page.evaluate(ROWS, {"reading": reading, "variant": gone}) == [
        ["gone", 0, -1, None],
        ["moved", 1, -2, -4],
        ["moved", 2, -3, -5],
    ]
    came = variant | {"t": 7, "tokens": [7], "first": 0, "removed": 0, "added": [-6], "logprob": [-7, -8, -9]}
    later = reading | {"position": [1, 2, 3]}
    assert page.evaluate(ROWS, {"reading": later, "variant": came}) == [
        ["new", None, None, -6],
        ["moved", 0, -1, -7],
        ["moved", 1, -2, -8],
        ["moved", 2, -3, -9],
    ]


LIVE = """async ({ data, fresh }) => {
  const { mount } = await import("chainrule/panels/what_if.js");
  const { store } = await import("chainrule/stores.js");
  const element = document.createElement("section");
  element.dataset.panel = "what-if";
  element.id = "live-what-if";
  document.querySelector("main").append(element);
  const page = { data, reading: (name) => data.readings[name], notation: store("ours"), changed: store(0), announce: () => {} };
  window.asked = [];
  page.live = { ask: async (section, more) => {
    window.asked.push([section, more]);
    if (more.change.token === "bad") throw new Error("token must be a text");
    data.variants = [{ ...fresh, kind: more.change.kind }];
    page.changed.set(page.changed.value + 1);
    return { variants: data.variants };
  } };
  mount(element, page);
}"""


def test_a_live_page_asks_for_any_change(open_page: Any, data_of: Any) -> None:
    data = data_of("short")
    data["tokens"]["28"] = ","
    page = open_page(data)
    fresh = variant_of(data, "replace", 2) | {"position": 2, "t": 28, "tokens": [28], "label": "x_2"}
    page.evaluate(LIVE, {"data": data, "fresh": fresh})
    live = page.locator("#live-what-if")
    assert live.locator(".tokens button").count() == len(data["readings"]["text"]["sequence"])
    live.get_by_label("Or type: at position").fill("2")
    live.get_by_role("button", name="Compute").click()
    assert live.get_by_text("Type the text that the position is to have.").is_visible()
    live.get_by_label("the text is").fill("bad")
    live.get_by_label("the text is").press("Enter")
    assert live.get_by_text("token must be a text").is_visible()
    live.get_by_label("the text is").fill("12")
    live.get_by_label("the text is").press("Enter")
    assert page.evaluate("window.asked.at(-1)") == ["variant", {"change": {"kind": "replace", "position": 2, "token": "12"}}]
    assert "x2 ␣ra becomes ," in live.locator(".summary").inner_text()
    assert live.get_by_label("Or type: at position").input_value() == "2"  # the form stays as it was
    assert live.get_by_label("Instead of", exact=True).locator("option").count() == 10
    live.get_by_label("Or type: at position").fill("10")
    live.get_by_role("button", name="Compute").click()
    assert live.get_by_text("The position is a number from 0 to 9.").is_visible()
    live.get_by_role("button", name="another start symbol").click()
    live.get_by_label("Or type a start symbol").fill("198")
    live.get_by_role("button", name="Compute").click()
    assert page.evaluate("window.asked.at(-1)") == ["variant", {"change": {"kind": "start", "start": 198}}]
    live.get_by_role("button", name="a shorter context").click()
    live.get_by_label("Or cut off another number of tokens").fill("3")
    live.get_by_role("button", name="Compute").click()
    assert page.evaluate("window.asked.at(-1)") == ["variant", {"change": {"kind": "cut", "tokens": 3}}]


@pytest.mark.parametrize("width", [320, 1280])
def test_the_panel_is_accessible_and_fits(open_page: Any, data_of: Any, width: int) -> None:
    for data in (data_of("short"), data_of("strange"), longer(data_of("short"))):
        page = open_page(data, viewport={"width": width, "height": 800})
        for kind in ("Another token", "A shorter context"):
            panel_of(page).get_by_role("button", name=kind, exact=True).click()
            assert violations(page, PANEL) == []
            assert panel_of(page).evaluate("(e) => e.scrollWidth <= e.clientWidth")
