"""Panel h: the table that computes by itself, against chainrule.TableModel and the course's numbers."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from browser import violations

from chainrule import LanguageModel, TableModel

RUN = """async (cases) => {
  const m = await import("chainrule/panels/table_model.js");
  const wire = (x) => (Number.isFinite(x) ? x : String(x));
  return cases.map(({ model, texts, length }) => {
    const rows = model.rows.map((row) => ({ ...row, numbers: row.numbers.map(Number) }));
    const compiled = m.compile({ ...model, rows });
    return {
      factors: texts.map((ids) => m.factors(compiled, ids).map((f) => wire(f.logprob))),
      sums: texts.map((ids) => m.runningSums(m.factors(compiled, ids).map((f) => f.logprob)).map(wire)),
      ranking: m.ranking(compiled, length).map(({ ids, logprob }) => [ids, wire(logprob)]),
      greedy: m.greedy(compiled, length),
      best: m.best(compiled, length),
    };
  });
}"""


@pytest.fixture
def lesson(open_page: Any, data_of: Any) -> Any:
    """A page on which the panel shows a case."""

    def opened(case: str = "product", **options: Any) -> Any:
        from chainrule.pages.document import document

        body = f'<h1>A lesson</h1><section data-panel="table" data-case="{case}"></section>'
        return open_page(document(data_of("short"), title="A lesson", body=body), **options)

    return opened


def random_case(seed: int) -> tuple[dict[str, Any], LanguageModel]:
    """A random table, for the page and for Python: probabilities or logits, with and without back-off, with zeros."""
    random = np.random.default_rng(seed)
    names = "ABCD"[: random.integers(2, 5)]
    length, probabilities, back_off = int(random.integers(1, 4)), bool(seed % 2), bool(seed % 3)
    contexts = ["".join(c) for n in range(length) for c in product(names, repeat=n)]
    if back_off:
        contexts = ["", *[c for c in contexts[1:] if random.random() < 0.5]]
    rows = {}
    for context in contexts:
        row = random.normal(0, 4, len(names))
        if random.random() < 0.3:
            row[random.integers(len(names))] = -np.inf
        rows[context] = np.exp(row) / np.exp(row).sum() if probabilities else row
    texts = [list(map(int, random.integers(0, len(names), length + (3 if back_off else 0)))) for _ in range(5)]
    model = {
        "size": len(names),
        "probabilities": probabilities,
        "backOff": back_off,
        "rows": [{"context": [names.index(t) for t in c], "numbers": list(map(repr, map(float, r)))} for c, r in rows.items()],
    }
    for row in model["rows"]:
        row["numbers"] = [x.replace("inf", "Infinity") for x in row["numbers"]]
    table = TableModel(list(names), rows, probabilities=probabilities, back_off=back_off)
    return {"model": model, "texts": texts, "length": length}, LanguageModel(table)


def test_random_tables_give_the_numbers_of_the_table_model(open_page: Any, data_of: Any) -> None:
    pairs = [random_case(seed) for seed in range(100)]
    cases = [case for case, _ in pairs]
    for (case, lm), got in zip(pairs, open_page(data_of("short")).evaluate(RUN, cases), strict=True):
        scores = lm.score_batch(case["texts"])
        for score, factors, sums in zip(scores, got["factors"], got["sums"], strict=True):
            np.testing.assert_allclose(list(map(float, factors)), score.logprobs, rtol=1e-12, atol=1e-12)
            assert float(sums[-1]) == math.fsum(map(float, factors))
        ranked = lm.score_batch([ids for ids, _ in got["ranking"]])
        logprobs = [float(logprob) for _, logprob in got["ranking"]]
        assert len(logprobs) == case["model"]["size"] ** case["length"]
        np.testing.assert_allclose(logprobs, [s.logprob for s in ranked], rtol=1e-12, atol=1e-12)
        assert logprobs == sorted(logprobs, reverse=True)
        assert math.fsum(map(math.exp, logprobs)) == pytest.approx(1, rel=1e-12)
        for method in ("greedy", "best"):
            grown = lm.generate(method=method, max_tokens=case["length"], end=False)
            found = lm.score(got[method]).logprob
            assert found == pytest.approx(grown.logprob, rel=1e-12, abs=1e-12), method


def test_sums_are_rounded_exactly(open_page: Any, data_of: Any) -> None:
    random = np.random.default_rng(1)
    lists = [(random.normal(0, 1, n) * 10.0 ** random.integers(-20, 20, n)).tolist() for n in range(1, 200)]
    lists += [[0.1] * 10, [1e16, 1.0, 1e-16], [1e16, 1.0, -1e-16], [2.0**53, 1.0, 2.0**-60], []]
    script = """async (lists) => lists.map((await import("chainrule/panels/table_model.js")).exactSum)"""
    page = open_page(data_of("short"))
    assert list(map(float, page.evaluate(script, lists))) == [math.fsum(numbers) for numbers in lists]


COURSE = {
    "product": [("a b b", "−3.218876", "0.04"), ("a b a", "−4.605170", "0.01")],
    "logs": [("a a a", "−4.700000", "0.00909528")],
    "zero": [("a b b", "−∞", "0")],
    "debugging": [("A A", "−1.411907", None), ("B B", "−2.626802", None)],
    "greedy": [("A A", "−0.693193", None)],
    "bits": [("0 0", "−0.693147", "0.5")],
    "underflow": [("a", "−6931.471806", "0")],
}


@pytest.mark.parametrize("case", COURSE)
def test_a_case_shows_the_numbers_of_the_course(lesson: Any, case: str) -> None:
    page = lesson(case)
    for text, logprob, probability in COURSE[case]:
        if page.get_by_role("group", name="Texts of this table").count():
            page.get_by_role("group", name="Texts of this table").get_by_role("button", name=text, exact=True).click()
        total = page.locator(".total").inner_text()
        assert f"sum of logs {logprob} nats" in total
        if probability is not None:
            assert total.startswith(f"Product {probability};")
    assert "NaN" not in page.locator("main").inner_text()


def test_the_debugging_case_shows_the_wrong_winner(lesson: Any) -> None:
    page = lesson("debugging")
    assert "add up to 10," in page.locator(".wrong").first.inner_text()
    page.get_by_role("button", name="B B", exact=True).click()
    assert "add up to 16," in page.locator(".wrong").first.inner_text()
    assert "It is the wrong winner." in page.locator(".wrong").last.inner_text()


def test_greedy_misses_the_best_text(lesson: Any) -> None:
    page = lesson("greedy")
    words = page.locator(".greedy").inner_text()
    assert "−0.693193" in words
    assert "−1.386294" in words
    page.get_by_label("Logit of B after s", exact=True).fill("0.1")
    words = page.locator(".greedy").inner_text()
    assert "All of its ways miss the best: it ends in, say, B A (−1.337544 nats); the best is A A (−0.744442 nats)." in words


def test_underflow_and_the_zero_event_are_named(lesson: Any) -> None:
    page = lesson("underflow")
    assert "log₂ Pr(x) = −10000." in page.locator(".warning").inner_text()
    assert "9,989 more factors" in page.locator("main").inner_text()
    page.get_by_role("button", name="A factor of 0").click()
    assert page.locator(".warning").count() == 0
    assert "Factor 1 is 0" in page.locator(".remark").inner_text()


def test_two_equal_bits_have_a_pseudo_log_likelihood_of_0(lesson: Any) -> None:
    page = lesson("bits")
    assert "sum to 1: a joint" in page.locator(".sum").inner_text()
    assert "sum to 2: they are scores" in page.locator(".pseudo").inner_text()


def test_a_row_that_does_not_sum_to_1_is_an_error_until_it_is_divided(lesson: Any) -> None:
    page = lesson("product")
    page.get_by_label("Pr(a | s)", exact=True).fill(".3")
    assert "The table is not finished" in page.locator(".warning").inner_text()
    assert page.locator(".total").count() == 0
    page.get_by_role("button", name="Divide by the sum").click()
    assert page.get_by_label("Pr(a | s)", exact=True).input_value() == "0.25"
    assert "Product 0.1;" in page.locator(".total").inner_text()
    page.get_by_label("Pr(a | s)", exact=True).fill("<b>")
    assert "This is not a number." in page.locator(".message").first.inner_text()


def test_tokens_and_contexts_are_added_and_removed(lesson: Any) -> None:
    page = lesson("debugging")
    page.get_by_label("New token").fill("<i>D")
    page.get_by_role("button", name="Add the token").click()
    assert page.get_by_role("columnheader", name="<i>D").count() == 1
    assert "has no row for a context" in page.locator(".warning").inner_text()
    page.get_by_label("New context, tokens with spaces").fill("<i>D")
    page.keyboard.press("Enter")
    assert "sum to 1" in page.locator(".sum").inner_text()
    page.get_by_label("New context, tokens with spaces").fill("E")
    page.keyboard.press("Enter")
    assert "The table has no token E." in page.locator(".additions").inner_text()
    page.get_by_role("button", name="Remove the token <i>D").click()
    assert page.locator(".cells tbody tr").count() == 4


def test_the_same_model_in_logits_and_in_probabilities(lesson: Any) -> None:
    page = lesson("zero")
    before = page.locator(".sum + .greedy").inner_text()
    page.get_by_role("button", name="logits", exact=True).click()
    assert page.get_by_label("Logit of a after s", exact=True).input_value() == "−∞"
    assert page.locator(".greedy").inner_text() == before
    page.get_by_role("button", name="probabilities", exact=True).click()
    assert page.get_by_label("Pr(a | s)", exact=True).input_value() == "0"


def test_the_text_is_chosen_by_keyboard(lesson: Any) -> None:
    page = lesson("product")
    page.get_by_role("button", name="Append a").focus()
    page.keyboard.press("Enter")
    assert "of 4 factors" in page.locator(".total").inner_text()
    page.keyboard.press("Space")
    assert "of 5 factors" in page.locator(".total").inner_text()
    page.get_by_role("button", name="Remove the last").press("Enter")
    assert "of 4 factors" in page.locator(".total").inner_text()
    page.get_by_label("repeated").fill("3")
    page.keyboard.press("Tab")
    assert "of 12 factors" in page.locator(".total").inner_text()


def test_the_notation_of_the_course_counts_from_the_start_symbol(lesson: Any) -> None:
    page = lesson("product")
    assert page.locator(".formula").first.inner_text() == "Pr(x0 = a | s)"
    page.get_by_label("Notation").select_option("course")
    assert page.locator(".formula").first.inner_text() == "Pr(x1 = a | x0)"


@pytest.mark.parametrize("width", [320, 1280])
def test_the_panel_is_accessible_and_fits(lesson: Any, width: int) -> None:
    for case in ("debugging", "underflow"):
        page = lesson(case, viewport={"width": width, "height": 800})
        assert violations(page, "[data-panel]") == []
        panel = page.locator("[data-panel]").bounding_box()
        assert panel["x"] + panel["width"] <= width
        assert page.locator("[data-panel]").evaluate("(e) => e.scrollWidth <= e.clientWidth")
