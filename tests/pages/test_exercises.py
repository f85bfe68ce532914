"""The exercises of a lesson in the browser: answered by mouse and by keyboard, and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browser import violations

from chainrule.pages.document import document

SHARED = Path(__file__).parent / "data" / "exercise_cases.json"  # the cases of the check in Python

COMMON = {"hint": "Think of the factors.", "explanation": "So it is: <b>well</b> done."}
NUMBER = COMMON | {
    "kind": "number",
    "question": "log Pr of “a b a”?",
    "answer": -4.60517,
    "tolerance": 0.001,
    "unit": "nats",
    "mistakes": [
        {"answer": 0.01, "message": "That is the probability."},
        {"answer": "-Infinity", "message": "No factor is 0."},
    ],
}
CHOICE = COMMON | {
    "kind": "choice",
    "question": "Which is Pr(x₀)?",
    "choices": ["0", "1", "<i>e₀</i>"],
    "answer": 1,
    "messages": ["It is certain.", "", "That is an embedding."],
    "hint": None,
}
ARRANGE = COMMON | {
    "kind": "arrange",
    "question": "Arrange the steps.",
    "items": ["tokens", "embeddings", "hidden states", "logits"],
    "shuffled": [2, 0, 1, 3],
}
CELLS = COMMON | {
    "kind": "cells",
    "question": "Which tokens are known?",
    "tokens": ["A", "B", "C"],
    "order": [2, 0, 1],
    "known": [[], [2], [2, 0]],
}
MATCH = COMMON | {
    "kind": "match",
    "question": "What is what?",
    "left": ["x", "e", "h"],
    "right": ["a hidden state", "a token", "an embedding"],
    "answer": [1, 2, 0],
}
EXERCISES = [NUMBER, CHOICE, ARRANGE, CELLS, MATCH]


@pytest.fixture
def lesson(open_page: Any, data_of: Any) -> Any:
    """A lesson with one of each kind, or with the exercises of a test."""

    def opened(exercises: Any = EXERCISES, **options: Any) -> Any:
        places = "".join(f'<section data-panel="exercise" data-exercise="{n}"></section>' for n in range(len(exercises)))
        data = data_of("short") | {"lesson": {"number": 1, "name": "x", "title": "X", "exercises": exercises}}
        return open_page(document(data, title="A lesson", body=f"<h1>A lesson</h1>{places}"), **options)

    return opened


def place_of(page: Any, kind: str) -> Any:
    return page.locator("[data-panel=exercise]", has=page.locator(f"form[data-kind={kind}]"))


def checked(place: Any) -> str:
    """Press Check; what is said."""
    place.get_by_role("button", name="Check").click()
    return place.get_by_role("status").inner_text()


@pytest.mark.parametrize("typed", ["-4.605", "−4.605", " -4,605 ", "-460.517%", "-460517/100000", "-4605e-3", "−4.605 × 10⁰"])
def test_a_number_is_read_as_people_type_it(lesson: Any, typed: str) -> None:
    place = place_of(lesson([NUMBER]), "number")
    place.get_by_label("Your answer, in nats").fill(typed)
    assert checked(place) == "✓ Right. So it is: <b>well</b> done."


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (".01", "That is the probability."),
        ("1/100", "That is the probability."),
        ("-∞", "No factor is 0."),
        ("-inf", "No factor is 0."),
        ("-4.6", "That is not the number."),
        ("ln 0.01", "Work it out"),
        ("1.000,5", "one point or one comma"),
        ("<img src=x>", "This is not a number."),
        ("", "Type a number"),
        ("1/0", "This is not a number."),
    ],
)
def test_a_wrong_number_is_answered_with_its_reason(lesson: Any, typed: str, said: str) -> None:
    place = place_of(lesson([NUMBER]), "number")
    place.get_by_label("Your answer, in nats").fill(typed)
    place.get_by_label("Your answer, in nats").press("Enter")
    assert said in place.get_by_role("status").inner_text()
    assert place.get_by_label("Your answer, in nats").evaluate("(e) => e === document.activeElement")


def test_a_result_goes_when_the_answer_changes(lesson: Any) -> None:
    place = place_of(lesson([NUMBER]), "number")
    assert checked(place)
    place.get_by_label("Your answer, in nats").press_sequentially("1")
    assert place.get_by_role("status").inner_text() == ""


def test_the_hint_is_shown_on_request(lesson: Any) -> None:
    page = lesson()
    place = place_of(page, "number")
    hint = place.get_by_role("button", name="Hint")
    assert not place.get_by_text("Think of the factors.").is_visible()
    hint.click()
    assert place.get_by_text("Think of the factors.").is_visible()
    assert hint.get_attribute("aria-expanded") == "true"
    assert place_of(page, "choice").get_by_role("button", name="Hint").count() == 0


def test_a_choice_is_answered_with_its_message(lesson: Any) -> None:
    place = place_of(lesson(), "choice")
    assert "Choose one" in checked(place)
    place.get_by_label("<i>e₀</i>").check()
    assert "That is an embedding." in checked(place)
    place.get_by_label("<i>e₀</i>").press("ArrowUp")
    assert checked(place).startswith("✓ Right.")


def test_items_are_arranged_by_buttons_and_by_keys(lesson: Any) -> None:
    place = place_of(lesson(), "arrange")
    assert "From place 1 on" in checked(place)
    place.get_by_role("button", name="Up: tokens").click()
    assert place.locator(".item").all_inner_texts() == ["tokens", "hidden states", "embeddings", "logits"]
    assert "From place 2 on" in checked(place)
    down = place.get_by_role("button", name="Down: hidden states")
    down.press("ArrowDown")
    assert down.evaluate("(e) => e === document.activeElement")
    assert checked(place).startswith("✓ Right.")
    place.get_by_role("button", name="Up: tokens").click()  # the first cannot go up
    assert place.locator(".item").first.inner_text() == "tokens"


def test_items_are_dragged(lesson: Any) -> None:
    place = place_of(lesson(), "arrange")
    place.locator("li", has_text="logits").drag_to(place.locator("li", has_text="hidden states"))
    assert place.locator(".item").first.inner_text() == "logits"


def test_cells_are_toggled_and_wrong_rows_are_named(lesson: Any) -> None:
    page = lesson()
    place = place_of(page, "cells")
    place.get_by_label("Row 2, which predicts A: C is known").click()
    place.get_by_label("Row 3, which predicts B: C is known").click()
    place.get_by_label("Row 3, which predicts B: B is known").click()
    assert "Row 3 is wrong." in checked(place)
    assert place.locator("td.verdict").all_inner_texts() == ["✓ right", "✓ right", "✗ wrong"]
    place.get_by_label("Row 3, which predicts B: B is known").press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert place.get_by_label("Row 3, which predicts B: A is known").get_attribute("aria-pressed") == "true"
    assert checked(place).startswith("✓ Right.")


def test_pairs_are_matched(lesson: Any) -> None:
    place = place_of(lesson(), "match")
    place.get_by_label("x", exact=True).select_option("a token")
    place.get_by_label("e", exact=True).select_option("a hidden state")
    assert "Look again at e, h." in checked(place)
    assert [text.strip() for text in place.locator(".verdict").all_inner_texts()] == ["✓", "✗", "✗"]
    place.get_by_label("e", exact=True).select_option("an embedding")
    place.get_by_label("h", exact=True).select_option("a hidden state")
    assert checked(place).startswith("✓ Right.")


def test_an_exercise_that_is_not_there_says_so(open_page: Any, data_of: Any) -> None:
    body = '<h1>A lesson</h1><section data-panel="exercise" data-exercise="0"></section>'
    page = open_page(document(data_of("short"), title="A lesson", body=body))
    assert "no such exercise" in page.locator("[data-panel]").inner_text()


@pytest.mark.parametrize("width", [320, 1280])
def test_exercises_are_accessible_and_fit(lesson: Any, width: int) -> None:
    page = lesson(viewport={"width": width, "height": 800})
    for kind in ("number", "choice", "arrange", "cells", "match"):
        checked(place_of(page, kind))
    assert violations(page, "[data-panel]") == []
    assert page.locator("[data-panel]").evaluate_all("(all) => all.every((e) => e.scrollWidth <= e.clientWidth)")


@pytest.mark.skipif(not SHARED.exists(), reason="the cases of the check in Python are not here")
def test_the_check_has_the_rules_of_python(open_page: Any, data_of: Any) -> None:
    shared = json.loads(SHARED.read_text("utf-8"))
    script = """async ({ exercises, cases }) => {
      const { check } = await import("chainrule/exercise.js");
      return cases.map(({ exercise, answer }) => check(exercises[exercise], answer));
    }"""
    for case, got in zip(shared["cases"], open_page(data_of("short")).evaluate(script, shared), strict=True):
        assert got["right"] == case["right"], case
        assert case["message"] in (None, got["message"]), case
        assert all(words in got["message"] for words in case["says"]), case
