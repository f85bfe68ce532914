"""The types that users see: the errors of a type checker in their scripts, with chainrule as an installed package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

HEAD = """\
from typing import Any, assert_type

import chainrule

model: Any = chainrule.TableModel(["A", "B"], {"": [0.6, 0.4]}, probabilities=True, back_off=True)
lm = chainrule.LanguageModel(model)
score = lm.score("AB")
scores = lm.score_batch(["A", "AB"])
"""

RIGHT = """\
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def load(folder: Path) -> chainrule.LanguageModel:
    return chainrule.load(folder, dtype="auto", threads=2)


assert_type(score, chainrule.Score)
assert_type(score.logprob, float)
assert_type(score.tokens, list[str])
assert_type(score.to_dict(), dict[str, Any])
assert_type(scores, chainrule.Scores)
assert_type(scores[0], chainrule.Score)
logprobs: NDArray[np.float64] = scores.logprob
rows: int = scores.to_arrow("token").num_rows
scores.write("scores.parquet")
assert_type(lm.rank("A", ["A", "B"]), list[chainrule.Ranked])
assert_type(lm.conditional("A"), chainrule.Conditional)
assert_type(lm.explain("AB"), chainrule.Explanation)
assert_type(lm.verify().passed, bool)
assert_type(lm.generate("A", max_tokens=2), chainrule.Generated)
assert_type(lm.generate("A", max_tokens=2, n=3), list[chainrule.Generated])
assert_type(lm.infill("A____", method="greedy"), chainrule.Generated)
assert_type(lm.infill("A____", [1], n=2), list[chainrule.Generated])
mixed = lm.score("AB", order="random:2")
if isinstance(mixed, chainrule.Mixture):
    assert_type(mixed.logprob, float)
try:
    lm.score("C")
except chainrule.InputError as error:
    assert_type(error.item, int | None)
"""


def errors_of(folder: Path, script: str) -> list[tuple[int, str]]:
    """(line, kind) of the errors that pyrefly reports in a script. A package without py.typed counts as untyped."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    settings = 'project-includes = ["script.py"]\nreplace-untyped-imports-with-any = ["chainrule", "chainrule.*"]\n'
    (folder / "pyrefly.toml").write_text(settings, encoding="utf-8")
    where = ["--python-interpreter-path", sys.executable, "--site-package-path", str(Path(chainrule.__file__).parent.parent)]
    command = [sys.executable, "-m", "pyrefly", "check", "--config", str(folder / "pyrefly.toml"), *where]
    done = subprocess.run(
        [*command, "--output-format", "json"], capture_output=True, text=True, encoding="utf-8", check=False, cwd=folder
    )
    assert done.returncode in (0, 1), done.stderr
    return [(error["line"], error["name"]) for error in json.loads(done.stdout)["errors"]]


def test_a_correct_script_has_no_errors(tmp_path: Path):
    assert errors_of(tmp_path, HEAD + RIGHT) == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("x: str = score.logprob", "bad-assignment"),
        ("x: chainrule.Score = scores", "bad-assignment"),
        ("score.log_prob", "missing-attribute"),
        ("chainrule.Skore", "missing-attribute"),
        ('chainrule.load("folder", dtyp="auto")', "unexpected-keyword"),
        ('lm.conditional("A", start=1.5)', "bad-argument-type"),
        ('lm.rank("A")', "missing-argument"),
    ],
)
def test_an_incorrect_line_is_reported(tmp_path: Path, line: str, kind: str):
    assert errors_of(tmp_path, f"{HEAD}{line}\n") == [(len(HEAD.splitlines()) + 1, kind)]


def test_a_table_is_a_model(tmp_path: Path):
    assert errors_of(tmp_path, HEAD.replace("model: Any", "model")) == []
