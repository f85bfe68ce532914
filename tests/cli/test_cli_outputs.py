"""Output of the commands: rows before an error are kept, other files stay as they are, and streams may be closed or full."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from chainrule import LanguageModel, OutputError
from chainrule.cli import sections, signals
from chainrule.files import writing


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "ROWS", 3)
    Path("a.txt").write_text("".join(f"text {i}\n" for i in range(5)) + "\nafter\n")
    return lambda *arguments, **stdin: command(*arguments, "--model", str(tiny_folder), **stdin)


def texts_in(path: str) -> list[str]:
    if path.endswith(".parquet"):
        return pyarrow.parquet.read_table(path)["text"].to_pylist()
    if path.endswith(".csv"):
        return [row["text"] for row in csv.DictReader(io.StringIO(Path(path).read_text()))]
    return [json.loads(line)["text"] for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_before_a_bad_row_are_kept(run, kind):
    Path(f"o.{kind}").write_text("before")
    code, out, err = run("score", "--file", "a.txt", "-o", f"o.{kind}")
    assert (code, out) == (2, "")
    assert err == (
        "chainrule: line 6 of a.txt is empty, so there is no token to score; --skip-empty skips such rows. "
        f"5 rows are kept in o.incomplete.{kind}: continue with --from 5 (and --skip-bad to skip such rows)\n"
    )
    assert Path(f"o.{kind}").read_text() == "before"
    assert texts_in(f"o.incomplete.{kind}") == [f"text {i}" for i in range(5)]
    run("score", "--file", "a.txt", "-o", f"o.{kind}", "--from", "5", "--skip-empty")
    assert texts_in(f"o.{kind}") == ["after"]
    assert len(os.listdir()) == 3
    run("score", "--file", "a.txt", "-o", f"o.{kind}")
    assert len(os.listdir()) == 4  # the earlier incomplete file is still there


@pytest.mark.parametrize(("rows", "kept"), [(4, "3 rows are kept in o.incomplete.csv: continue with --from 3"), (2, None)])
def test_an_interrupt(run, monkeypatch, rows, kept):
    """Ctrl-C in the second shard, or in the first."""
    score_batch, scored = LanguageModel.score_batch, []

    def interrupted(self: LanguageModel, texts: list[str], **options: object):
        scored.extend(texts)
        if len(scored) > rows:
            raise KeyboardInterrupt
        return score_batch(self, texts, **options)

    monkeypatch.setattr(LanguageModel, "score_batch", interrupted)
    code, _, err = run("score", "--file", "a.txt", "-o", "o.csv")
    assert code == 130
    assert err == "chainrule: interrupted" + (f". {kept}" if kept else "") + "\n"
    assert sorted(os.listdir()) == (["a.txt", "o.incomplete.csv"] if kept else ["a.txt"])


@pytest.mark.parametrize("other", ["a.csv", "link.csv", "hard.csv"])
def test_input_files_are_not_overwritten(run, other):
    Path("a.csv").write_text("text\na\n")
    Path("link.csv").symlink_to("a.csv")
    os.link("a.csv", "hard.csv")
    for arguments in (("score",), ("pseudo",), ("rank", "hi")):
        code, _, err = run(*arguments, "--file", "a.csv", "-o", other)
        assert (code, err) == (2, f"chainrule: {other} is an input file, and would be overwritten: name another file\n")
    assert Path("a.csv").read_text() == "text\na\n"
    Path("a.code").write_bytes(b"chainrule code 1\n")
    code, _, err = run("verify", "--code", "a.csv", "-o", other)
    assert (code, "is an input file" in err) == (2, True)


def test_a_code_is_not_overwritten_by_its_text(run):
    run("verify", "--code", "a.txt")
    code, _, err = run("verify", "--decode", "a.txt.code", "-o", "a.txt.code")
    assert (code, err) == (2, "chainrule: a.txt.code is an input file, and would be overwritten: name another file\n")
    assert run("verify", "--decode", "a.txt.code", "-o", "b.txt")[0] == 0
    assert Path("b.txt").read_bytes() == Path("a.txt").read_bytes()


def test_columns_have_one_type_for_all_values(run):
    run("rank", "hi", "a", "b", "-o", "r.parquet")
    run("generate", "hi", "--max-tokens", "2", "-o", "g.parquet")
    run("score", "hi", "-o", "s.parquet")
    for name in ("r", "g", "s"):
        schema = pyarrow.parquet.read_schema(f"{name}.parquet")
        assert str(schema.field("index").type) == "int64"
        assert "null" not in map(str, schema.types), name
        assert str(schema.field("end_id").type) == "int64"


def test_two_writers_of_one_file(tmp_path):
    """Each has its own temporary file, and the last to finish wins. A file NAME.part is not touched."""
    mine, table = tmp_path / "o.csv.part", pyarrow.table({"a": [1]})
    mine.write_text("mine")
    with writing.Writer(tmp_path / "o.csv") as first, writing.Writer(tmp_path / "o.csv") as second:
        for writer, value in ((first, 1), (second, 2)):
            writer.write(pyarrow.table({"a": [value]}))
            writer.write(table)
    assert (tmp_path / "o.csv").read_text() == "a\n1\n1\n"
    assert sorted(os.listdir(tmp_path)) == ["o.csv", "o.csv.part"]
    assert mine.read_text() == "mine"
    os.chmod(tmp_path / "o.csv", 0o640)
    with writing.Writer(tmp_path / "o.csv") as writer:
        writer.write(table)
    assert (tmp_path / "o.csv").stat().st_mode & 0o777 == 0o640


def test_a_shard_that_cannot_be_written_completely_is_removed(tmp_path, monkeypatch):
    """The disk is full in the middle of a shard."""
    table = pyarrow.table({"a": list(range(100))})

    def write() -> None:
        with writing.Writer(tmp_path / "o.csv") as writer:
            writer.write(table)
            monkeypatch.setattr(writer._file, "_parts", lambda rows, first: iter(["5\n", FULL]))
            try:
                writer.write(table)
            finally:
                writer.keep()

    with pytest.raises(OutputError, match="No space left"):
        write()
    assert (tmp_path / "o.incomplete.csv").read_text() == "a\n" + "".join(f"{i}\n" for i in range(100))
    assert os.listdir(tmp_path) == ["o.incomplete.csv"]


class _Full(str):
    def encode(self, *_: str) -> bytes:
        raise OSError(28, "No space left on device")


FULL = _Full("6\n")


# Separate processes


@pytest.fixture
def start(tiny_folder: Path, tmp_path: Path):
    """Start a command in a separate process, through a shell that redirects its streams."""

    def begin(line: str, stdout: int = subprocess.PIPE, **environment: str):
        command = f"exec {sys.executable} -m chainrule.cli.main {line}".replace("MODEL", f"--model {tiny_folder}")
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        streams = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": subprocess.PIPE}
        return subprocess.Popen(["sh", "-c", command], cwd=tmp_path, env=plain | environment, **streams)

    return begin


@pytest.mark.parametrize(
    ("line", "code", "out", "message"),
    [
        ("score hi MODEL >&-", 2, "", "standard output is closed: open it, or write a file with --output"),
        ("score MODEL <&-", 2, "", "standard input is closed: pass texts, or --file"),
        ("score hi MODEL >/dev/full", 2, "", "cannot write to standard output: No space left on device"),
        ("models --json >/dev/full", 2, "", "cannot write to standard output: No space left on device"),
    ],
)
def test_streams_that_are_closed_or_full(start, line, code, out, message):
    process = start(line)
    written, err = process.communicate()
    assert (process.returncode, written.decode(), err.decode()) == (code, out, f"chainrule: {message}\n")


def test_standard_error_closed_and_another_encoding(start, tmp_path):
    process = start("score 'naïve 🎉' a '' --skip-bad MODEL 2>&-", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    out, _ = process.communicate()
    assert process.returncode == 0
    assert [row["text"] for row in csv.DictReader(io.StringIO(out.decode("utf-8")))] == ["naïve 🎉", "a"]


def test_two_processes_that_write_one_file_at_once(start, tmp_path):
    """Each writes under a name of its own; the file is one of the two results, whole, and nothing else is left."""
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {i}\n" for i in range(300)))
    both = [start(f"score --file {name}.txt -o o.csv MODEL") for name in "ab"]
    temporary: set[str] = set()
    while any(process.poll() is None for process in both):
        temporary |= {path.name for path in tmp_path.glob(".o.csv*")}
        time.sleep(0.02)
    assert [(process.returncode, process.stderr.read()) for process in both] == [(0, b""), (0, b"")]
    assert len(temporary) == 2
    texts = [row["text"] for row in csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text()))]
    assert texts == [f"{texts[0][0]} {i}" for i in range(300)]
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt", "o.csv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_rows_before_a_signal_are_kept(start, tmp_path, number):
    (tmp_path / "many.txt").write_text("".join(f"this is text number {i}\n" for i in range(500_000)))
    process = start("score --file many.txt -o o.parquet MODEL")
    while process.poll() is None and not any(p.stat().st_size > 1_000 for p in tmp_path.glob(".o.parquet*")):
        time.sleep(0.1)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1].decode()
    assert "o.incomplete.parquet" in err
    table = pyarrow.parquet.read_table(tmp_path / "o.incomplete.parquet")
    assert process.returncode == 128 + number
    assert (
        err
        == f"chainrule: interrupted. {len(table)} rows are kept in o.incomplete.parquet: continue with --from {len(table)}\n"
    )
    assert table["index"].to_pylist() == list(range(len(table)))


class Discarding:
    """Raises a signal in `__del__`, where Python discards exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_discarded_interrupt_ends_the_command_at_the_next_rows(capsys):
    """Python prints an exception raised in __del__ and continues; libraries have such methods."""
    with signals.interruptible():
        Discarding()
        with pytest.raises(signals.Interrupted) as raised:
            signals.check()
    assert raised.value.number == signal.SIGTERM
    assert capsys.readouterr().err == ""
    with signals.interruptible():
        signals.check()  # no signal since


def test_a_terminal_that_cannot_show_a_character(start):
    """The terminal has 60 columns; numbers keep all their digits."""
    main, side = pty.openpty()
    environment = {"PYTHONIOENCODING": "ascii", "COLUMNS": "60", "TERM": "xterm", "NO_COLOR": "1"}
    process = start("explain 'naïve cafés are here' MODEL", stdout=side, **environment)
    os.close(side)
    out = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        out += chunk
    assert (process.wait(), process.stderr.read()) == (0, b"")
    numbers = [word for word in re.sub(r"\x1b\[[0-9;]*m", "", out.decode("ascii")).split() if word.startswith("-")]
    assert numbers
    assert all(len(number.partition(".")[2]) == 6 for number in numbers)
