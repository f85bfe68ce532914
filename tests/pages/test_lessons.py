"""The lessons: their texts, their exercises with the answers of the library, and the check of answers."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from masked_zoo import MaskedModel, untouched

import chainrule
from chainrule import InputError, LanguageModel, TableModel
from chainrule.pages.document import _PANELS
from chainrule.pages.lessons import INDEX, LESSONS, check, exercises_of, lesson_page, lessons_index
from chainrule.pages.lessons.checking import parse_number
from chainrule.pages.lessons.exercises import arrange, number
from chainrule.pages.lessons.fragments import fragment

CASES = json.loads((Path(__file__).parent / "data" / "exercise_cases.json").read_text("utf-8"))
NAMES = [lesson.name for lesson in LESSONS]
VOID = {"br", "meta", "hr"}


@pytest.fixture(scope="module")
def pages(tiny: LanguageModel) -> dict[str, Any]:
    """The page of each lesson under the tiny model."""
    return {lesson.name: lesson_page(tiny, lesson) for lesson in LESSONS}


def exercises(page: Any) -> list[dict[str, Any]]:
    return page.data["lesson"]["exercises"]


class Outline(HTMLParser):
    """The elements of a fragment. Raises AssertionError for elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


# Checking answers


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: f"{case['exercise']}-{case['answer']}")
def test_check(case):
    verdict = check(CASES["exercises"][case["exercise"]], case["answer"])
    assert bool(verdict) == case["right"]
    assert verdict.reason
    assert case["message"] in (None, verdict.reason)
    assert [part for part in case["says"] if part not in verdict.reason] == []


def test_check_takes_numbers():
    exercise = CASES["exercises"]["small"]
    assert check(exercise, 0.04)
    assert not check(exercise, math.nan)
    assert check(CASES["exercises"]["infinite"], -math.inf)
    assert parse_number("٤") is None  # a digit of another script


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="no exercise of the kind 'essay'"):
        check({"kind": "essay"}, "")


def test_builders_refuse_exercises_that_contradict_themselves():
    with pytest.raises(InputError, match=r"within 0\.1 of its answer"):
        number("How much?", 1.0, "One.", tolerance=0.1, mistakes={"Not one.": 1.05})
    for shuffled in ([0, 1], [0, 0], [1]):
        with pytest.raises(InputError, match="another order of 0 … 1"):
            arrange("Order?", ["a", "b"], shuffled, "So.")


# Answers


def test_answers_of_the_course(pages):
    """The numbers of the course, which the library computes here."""
    answers = {name: [exercise.get("answer") for exercise in exercises(page)] for name, page in pages.items()}
    near = lambda *numbers: pytest.approx(numbers, abs=1e-6)  # noqa: E731
    assert answers["factorisation"][2:] == near(0.144)
    assert answers["base_case"][1:] == near(0.18, 2)
    assert answers["calculating"][:2] == near(0.04, -4.605170)
    assert answers["debugging"][:2] == near(-1.411907, -2.626802)
    assert answers["orders"][2:] == near(0.36)
    assert answers["causal_and_masked"][:2] == near(0.5, 2)
    assert exercises(pages["calculating"])[2]["choices"][3] == "−∞"
    assert exercises(pages["debugging"])[2]["choices"][answers["debugging"][2]] == "AA"


