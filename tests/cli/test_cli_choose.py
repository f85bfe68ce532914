"""chainrule choose: tables in, tables out, and errors."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from chainrule import LanguageModel
from chainrule.cli import sections, stream
from chainrule.display.choices import accuracy_lines, calibration_lines

ROWS: list[dict[str, Any]] = [
    {"id": "a", "question": "The dog", "choices": ["barks", "sits", "is"], "answer": 0, "x": 1.50},
    {"id": "b", "question": "A cat", "choices": ["sits", "barks"], "answer": 1, "x": 2},
    {"id": "c", "question": "Hello", "choices": ["there", "world", "you"], "answer": None, "x": 3},
    {"id": "d", "question": "The fox", "choices": ["jumps", "is"], "answer": 1, "x": 4},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
READ = "chainrule: answers are read as numbers of the choices, from 0\n"


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("q.jsonl").write_text(LINES, encoding="utf-8")

    def call(*arguments: str, stdin: Any = None) -> tuple[int, str, str]:
        return command("choose", *arguments, "--model", str(tiny_folder), stdin=stdin)

    return call


def rows_of(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


def test_the_columns_of_the_user_come_first(run, tiny: LanguageModel):
    want = tiny.choices(ROWS)
    code, out, err = run("q.jsonl")
    assert code == 0, err
    rows = rows_of(out)
    assert list(rows[0])[:8] == ["id", "question", "choices", "answer", "x", "index", "prompt", "answer_index"]
    assert [row["answer"] for row in rows] == ["0", "1", "", "1"]
    assert (rows[0]["x"], json.loads(rows[0]["choices"])) == ("1.5", ROWS[0]["choices"])
    assert [int(row["predicted_per_byte"]) for row in rows] == want.predicted("per_byte").tolist()
    assert [json.loads(row["choice_logprobs"]) for row in rows] == want.lists(want.logprob.tolist())
    lines = [*accuracy_lines(want.tally), *calibration_lines(want.tally, 10, "width")]
    assert err == READ + "".join(f"chainrule: {line}\n" for line in lines)
    assert "1 question without an answer: not counted" in lines


def test_rows_of_choices(run, tiny: LanguageModel):
    want = tiny.choices(ROWS, premise="Answer:")
    code, out, _ = run("q.jsonl", "--per", "choice", "--id", "id", "--premise", "Answer:", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["id"] for row in rows] == ["a"] * 3 + ["b"] * 2 + ["c"] * 3 + ["d"] * 2
    assert [row["index"] for row in rows] == want.question_index.tolist()
    assert [row["pmi_nats"] for row in rows] == want.pmi_nats.tolist()
    assert run("q.jsonl", "--per", "choice", "-o", "out.parquet")[0] == 0
    table = pyarrow.parquet.read_table("out.parquet")
    assert table.column_names[:7] == ["id", "question", "choices", "answer", "x", "index", "choice_index"]
    assert table["logprob"].to_pylist() == want.logprob.tolist()
    assert table["choices"].to_pylist()[3] == ROWS[1]["choices"]


@pytest.mark.parametrize("per", ["accuracy", "calibration"])
def test_the_sums_as_tables(run, tiny: LanguageModel, per: str):
    want = tiny.choices(ROWS).to_dicts(per)
    code, out, err = run("q.jsonl", "--per", per, "--json")
    assert (code, err) == (0, READ)
    own = [json.loads(line) for line in out.splitlines()]
    assert len(own) == len(want)
    for row, of_want in zip(own, want, strict=True):
        assert {name: row[name] for name in row if name != "revision"} == {n: of_want[n] for n in row if n != "revision"}
    assert list(rows_of(run("q.jsonl", "--per", per)[1])[0]) == list(want[0])
    bins = run("q.jsonl", "--per", "calibration", "--bins", "2", "--bins-by", "count")[1]
    assert [row["binning"] for row in rows_of(bins)] == ["2 bins of equal count"] * 2


def test_shots(run, tiny: LanguageModel):
    want = tiny.choices(ROWS, shots=2, template="Q: {question}\nA:", sep="", between_shots="\n")
    options = ["--shots", "2", "--template", r"Q: {question}\nA:", "--sep", "", "--between-shots", r"\n"]
    code, out, err = run("q.jsonl", *options)
    assert code == 0
    assert err.startswith(READ + "chainrule: note: the first 2 rows are shots, and not asked\nchainrule: log Pr: ")
    rows = rows_of(out)
    assert [(row["id"], row["index"], row["prompt"]) for row in rows] == [
        ("c", "2", "Q: Hello\nA:"), ("d", "3", "Q: The fox\nA:")
    ]  # fmt: skip
    assert [json.loads(row["choice_logprobs"]) for row in rows] == want.lists(want.logprob.tolist())
    Path("shots.csv").write_text('question,choices,answer\nThe dog,"[""barks"",""sits"",""is""]",0\n', encoding="utf-8")
    Path("test.jsonl").write_text('{"question": "Hello", "choices": ["there", "world"]}\n', encoding="utf-8")
    code, out, err = run("test.jsonl", "--shots-from", "shots.csv", "--per", "choice")
    assert code == 0, err
    own = tiny.choices([{"question": "Hello", "choices": ["there", "world"]}], shots_from=ROWS[:1])
    assert [float(row["logprob"]) for row in rows_of(out)] == own.logprob.tolist()
    assert err == READ + "chainrule: No question has an answer, so there is no accuracy.\n"
    before = Path("shots.csv").read_bytes()
    code, _, err = run("test.jsonl", "--shots-from", "shots.csv", "-o", "shots.csv")
    assert (code, Path("shots.csv").read_bytes()) == (2, before)
    assert "is an input file" in err


def test_sums_are_of_all_sections(run, tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    for module in (sections, stream):
        monkeypatch.setattr(module, "SHARD", 1)
    monkeypatch.setattr(sections, "CHARACTERS", 1)
    want = tiny.choices(ROWS)
    code, out, err = run("q.jsonl", "--plot", "x.json")
    assert code == 0
    assert [json.loads(row["choice_logprobs"]) for row in rows_of(out)] == want.lists(want.logprob.tolist())
    assert want.accuracy()[0].describe() in err
    assert want.calibration().describe() in err
    assert "chainrule: note: x.json shows 3 of 4 questions: those with an answer\n" in err
    spec = json.loads(Path("x.json").read_text(encoding="utf-8"))
    shown = spec["vconcat"][0]["data"]["values"]
    assert sum(row.get("n", 0) for row in shown) == 3


def test_columns_of_csv(run, tiny: LanguageModel):
    text = "ctx;w;x;key\nThe dog;barks;sits;x\nA cat;sits;barks;w\n"
    code, out, err = run("--format", "csv", "--question", "ctx", "--choices", "w,x", "--answer", "key", stdin=text)
    assert code == 0, err
    assert [row["answer_index"] for row in rows_of(out)] == ["1", "0"]
    assert err.startswith("chainrule: answers are read as labels of the choices\n")
    letters = "question,A,B,answer\nThe dog,barks,sits,B\n"
    _, out, err = run("--format", "csv", stdin=letters)
    assert [row["answer_index"] for row in rows_of(out)] == ["1"]
    code, out, err = run("--format", "csv", "--among", "no", "--among", "yes", stdin="question,answer\nIs it?,true\n")
    assert [row["answer_index"] for row in rows_of(out)] == ["1"]
    assert err.startswith("chainrule: answers are read as false for the first choice, true for the second\n")


def test_continued_runs_know_all_answers(run):
    text = "question,A,B,answer\nQ,0,1,1\nR,a,b,1\n"  # the second row shows that 1 is a number
    code, out, err = run("--format", "csv", "--from", "1", stdin=text)
    assert code == 0, err
    assert [(row["index"], row["answer_index"]) for row in rows_of(out)] == [("1", "1")]
    code, out, err = run("--format", "csv", "--shots", "1", "--from", "1", stdin=text)
    assert [row["index"] for row in rows_of(out)] == ["1"]
    assert run("--format", "csv", "--from", "2", stdin=text)[2].startswith("chainrule: --from 2 is past the last row")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("question,A,B,answer\nQ,a,b,C\n", [], "row 1 of standard input: the answer 'C' is not among the choices: 'a', 'b'"),
        ("question,A,B,answer\nQ,a,b,A\nR,a,,A\n", [], "row 2 of standard input: choice 1 (from 0) is empty"),
        ("question,A,B,answer\nQ,1,0,1\n", [], "row 1 of standard input: the answer can be a number (choice 1 from 0) or"),
        ("question,A,B\nQ,a,a\n", [], "row 1 of standard input: the choices 0 and 1 (from 0) are the same: 'a'"),
        ("question,A,B\nQ,a,b\n", ["--template", "{topic}"], "standard input: there is no column 'topic'; the columns"),
        ("question,A,B\nQ,a,b\n", ["--template", "{"], "the template has '{' at character 0"),
        ("question,A\nQ,a\n", [], "standard input: there is no column 'choices', nor columns A, B …: name the column"),
        ("question,A,B\nQ,a,b\n", ["--shots", "1"], "--shots 1 needs as many rows and one question at least, but"),
        ("question,A,B\nQ,a,b\nR,a,b\n", ["--shots", "1"], "row 1 of standard input has no answer, so it cannot"),
        ("question,A,B\nQ,a,b\n", ["--per", "accuracy"], "--per accuracy needs answers, but no question has"),
        ("question,A,B\nQ,a,b\n", ["--plot", "x.html"], "--plot needs answers, but no question has one"),
        ("question,A,B\n,a,b\n", [], "row 1 of standard input: the prompt is empty; --skip-empty skips such rows"),
        ("question,A,B\nQ,a,b\n", ["--template", "{A}", "--question", "A"], "--question names the column of the"),
        ("question,A,B\nQ,a,b\n", ["--among", "x", "--choices", "A,B"], "--choices names the choices, and so does --among"),
        ("question,A,B\nQ,a,b\n", ["--answer-as", "text", "--answer-from", "1"], "--answer-from is for answers that are"),
        ("", [], "line 1 of standard input is blank or missing"),
        ("question,A,B\n", [], "there is nothing to score: the input has no text"),
    ],
)  # fmt: skip
def test_errors(run, text: str, options: list[str], message: str):
    code, out, err = run("--format", "csv", *options, stdin=text)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"chainrule: {message}")


def test_bad_rows_are_skipped(run):
    text = "question,A,B,answer\nQ,a,b,C\nR,a,b,B\n,a,b,A\nS,a,a,A\n"
    code, out, err = run("--format", "csv", "--skip-bad", "--skip-empty", stdin=text)
    assert code == 0
    assert [row["question"] for row in rows_of(out)] == ["R"]
    assert "chainrule: 2 rows were skipped (--skip-bad); the first: row 1 of standard input: the answer 'C'" in err
    json_lines = LINES + '{"question": "no choices"}\nnull\n'
    code, out, err = run("--format", "jsonl", "--skip-bad", stdin=json_lines)
    assert (code, len(rows_of(out))) == (0, 4)
    assert "2 rows were skipped" in err
    code, _, err = run("--format", "jsonl", stdin=json_lines)
    assert (code, err.count("\n")) == (2, 1)
    assert run("--format", "text", stdin="a\n")[2] == (
        "chainrule: line 1 of standard input: it is a plain line, but questions are rows of a table: see --format\n"
    )


def test_long_prompts_are_told(run):
    rows = [{"question": "dog " * 100, "choices": ["a", "b"], "answer": 0}, {"question": "Q", "choices": ["a", "b"]}]
    code, _, err = run("--format", "jsonl", stdin="".join(json.dumps(row) + "\n" for row in rows))
    assert code == 0
    assert err.endswith(
        "chainrule: note: 1 question longer than 64 embeddings: the beginnings of the prompts do not count there\n"
    )


def test_parquet(run, tiny: LanguageModel):
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, "q.parquet")
    code, _, err = run("q.parquet", "-o", "out.parquet")
    assert code == 0, err
    own = pyarrow.parquet.read_table("out.parquet")
    assert own.select(table.column_names).cast(table.schema).equals(table)
    assert own["choice_logprobs"].to_pylist() == tiny.choices(table).to_arrow()["choice_logprobs"].to_pylist()
