"""The command line with --order: output and errors."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from model_zoo import untouched_any_order
from text_zoo import byte_level

import chainrule
from chainrule import LanguageModel

TEXT = "A fox hops"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any-order")
    tokenizer = byte_level()
    untouched_any_order("llama", 12, vocab_size=tokenizer.size, bos_token_id=tokenizer.bos_id).save_pretrained(folder)
    tokenizer.hf.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lm(folder: Path) -> LanguageModel:
    return chainrule.load(folder)


@pytest.fixture
def run(command, folder: Path):
    return lambda *arguments, **stdin: command(*arguments, "--model", str(folder), **stdin)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def order_of(lm: LanguageModel) -> str:
    return ",".join(map(str, range(len(lm.tokenizer.encode(TEXT)))[::-1]))


def test_one_order(run, lm):
    code, out, _ = run("score", TEXT, "--order", order_of(lm))
    (row,) = rows_of(out)
    assert code == 0
    assert float(row["logprob"]) == lm.score(TEXT, order="right-to-left").logprob
    assert json.loads(row["order"]) == [int(position) for position in order_of(lm).split(",")]
    _, named, _ = run("score", TEXT, "--order", "right-to-left")
    assert named == out


def test_random_orders_and_their_seed(run, lm):
    for seed in ("0", "3"):
        _, out, _ = run("score", TEXT, "--order", "random", "--seed", seed)
        assert float(rows_of(out)[0]["logprob"]) == lm.score(TEXT, order="random", seed=int(seed)).logprob


def test_several_orders_into_a_pipe(run, lm):
    mixture = lm.score(TEXT, order=["random:2", "left-to-right"])
    arguments = ("score", TEXT, "--order", "random:2", "--order", "left-to-right")
    _, out, _ = run(*arguments)
    (row,) = rows_of(out)
    assert (float(row["logprob"]), float(row["logprob_spread"])) == (mixture.logprob, mixture.logprob_spread)
    assert json.loads(row["logprobs"]) == mixture.logprobs.tolist()
    _, out, _ = run(*arguments, "--per", "order")
    assert [float(row["logprob"]) for row in rows_of(out)] == mixture.logprobs.tolist()
    _, out, _ = run(*arguments, "--per", "token")
    assert [float(row["logprob"]) for row in rows_of(out)] == [p for score in mixture for p in score.logprobs.tolist()]


def test_several_orders_as_json_and_to_a_file(run, lm, tmp_path):
    mixture = lm.score(TEXT, order="random:2")
    _, out, _ = run("score", TEXT, "--order", "random:2", "--json")
    item = json.loads(out)
    assert (item["logprob"], item["logprob_spread"], len(item["scores"])) == (mixture.logprob, mixture.logprob_spread, 2)
    _, out, _ = run("score", "--order", "random:2", "--json", stdin=f"{TEXT}\na\n")
    assert [("scores" in json.loads(line), json.loads(line)["text"]) for line in out.splitlines()] == [
        (False, TEXT),
        (False, "a"),
    ]
    assert run("score", TEXT, "--order", "random:2", "--output", str(tmp_path / "m.parquet"))[0] == 0
    assert pyarrow.parquet.read_table(tmp_path / "m.parquet")["logprobs"].to_pylist() == [mixture.logprobs.tolist()]


def test_several_orders_on_a_terminal(run, lm, monkeypatch: pytest.MonkeyPatch, capsys):
    from chainrule.cli.inputs import Source
    from chainrule.cli.scoring import score_stream
    from chainrule.cli.sink import Sink

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for texts, phrase in (([TEXT], "log of mean Pr"), ([TEXT, "a"], "spread")):
        with Sink(None) as sink:
            score_stream(lambda: lm, Source(texts), sink, None, {"order": "random:2", "top": 0})
        assert capsys.readouterr().out.count(phrase) == 1


def test_explain_in_an_order(run, lm):
    code, out, _ = run("explain", TEXT, "--order", order_of(lm))
    assert (code, out.rstrip("\n")) == (0, str(lm.explain(TEXT, order="right-to-left", top=3)))
    _, out, _ = run("explain", TEXT, "--order", "random", "--seed", "5", "--json")
    assert json.loads(out) == json.loads(json.dumps(lm.explain(TEXT, order="random", seed=5, top=3).to_dict()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", TEXT, "--order", "0,1"), "order (0, 1) is not a permutation of the"),
        (("score", TEXT, "--order", "0;1"), "or positions such as 0,4,2,1,3, not '0;1'"),
        (("score", TEXT, "--order", "backwards"), "or positions such as 0,4,2,1,3, not 'backwards'"),
        (("score", TEXT, "--order", "random", "--end"), "no end symbol is predicted"),
        (("score", TEXT, "--order", "random", "--window", "4"), "windows are for causal models"),
        (("score", TEXT, "--order", "random", "--per", "order"), "--per order needs several orders: use --per sequence"),
        (("score", TEXT, "--order", "random:2", "--per", "sequence"), "--per sequence needs one order: use --per text"),
        (("explain", TEXT, "--order", "random:2"), "explain takes one order"),
        (("explain", TEXT, "--seed", "1"), "--seed is for random orders: add --order random"),
        (("score", TEXT, "--order", "0,1", "--seed", "1"), "--seed is for random orders: add --order random"),
        (("score", TEXT * 9), "and the model has 12 positions"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_input_is_one_line(run, arguments: tuple[str, ...], message: str):
    code, out, error = run(*arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_a_line_that_does_not_fit_is_reported(run, lm):
    assert [len(lm.tokenizer.encode(text)) for text in ("a b", "a")] == [2, 1]
    for lines, number in (("a b\na\n", 2), ("a\na b\n", 1), ("a b\na b\na\na\n", 3)):
        code, _, error = run("score", "--order", "1,0", stdin=lines)
        assert code == 2
        assert f"line {number} of standard input" in error
        assert "order (1, 0) does not fit a single token" in error
