"""Generation on the command line: what it prints, step by step where asked, what it writes, and bad input."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from model_zoo import untouched_any_order
from text_zoo import byte_level

import chainrule

CONTEXT = "It is"
COLUMNS = ["index", "text", "context_text", "logprob", "tokens", "finish", "method", "sampling", "sampling_logprob", "seed",
           "canonical", "certain", "bound", "start", "start_id", "end_id", "kind", "special", "context_special",
           "model"]  # fmt: skip


@pytest.fixture
def run(command, tiny_folder: Path):
    return lambda *arguments, **stdin: command(*arguments, "--model", str(tiny_folder), **stdin)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def cell(value) -> str:
    return "" if value is None else str(value)


def check_rows(rows, made) -> None:
    """CSV rows against what the library grew: every number to the last bit."""
    assert len(rows) == len(made)
    for i, (row, s) in enumerate(zip(rows, made, strict=True)):
        assert list(row) == COLUMNS
        assert (row["index"], row["text"], row["context_text"]) == (str(i), s.text, cell(s.context))
        assert float(row["logprob"]) == s.logprob
        assert (row["tokens"], row["finish"], row["method"], row["kind"]) == (str(len(s)), s.finish, s.method, s.kind)
        assert (row["sampling"], row["seed"], row["canonical"]) == (s.sampling, cell(s.seed), cell(s.canonical))
        if s.sampling_logprob is None:
            assert row["sampling_logprob"] == ""
        else:
            assert float(row["sampling_logprob"]) == s.sampling_logprob
        assert (row["start"], row["start_id"], row["end_id"]) == ("bos", str(s.start.id), cell(s.end))
        shown = s.certificate
        assert (row["certain"], row["bound"] != "") == (cell(shown and shown.certain), shown is not None)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("--max-tokens", "7", "--no-end"), {"max_tokens": 7, "end": False}),
        (("--method", "sample", "-n", "6", "--seed", "3"), {"method": "sample", "n": 6, "seed": 3}),
        (("--method", "sample", "--n", "12", "--seed", "3", "--max-tokens", "9"),
         {"method": "sample", "n": 12, "seed": 3, "max_tokens": 9}),
        (("--method", "sample", "--seed", "1", "--temperature", "0.7", "--top-k", "20", "--top-p", "0.9", "--min-p", "0.01"),
         {"method": "sample", "seed": 1, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.01}),
        (("--method", "beam", "--num-beams", "5", "-n", "3", "--max-tokens", "6"),
         {"method": "beam", "num_beams": 5, "n": 3, "max_tokens": 6}),
        (("--method", "best", "--max-tokens", "2", "--budget", "5"), {"method": "best", "max_tokens": 2, "budget": 5}),
        (("--method", "best", "--max-tokens", "2"), {"method": "best", "max_tokens": 2}),
        (("--start", "5", "--max-tokens", "4"), {"start": 5, "max_tokens": 4}),
    ],
    ids=str,
)  # fmt: skip
def test_into_a_pipe(run, tiny, arguments, options):
    code, out, error = run("generate", CONTEXT, *arguments)
    assert (code, error) == (0, "")
    if "start" in options:
        assert rows_of(out)[0]["start_id"] == "5"
        assert float(rows_of(out)[0]["logprob"]) == tiny.generate(CONTEXT, **options).logprob
        return
    made = tiny.generate(CONTEXT, **options)
    check_rows(rows_of(out), made if isinstance(made, list) else [made])


def test_without_a_context(run, tiny):
    _, out, _ = run("generate", "--max-tokens", "3", "--no-end")
    check_rows(rows_of(out), [tiny.generate(max_tokens=3, end=False)])
    assert rows_of(out)[0]["kind"] == "joint"


def test_the_seed_that_was_drawn_is_reported(run):
    _, out, _ = run("generate", CONTEXT, "--method", "sample", "--max-tokens", "12")
    _, again, _ = run("generate", CONTEXT, "--method", "sample", "--max-tokens", "12", "--seed", rows_of(out)[0]["seed"])
    assert again == out


def test_the_end_symbol_ends_a_text_or_does_not(run, tiny):
    arguments = ("generate", CONTEXT, "--method", "sample", "-n", "60", "--seed", "4", "--max-tokens", "30")
    _, out, _ = run(*arguments)
    assert {(row["finish"], row["end_id"]) for row in rows_of(out)} == {("end", str(tiny.tokenizer.eos_id)), ("length", "")}
    _, out, _ = run(*arguments, "--no-end")
    assert {(row["finish"], row["end_id"], row["tokens"]) for row in rows_of(out)} == {("length", "", "30")}


def test_a_text_to_stop_at(run, tiny):
    first = tiny.generate(CONTEXT, max_tokens=12, end=False)
    stop = next(character for character in first.text[1:] if character.isascii())
    _, out, _ = run("generate", CONTEXT, "--max-tokens", "12", "--no-end", "--stop", stop, "--stop", "never this")
    (row,) = rows_of(out)
    check_rows([row], [tiny.generate(CONTEXT, max_tokens=12, end=False, stop=[stop, "never this"])])
    assert (row["finish"], row["text"].count(stop)) == ("stop", 1)


def test_as_json(run, tiny):
    code, out, _ = run("generate", CONTEXT, "--max-tokens", "5", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(tiny.generate(CONTEXT, max_tokens=5, top=3).to_dict()))
    _, out, _ = run(
        "generate", CONTEXT, "--max-tokens", "5", "--json", "--top", "0", "--method", "sample", "-n", "2", "--seed", "1"
    )
    made = tiny.generate(CONTEXT, max_tokens=5, method="sample", n=2, seed=1)
    assert json.loads(out) == json.loads(json.dumps([s.to_dict() for s in made]))
    _, out, _ = run("generate", CONTEXT, "--max-tokens", "2", "--method", "best", "--json")
    assert json.loads(out)["certificate"]["certain"] is True
    assert "steps" not in json.loads(out)


def test_steps_as_they_happen(run, tiny):
    code, out, _ = run("generate", CONTEXT, "--max-tokens", "6", "--no-end", "--explain", "--top", "2")
    s = tiny.generate(CONTEXT, max_tokens=6, end=False, top=2, on_token=(steps := []).append)
    *lines, last = out.splitlines()
    assert (code, lines) == (0, [str(step) for step in steps])
    running = 0.0
    for i, line in enumerate(lines):
        running += s.logprobs[i]
        number, context = line.split()[:2]
        assert (int(number), int(context)) == (i, s.contexts[i])
        assert repr(tiny.tokenizer.token(int(s.ids[i]))) in line
        shown = [float(line.split(name)[1].split()[0]) for name in (" log ", " so far ")]
        assert shown == pytest.approx([s.logprobs[i], running], abs=2e-5)
        assert line.endswith("of " + "  ".join(f"{token!r} {math.exp(logprob):.3g}" for token, logprob in s.top(i)))
    assert last == f"{s.text!r}: log Pr = {s.logprob:.6f} nats, 6 tokens, {s.describe()}"


def test_steps_of_several_texts_name_the_text(run):
    _, out, _ = run(
        "generate", CONTEXT, "--max-tokens", "3", "--no-end", "--explain", "--method", "sample", "-n", "2", "--seed", "1"
    )
    assert [line.split("  ")[0] for line in out.splitlines()[:6]] == ["text 1", "text 2"] * 3
    assert out.count("log Pr = ") == 2
    assert out.count("seed 1") == 2


def test_steps_as_json(run, tiny):
    arguments = ("generate", CONTEXT, "--max-tokens", "4", "--no-end", "--explain", "--json")
    _, out, _ = run(*arguments)
    said, s = json.loads(out), tiny.generate(CONTEXT, max_tokens=4, end=False, top=3, on_token=(steps := []).append)
    assert said["steps"] == json.loads(json.dumps([step.to_dict() for step in steps]))
    assert [step["id"] for step in said["steps"]] == s.ids.tolist()
    assert [len(step["alternatives"]) for step in said["steps"]] == [3] * 4
    _, out, _ = run(*arguments, "--method", "sample", "-n", "3", "--seed", "1")
    assert [[step["sample"] for step in text["steps"]] for text in json.loads(out)] == [[i] * 4 for i in range(3)]
    assert [[step["id"] for step in text["steps"]] for text in json.loads(out)] == [
        [factor["id"] for factor in text["factors"]] for text in json.loads(out)
    ]


def test_among(run, tiny):
    texts = [" fox", " dog", " lazy cat", " fox"]
    among = [part for text in texts for part in ("--among", text)]
    code, out, _ = run("generate", "The quick", *among)
    assert code == 0
    check_rows(rows_of(out), [tiny.generate("The quick", among=texts)])
    assert rows_of(out)[0]["finish"] == "among"
    _, out, _ = run("generate", "The quick", *among, "--method", "sample", "-n", "9", "--seed", "2", "--temperature", "20")
    made = tiny.generate("The quick", among=texts, method="sample", n=9, seed=2, temperature=20.0)
    check_rows(rows_of(out), made)
    assert len({row["text"] for row in rows_of(out)}) > 1


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_to_a_file(run, tiny, tmp_path, kind):
    path = tmp_path / f"grown.{kind}"
    arguments = ("--method", "sample", "-n", "4", "--seed", "1", "--max-tokens", "5")
    code, out, _ = run("generate", CONTEXT, *arguments, "-o", str(path))
    assert (code, out, [p.name for p in tmp_path.iterdir()]) == (0, "", [path.name])
    read = {
        "csv": lambda: rows_of(path.read_text(encoding="utf-8")),
        "jsonl": lambda: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()],
        "parquet": lambda: pyarrow.parquet.read_table(path).to_pylist(),
    }
    rows, made = read[kind](), tiny.generate(CONTEXT, method="sample", n=4, seed=1, max_tokens=5)
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [(row["text"], float(row["logprob"]), int(row["tokens"])) for row in rows] == [
        (s.text, s.logprob, len(s)) for s in made
    ]


def test_on_a_terminal(run, tiny, monkeypatch: pytest.MonkeyPatch, capsys):
    from chainrule.cli.generation import run_generation
    from chainrule.cli.options import StepOptions

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    options = {"method": "best", "max_tokens": 2, "n": None}
    run_generation(lambda: tiny, lambda lm, **kwargs: lm.generate(CONTEXT, **kwargs), options, StepOptions())
    out = capsys.readouterr().out
    assert "none is more probable" in out
    assert "log Pr" in out


BAD = [
    (("--method", "nucleus"), "method='nucleus' is not a method: choose"),
    (("--temperature", "0.5"), "is for method='sample'"),
    (("--method", "sample", "--temperature", "0"), "temperature must be a number above 0"),
    (("--method", "sample", "--top-p", "2"), "top_p must be"),
    (("--method", "sample", "--top-k", "0"), "top_k must be a whole number, 1 or more"),
    (("--seed", "1"), "seed=1 is for method='sample'"),
    (("--num-beams", "3"), "is for method='beam' or 'best'"),
    (("--budget", "3"), "is for method='best'"),
    (("--max-tokens", "0"), "max_tokens must be a whole number, 1 or more"),
    (("--max-tokens", "64"), "does not fit: after this context"),
    (("-n", "2"), "method='greedy' gives one text, not 2"),
    (("--stop", ""), "stop must be one or more texts, none empty"),
    (("--top", "999999", "--json"), "top must be a whole number from 0 to"),
    (("--top", "3"), "--top shows alternatives with --explain or --json"),
    (("--json", "-o", "x.csv"), "give --json or --output, not both"),
    (("--among", "a", "--max-tokens", "3"), "max_tokens= has no effect on a choice among texts"),
    (("--among", "a", "--stop", "b"), "stop= has no effect"),
    (("--among", ""), "empty"),
    (("--start", "999999"), "out of range"),
    (("-o", "grown.xlsx"), "cannot infer the format of 'grown.xlsx'"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=str)
def test_bad_input_is_one_line(run, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = run("generate", CONTEXT, *arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_bad_options_are_seen_before_a_model_is_read(command):
    code, _, error = command("generate", "a", "--method", "nucleus", "--model", "/no/such/model")
    assert (code, "nucleus" in error) == (2, True)


def test_a_failure_leaves_no_file(run, tmp_path):
    code, _, _ = run("generate", CONTEXT, "--max-tokens", "64", "-o", str(tmp_path / "grown.csv"))
    assert (code, list(tmp_path.iterdir())) == (2, [])


def test_ranked_within_the_set(run, tiny, tmp_path):
    texts = [" fox", " dog", " lazy cat"]
    ranked = tiny.rank("The quick", texts)
    _, out, _ = run("rank", "The quick", *texts)
    assert [float(row["within_set"]) for row in rows_of(out)] == [r.within_set for r in ranked]
    assert sum(math.exp(float(row["within_set"])) for row in rows_of(out)) == pytest.approx(1, abs=1e-12)
    _, out, _ = run("rank", "The quick", *texts, "--json")
    assert [c["within_set"] for c in json.loads(out)["candidates"]] == [r.within_set for r in ranked]
    assert run("rank", "The quick", *texts, "-o", str(tmp_path / "r.parquet"))[0] == 0
    assert pyarrow.parquet.read_table(tmp_path / "r.parquet")["within_set"].to_pylist() == [r.within_set for r in ranked]


def test_blanks_on_the_command_line(command, tmp_path: Path):
    """An any-order model in a folder, as `load` takes it."""
    from model_zoo import untouched_any_order
    from text_zoo import byte_level

    tokenizer = byte_level()
    untouched_any_order("llama", 16, vocab_size=tokenizer.size).save_pretrained(tmp_path / "model")
    tokenizer.hf.save_pretrained(tmp_path / "model")
    lm = chainrule.load(tmp_path / "model")
    model = ("--model", str(tmp_path / "model"))
    code, out, err = command("infill", "The____ sat", "--lengths", "2", "--order", "1,0", "--json", *model)
    assert (code, err) == (0, "")
    found, wanted = json.loads(out), lm.infill("The____ sat", [2], order=(1, 0), top=3)
    assert (found["text"], found["logprob"], found["kind"]) == (wanted.text, wanted.logprob, "conditional")
    assert wanted.ordering.order.tolist() == [2, 1]
    code, out, _ = command("infill", "The____ sat", "--explain", *model)
    assert code == 0
    assert out.splitlines()[0].split()[:2] == ["0", str(1 + len(lm.tokenizer.encode("The")) + len(lm.tokenizer.encode(" sat")))]
    code, out, _ = command("generate", "The", "--order", "right-to-left", "--max-tokens", "3", *model)
    assert (code, rows_of(out)[0]["text"]) == (0, lm.generate("The", order="right-to-left", max_tokens=3).text)
    for bad, says in ((("--lengths", "x"), "--lengths takes whole numbers"), (("--lengths", "1,2"), "there are 1 blanks")):
        code, out, err = command("infill", "The____ sat", *bad, *model)
        assert (code, out) == (2, "")
        assert says in err


def test_a_model_that_predicts_in_any_order(command, tmp_path):
    tokenizer = byte_level()
    untouched_any_order("llama", 12, vocab_size=tokenizer.size, bos_token_id=tokenizer.bos_id).save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    _, out, _ = command("generate", CONTEXT, "--max-tokens", "4", "--model", str(tmp_path))
    check_rows(rows_of(out), [chainrule.load(tmp_path).generate(CONTEXT, max_tokens=4)])
    code, out, error = command("generate", CONTEXT, "--model", str(tmp_path))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "pass max_tokens=" in error
