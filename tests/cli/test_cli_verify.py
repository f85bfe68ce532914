"""chainrule verify: output, exit codes and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule.results import Score

TEXT = "Hello world,\r\nhello there! naïve café 🎉\n"


@pytest.fixture
def run(command, tiny_folder: Path):
    """Run `verify` on the tiny model."""

    def invoke(*arguments: str, stdin: str | None = None):
        model = [] if "--model" in arguments else [str(tiny_folder)]
        return command("verify", *model, *arguments, stdin=stdin)

    return invoke


@pytest.fixture
def multiplied(monkeypatch):
    """A bug that no self-check on load detects: probabilities are multiplied, and the product underflows to 0."""

    def product(score: Score) -> float:
        with np.errstate(divide="ignore", under="ignore"):
            return float(np.log(np.exp(score.logprobs).prod()))

    monkeypatch.setattr(Score, "logprob", property(product))


def test_properties_that_hold(run, tiny_folder):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["property", "error", "repeatability"]
    assert out.splitlines()[-1].startswith(f"{tiny_folder}: 18 of 18 properties hold; 1 do not apply")
    assert run("--model", str(tiny_folder))[0] == 0


def test_a_property_that_fails_is_exit_code_1(run, multiplied):
    code, out, _ = run()
    assert code == 1
    assert "1 failed: sum" in out.splitlines()[-1]
    assert "probabilities are multiplied" in out


def test_json(run, multiplied):
    code, out, _ = run("--json")
    report = json.loads(out)
    assert code == 1
    assert report["passed"] is False
    assert [p["property"] for p in report["properties"] if p["status"] == "fail"] == ["sum"]
    assert {"checked", "error", "tolerance", "unit", "cause", "details"} <= report["properties"][0].keys()
    assert report["versions"].keys() >= {"torch", "transformers", "chainrule"}


def test_texts_of_the_user(run, tmp_path):
    file = tmp_path / "texts.csv"
    file.write_text("said\nHello world\nHow are you?\n")
    code, out, _ = run("--file", str(file), "--column", "said")
    assert code == 0
    assert "2 texts to tokens" in out
    assert run("--file", "-", stdin="Hello world\n")[0] == 0
    assert "line 2 of standard input is empty" in run("--file", "-", stdin="Hello\n\nworld\n")[2]
    assert "2 texts to tokens" in run("--file", "-", "--skip-empty", stdin="Hello\n\nworld\n")[1]
    assert run("--file", "-", stdin="")[2] == "chainrule: there is nothing to verify: the input has no text\n"


def test_a_text_is_encoded_and_decoded(run, tmp_path):
    file, back = tmp_path / "text.txt", tmp_path / "back.txt"
    file.write_bytes(TEXT.encode())
    code, out, err = run("--code", str(file))
    assert code == 0
    assert "round trip" in out
    assert err == f"chainrule: the code is in {file}.code; chainrule verify --decode {file}.code restores the text\n"
    assert run("--decode", f"{file}.code", "-o", str(back))[:2] == (0, "")
    assert back.read_bytes() == TEXT.encode()
    assert run("--decode", f"{file}.code")[1] == TEXT.replace("\r\n", "\n")  # as the runner reads it
    code, out, _ = run("--code", str(file), "-o", str(tmp_path / "other"), "--json")
    assert json.loads(out)["code_bits"] / 8 <= (tmp_path / "other").stat().st_size
    assert run("--code", str(file))[0] == 0  # an earlier code may be overwritten


def test_bad_input(run, tmp_path, tiny_folder):
    text, binary, empty = tmp_path / "text.txt", tmp_path / "binary", tmp_path / "empty"
    text.write_text("Hello world")
    binary.write_bytes(b"abc\xff")
    empty.write_bytes(b"")
    run("--code", str(text))
    cut = tmp_path / "cut"
    cut.write_bytes(Path(f"{text}.code").read_bytes()[:-2])
    for arguments, message in [
        (("--code", str(tmp_path / "none")), "cannot read"),
        (("--code", str(binary)), "is not UTF-8: byte 0xff at offset 3"),
        (("--code", str(empty)), "is empty, so there is nothing to encode"),
        (("--code", str(text), "-o", str(binary)), "exists and is not a chainrule code"),
        (("--code", str(text), "-o", str(tmp_path / "no" / "where")), "cannot write"),
        (("--decode", str(text)), "this is no code of chainrule: it begins with b'Hello world'"),
        (("--decode", str(cut)), "the code is cut short"),
        (("--decode", f"{text}.code", "--dtype", "float64"), "dtype: float32 then, float64 now"),
        (("--decode", f"{text}.code", "-o", str(tmp_path / "no" / "where")), "cannot write"),
        (("--code", str(text), "--decode", str(text)), "give one of --file, --code and --decode"),
        (("-o", "x"), "--output needs --code or --decode"),
        ((str(tiny_folder), "--model", str(tiny_folder)), "name one model, not two"),
        (("--model", "no/such/model"), "no/such/model"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err, arguments
        assert err.startswith("chainrule: ")
        assert err.count("\n") == 1
