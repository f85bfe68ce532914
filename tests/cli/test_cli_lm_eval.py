"""chainrule lm-eval: what is passed on to the harness, with a stand-in for it. tests/evaluation runs the harness itself."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from chainrule import InputError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that the harness was given."""
    lines: list[list[str]] = []
    for name in ("lm_eval", "lm_eval.__main__", "chainrule.evaluation.lm_eval"):
        module: Any = ModuleType(name)
        module.__spec__, module.cli_evaluate = ModuleSpec(name, None), lambda: lines.append(list(sys.argv))
        monkeypatch.setitem(sys.modules, name, module)
    return lines


@pytest.mark.parametrize(
    "line",
    [
        ["--model", "chainrule", "--tasks", "a", "--model_args", "pretrained=x,dtype=float32"],
        ["run", "--help"],
        ["ls", "tasks"],
        ["--tasks", "a", "--", "b", "-h", "--limit", "1", "--limit", "2"],
    ],
    ids=" ".join,
)
def test_all_words_are_passed_on(command, calls: list[list[str]], line: list[str]):
    before = list(sys.argv)
    assert command("lm-eval", *line) == (0, "", "")
    assert calls == [["lm-eval", *line]]
    assert sys.argv == before


@pytest.mark.parametrize("line", [["--help"], ["-h"]])
def test_its_own_page_of_help(command, calls: list[list[str]], line: list[str]):
    code, out, err = command("lm-eval", *line)
    assert (code, err, calls) == (0, "", [])
    assert "chainrule lm-eval run --help" in " ".join(out.split())


def test_nothing_to_pass_on(command, calls: list[list[str]]):
    code, out, err = command("lm-eval")
    assert (code, out, calls) == (2, "", [])
    assert err.startswith("chainrule: lm-eval needs ARGUMENT: ")


def test_without_the_extra(command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    needs = "needs lm_eval, which is not installed; run: pip install 'chainrule[lm-eval]'"
    assert command("lm-eval", "ls", "tasks") == (2, "", f"chainrule: lm-eval {needs}\n")
    monkeypatch.delitem(sys.modules, "chainrule.evaluation.lm_eval", raising=False)
    with pytest.raises(InputError, match=r"^chainrule.evaluation.lm_eval needs lm_eval, .*pip install 'chainrule\[lm-eval\]'$"):
        __import__("chainrule.evaluation.lm_eval")
