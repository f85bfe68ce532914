"""chainrule compare: numbers from the argument, a file and standard input, and the conclusion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule import LanguageModel
from chainrule.cli.comparison import read_numbers


def test_numbers_from_the_argument_a_file_and_standard_input(tiny: LanguageModel, tiny_folder: Path, tmp_path, command):
    logprobs = tiny.score("Hello world").logprobs
    surprisals = (-logprobs / np.log(2)).tolist()
    listed, lines = tmp_path / "numbers.json", tmp_path / "numbers.txt"
    listed.write_text(json.dumps(surprisals))
    lines.write_text("\n".join(map(str, surprisals)))
    sources = (",".join(map(str, surprisals)), str(listed), str(lines), "-")
    for source in sources:
        stdin = lines.read_text() if source == "-" else None
        code, out, err = command("compare", "Hello world", "--numbers", source, "-m", str(tiny_folder), "--json", stdin=stdin)
        assert (code, err) == (0, "")
        value = json.loads(out)
        assert value["cause"] == "surprisals in bits"
        assert [row["yours"] for row in value["numbers"]] == surprisals
    text = command("compare", "Hello world", "--numbers", json.dumps(logprobs.tolist()), "-m", str(tiny_folder))[1]
    assert "the numbers agree" in text
    total = command("compare", "Hello world", "--numbers", str(logprobs.sum()), "-m", str(tiny_folder))[1]
    assert "(total)" in total
    assert "the numbers agree" in total


@pytest.mark.parametrize("content", ["", "-1 x", '{"a": 1}', "[true]", "\ufffd"])
def test_a_file_without_numbers_is_an_error_before_the_model_is_loaded(tmp_path, command, content: str):
    file = tmp_path / "numbers"
    file.write_bytes(content.encode("utf-16" if content == "\ufffd" else "utf-8"))
    code, out, err = command("compare", "hi", "--numbers", str(file), "-m", "no such model")
    assert (code, out) == (2, "")
    assert "must hold numbers" in err
    assert err.count("\n") == 1
    code, _, err = command("compare", "hi", "--numbers", "nowhere.json", "-m", "no such model")
    assert code == 2
    assert "neither a file nor a list of numbers" in err


def test_missing_numbers():
    assert np.isnan(read_numbers("[null, -1.5]")[0])
    assert np.isnan(read_numbers("nan -1.5")[0])
    assert read_numbers("-7") == -7