def test_grids_of_the_exercises(pages):
    known = {name: [e["known"] for e in exercises(page) if e["kind"] == "cells"] for name, page in pages.items()}
    assert known["factorisation"] == [[list(range(n)) for n in range(6)]]
    assert known["orders"] == [
        [[], [0], [0, 4], [0, 4, 2], [0, 4, 2, 1]],
        [[], [3], [3, 1], [3, 1, 4], [3, 1, 4, 0]],
    ]
    assert known["causal_and_masked"] == [[[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]]
    orders = [e["order"] for e in exercises(pages["orders"]) if e["kind"] == "cells"]
    assert orders == [[0, 4, 2, 1, 3], [3, 1, 4, 0, 2]]


def test_the_right_product_is_the_joint(pages):
    """On a table whose tokens depend on all tokens before them, one choice gives its joint probability, and no other does."""
    rows = {
        "": [0.5, 0.5],
        "A": [0.9, 0.1],
        "B": [0.3, 0.7],
        "AA": [0.2, 0.8],
        "AB": [0.6, 0.4],
        "BA": [0.8, 0.2],
        "BB": [0.1, 0.9],
    }
    lm = LanguageModel(TableModel(["A", "B"], rows, probabilities=True))
    pr = {text: math.exp(lm.score(text).logprob) for text in (a + b + c for a in "AB" for b in "AB" for c in "AB")}
    given = lambda hit, known: (  # noqa: E731
        sum(p for text, p in pr.items() if all(text[i] == v for i, v in {**hit, **known}.items()))
        / sum(p for text, p in pr.items() if all(text[i] == v for i, v in known.items()))
    )
    products = [
        given({0: "A"}, {}) * given({1: "B"}, {}) * given({2: "A"}, {}),
        given({0: "A"}, {}) * given({1: "B"}, {0: "A"}) * given({2: "A"}, {1: "B"}),
        given({0: "A"}, {}) * given({1: "B"}, {0: "A"}) * given({2: "A"}, {0: "A", 1: "B"}),
        math.prod(given({i: "ABA"[i]}, {j: "ABA"[j] for j in range(3) if j != i}) for i in range(3)),
    ]
    exercise = exercises(pages["factorisation"])[0]
    assert [i for i, p in enumerate(products) if abs(p - pr["ABA"]) < 1e-9] == [exercise["answer"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_has_its_message(pages, name):
    for exercise in exercises(pages[name]):
        for mistake in exercise.get("mistakes", []):
            verdict = check(exercise, float(mistake["answer"]))
            assert not verdict
            assert verdict.reason == next(
                m["message"] for m in exercise["mistakes"] if abs(m["answer"] - mistake["answer"]) <= exercise["tolerance"]
            )
        messages = [m for i, m in enumerate(exercise.get("messages", [])) if i != exercise["answer"]]
        assert "" not in messages
        assert len({*exercise.get("choices", [])}) == len(exercise.get("choices", []))


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_are_right(pages, name):
    for exercise in exercises(pages[name]):
        answer = {"cells": exercise.get("known"), "arrange": list(range(len(exercise.get("items", []))))}
        assert check(exercise, answer.get(exercise["kind"], exercise.get("answer")))
        assert exercise["explanation"]


def test_known_mistakes_of_students(pages):
    said = {
        ("debugging", 0, "10"): "raw logits",
        ("debugging", 1, "16"): "raw logits",
        ("debugging", 0, "-0.6132"): "base 10",
        ("debugging", 0, "-0.6268"): "not in the row after B",
        ("base_case", 1, "0.3"): "forgot the start symbol",
        ("base_case", 1, "0.24"): "A is before it",
        ("base_case", 1, "0.12"): "not that of A after B",
        ("base_case", 2, "1"): "with a start symbol",
        ("calculating", 0, "1.4"): "multiplied",
        ("calculating", 1, "-2"): "base 10",
        ("calculating", 1, "-6.643856"): "bits",
        ("factorisation", 2, ".054"): "not in the row after A",
        ("orders", 2, ".2"): "A after B",
        ("causal_and_masked", 0, "1"): "exp(PLL)",
        ("causal_and_masked", 1, "1"): "Probabilities sum to 1",
    }
    found = {key: check(exercises(pages[key[0]])[key[1]], key[2]).reason for key in said}
    assert {key: reason for key, reason in found.items() if said[key] not in reason} == {}


# Texts


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_lesson(pages, name):
    page = pages[name]
    outline = Outline(page.body)
    assert len(outline.of("h1")) == 1
    panels = [(each["data-panel"], each) for each in outline.of("section")]
    assert {panel for panel, _ in panels} <= {*_PANELS, "exercise"}
    shown = [int(each["data-exercise"] or "") for panel, each in panels if panel == "exercise"]
    assert shown == list(range(len(exercises(page))))
    assert {each.get("data-reading", "text") for _, each in panels} <= set(page.data["readings"])
    links = [str(each["href"]) for each in outline.of("a")]
    assert set(links) <= {INDEX, *(lesson.file for lesson in LESSONS)}
    assert not re.search(r"\{[A-Za-z]", page.body)
    assert 400 <= len(outline.words.split()) <= 800
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_lesson(pages, name):
    page = pages[name]
    lesson = LESSONS[NAMES.index(name)]
    assert page.html.count("<h1") == 1
    assert f"<title>{lesson.number}. " in page.html
    assert len(json.dumps(page.data, ensure_ascii=False).encode()) < 120_000  # the tiny model reads single bytes
    panels = re.findall(r'data-panel="([a-z-]+)"', page.body)
    assert ("factor" in panels) == (page.data["openings"] is not None)
    assert ("what-if" in panels) <= bool(page.data["variants"])
    assert set(page.data["missing"]) == {n for n in ("openings", "variants", "growths", "comparison") if not page.data[n]}


def test_lessons_link_to_each_other(pages):
    links = {name: re.findall(r'<a rel="(\w+)" href="([^"]+)"', page.body) for name, page in pages.items()}
    assert links["factorisation"] == [("next", "2-base-case.html")]
    assert links["base_case"] == [("prev", "1-factorisation.html"), ("next", "3-calculating.html")]
    assert links["causal_and_masked"] == [("prev", "7-orders.html")]


def test_the_list_of_lessons():
    html = lessons_index("a <b> model")
    body = html[html.index("<article") : html.index("</article>") + len("</article>")]
    outline = Outline(body)
    assert [each["href"] for each in outline.of("a")] == [lesson.file for lesson in LESSONS]
    assert "a &lt;b&gt; model" in body


def test_formulas_in_both_notations():
    html = fragment("embeddings", dict.fromkeys(("title", "vocabulary", "rows", "width", "position"), "?"))
    ours = "Pr(<i>x</i><sub>1</sub> | <i>s</i>, <i>e</i><sub>0</sub>)"
    course = "Pr(<i>x</i><sub>2</sub> | <i>e</i><sub>0</sub>, <i>e</i><sub>1</sub>)"
    assert f'<span class="formula ours">{ours}</span><span class="formula course" hidden>{course}</span>' in html
    with pytest.raises(KeyError):
        fragment("embeddings", {})


def test_values_are_text():
    """A text with markup in it shows as text."""
    lm = LanguageModel(TableModel(["<b>", "{x:0}", "&amp;"], {"": [0.5, 0.3, 0.2]}, probabilities=True, back_off=True))
    page = lesson_page(lm, LESSONS[0], "{x:0} <b> &amp;")
    assert "‘&amp;amp;’" in page.body
    assert "<b>" not in page.body
    assert "‘{x:0}’" in lesson_page(lm, LESSONS[0], "<b> {x:0}").body


# Models


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_a_text_of_one_token_and_a_table(abc, lesson):
    page = lesson_page(abc, lesson, "A")
    assert page.data["lesson"]["number"] == lesson.number
    assert Outline(page.body).words


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_an_impossible_text(lesson):
    rows = {"": [0, 1], "A": [0.5, 0.5], "B": [1, 0]}
    lm = LanguageModel(TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    page = lesson_page(lm, lesson, "ABB")
    assert page.html
    if lesson.name not in NAMES[6:]:
        assert page.data["readings"]["text"]["total"]["logprob"] == "-Infinity"


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_a_model_whose_first_token_is_given(tiny, lesson):
    lm = LanguageModel(tiny.model, tiny.tokenizer, start="given", engine=tiny.engine)
    page = lesson_page(lm, lesson)
    assert page.data["readings"]["text"]["kind"] == ("joint" if lesson.name in NAMES[6:] else "conditional")
    for exercise in exercises(page):
        if exercise["kind"] == "cells":
            assert len(exercise["tokens"]) >= len(exercise["order"])


def test_a_masked_model_is_refused():
    lm = LanguageModel(MaskedModel(untouched("bert"), "tiny"))
    with pytest.raises(InputError, match="tiny is none: take one"):
        lesson_page(lm, LESSONS[0])
    with pytest.raises(InputError, match="about a causal model"):
        exercises_of(lm, LESSONS[0])


def test_the_general_form_names_the_shapes_of_the_model(pages, tiny):
    body = pages["general_form"].body
    parameters = sum(p.numel() for p in tiny.model.lm.parameters())
    assert f"{parameters:,} numbers" in body
    assert f"one of {tiny.model.head.size:,} ids" in body
    shapes = pages["general_form"].data["openings"]["shapes"]
    assert f"<td>{shapes['h'][0]}\nnumbers</td>" in body
    assert f"<td>{shapes['e'][0]} numbers" in body


@pytest.mark.real
def test_the_lessons_of_the_default_model(real):
    page = lesson_page(real, LESSONS[4])
    reading = page.data["readings"]["text"]
    assert reading["by_embeddings"] == reading["logprob"]
    assert exercises(page)[2]["answer"] == 576
    debugging = lesson_page(real, LESSONS[3]).data
    wrong = debugging["openings"]["wrong"]
    assert wrong["best_by_logits"] != wrong["best_by_probability"]
    assert len(json.dumps(debugging)) < 30_000
    assert "−41.8246" in lesson_page(real, LESSONS[0]).body


@pytest.mark.real
def test_a_lesson_is_about_the_text_of_its_reader(real):
    text = "The umbrella kept the rain off."
    assert lesson_page(real, LESSONS[2], text).data["readings"]["text"]["text"] == text
    assert chainrule.pages.lessons.exercises_of(real, LESSONS[5], text)[1]["answer"] == 7
