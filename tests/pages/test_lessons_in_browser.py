"""Every lesson in the browser: it draws itself, is accessible, and its exercises tell right from wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser import violations

from chainrule import LanguageModel
from chainrule.pages.lessons import LESSONS, lesson_page, lessons_index


def right_answer(exercise: dict[str, Any]) -> Any:
    """The answer of the data."""
    if exercise["kind"] == "arrange":
        return exercise["items"]
    return exercise["known"] if exercise["kind"] == "cells" else exercise["answer"]


def wrong_answer(exercise: dict[str, Any]) -> Any:
    """An answer that is another."""
    right = right_answer(exercise)
    if exercise["kind"] == "number":
        return 123456.0
    if exercise["kind"] == "choice":
        return (right + 1) % len(exercise["choices"])
    if exercise["kind"] == "match":
        return [None, *right[1:]]
    return right[::-1]


def give(place: Any, exercise: dict[str, Any], answer: Any) -> None:
    """Answer an exercise as a person does."""
    kind = exercise["kind"]
    if kind == "number":
        place.get_by_role("textbox").fill(repr(float(answer)))
    elif kind == "choice":
        place.get_by_role("radio").nth(answer).check()
    elif kind == "match":
        for control, value in zip(place.get_by_role("combobox").all(), answer, strict=True):
            control.select_option("" if value is None else str(value))
    elif kind == "arrange":
        arrange(place, answer)
    else:
        fill_cells(place, answer)


def arrange(place: Any, wanted: list[str]) -> None:
    for to, text in enumerate(wanted):
        while place.locator(".item").all_inner_texts()[to:].index(text):
            place.get_by_role("button", name=f"Up: {text}", exact=True).last.click()


def fill_cells(place: Any, rows: list[list[int]]) -> None:
    for row, known in zip(place.locator("tbody tr").all(), rows, strict=True):
        for position, toggle in enumerate(row.get_by_role("button").all()):
            if (toggle.get_attribute("aria-pressed") == "true") != (position in known):
                toggle.click()


@pytest.fixture(scope="module")
def lesson_html(tiny: LanguageModel) -> dict[str, Any]:
    """The pages of the lessons under the tiny model."""
    return {lesson.name: lesson_page(tiny, lesson) for lesson in LESSONS}


@pytest.mark.parametrize("name", [lesson.name for lesson in LESSONS])
def test_a_lesson_checks_its_answers(open_page: Callable[..., Any], lesson_html: dict[str, Any], name: str):
    lesson = lesson_html[name]
    page = open_page(lesson.html, color_scheme="dark")
    assert violations(page) == []
    for number, exercise in enumerate(lesson.data["lesson"]["exercises"]):
        place = page.locator(f'[data-panel="exercise"][data-exercise="{number}"]')
        check, result = place.get_by_role("button", name="Check"), place.locator(".result")
        if exercise["hint"]:
            place.get_by_role("button", name="Hint").click()
            assert place.get_by_text(exercise["hint"]).is_visible()
        give(place, exercise, wrong_answer(exercise))
        check.click()
        assert result.inner_text().startswith("✗ Not yet."), exercise["question"]
        give(place, exercise, right_answer(exercise))
        assert result.inner_text() == ""  # the result of the answer before is gone
        check.click()
        assert result.inner_text() == f"✓ Right. {exercise['explanation']}"
    page.emulate_media(color_scheme="light")
    assert violations(page) == []
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("name", ["orders", "causal_and_masked"])
def test_parts_of_a_lesson_have_names_of_their_own(open_page: Callable[..., Any], lesson_html: dict[str, Any], name: str):
    parts = open_page(lesson_html[name].html).locator('[role="region"], [role="group"], [role="listbox"]')
    names = parts.evaluate_all("(all) => all.map((e) => e.ariaLabel)")
    assert len(names) > 5
    assert sorted(set(names)) == sorted(names)


def test_the_index_of_the_lessons(open_page: Callable[..., Any]):
    page = open_page(lessons_index("A model"))
    assert page.get_by_role("listitem").count() == len(LESSONS)
    assert violations(page) == []
