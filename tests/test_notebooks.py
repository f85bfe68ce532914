"""The notebooks of the lessons run, and check the answers to their exercises."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chainrule
from chainrule.pages.lessons import LESSONS, check

pytest.importorskip("marimo")
FOLDER = Path(__file__).resolve().parent.parent / "lessons"

# A right answer to the exercise of each notebook, and a wrong one with a part of what is said to it
ANSWERS: dict[str, tuple[Any, Any, str]] = {
    "factorisation": ("0.144", ".096", "as a first letter"),
    "base_case": ("18/100", ".3", "forgot the start symbol"),
    "calculating": ("−4.605", "-2", "base 10"),
    "debugging": ("-1.4119", "10", "raw logits"),
    "embeddings": (range(7), [0, 2, 1, 3, 4, 5, 6], "place 2"),
    "general_form": ([2, 4, 1, 5, 0, 3], [2, 4, 5, 1, 0, 3], "hᵢ, zᵢ"),
    "orders": ([[], [3], [1, 3], [1, 3, 4], [0, 1, 3, 4]], [[], [], [1, 3], [1, 3, 4], [0, 1, 2, 3, 4]], "rows 2, 5"),
    "causal_and_masked": ("2", "1", "sum to 1"),
}


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], dict[str, Any]]:
    """Run a notebook of the lessons with a model in place of the default one; what its cells define."""

    def run(lm: Any, file: str) -> dict[str, Any]:
        monkeypatch.setattr(chainrule, "load", lambda: lm)
        spec: Any = importlib.util.spec_from_file_location("notebook", FOLDER / file)
        notebook = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(notebook)
        return dict(notebook.app.run()[1])

    return run


def file_of(name: str) -> str:
    [number] = [each.number for each in LESSONS if each.name == name]
    return f"{number}_{name}.py"


def test_every_lesson_has_a_notebook():
    assert sorted(path.name for path in FOLDER.glob("*.py")) == [file_of(each.name) for each in LESSONS]
    assert set(ANSWERS) == {each.name for each in LESSONS}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_notebook_checks_its_exercise(definitions, tiny, name):
    exercise = definitions(tiny, file_of(name))["exercise"]
    right, wrong, message = ANSWERS[name]
    assert check(exercise, right)
    verdict = check(exercise, wrong)
    assert not verdict
    assert message in verdict.reason


@pytest.mark.real
@pytest.mark.parametrize("name", ANSWERS)
def test_a_notebook_runs_with_the_default_model(definitions, real, name):
    found = definitions(real, file_of(name))
    assert found["lm"] is real
    assert check(found["exercise"], ANSWERS[name][0])


def test_numbers_of_the_notebooks(definitions, tiny):
    found = definitions(tiny, file_of("debugging"))
    assert found["raw"] == {"AA": 10, "BB": 16}
    assert found["right"] == pytest.approx({"AA": -1.411907, "BB": -2.626802}, abs=1e-6)
    assert definitions(tiny, file_of("base_case"))["of_conditionals"] == pytest.approx(2, abs=1e-12)
    assert definitions(tiny, file_of("causal_and_masked"))["plls"] == {
        "00": 0, "01": float("-inf"), "10": float("-inf"), "11": 0,
    }  # fmt: skip
