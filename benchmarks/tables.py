"""Tables in, tables out: the time and memory of 10^4 and 10^5 rows on a table model, so that nearly all work is our own code.

python benchmarks/tables.py                 # every input and output, each in a process of its own
python benchmarks/tables.py 10000           # another number of rows than 10^4 and 10^5

The input has five columns and a text of about six words; for "row", a word, and five rows are a text. Printed: processor
seconds, and the highest memory above that before reading, in MiB. The rows of the output are compared with those of the input.
Numbers of rows are multiples of 1,000.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet

from chainrule import LanguageModel, TableModel
from chainrule.cli.inputs import Source
from chainrule.cli.scoring import score_stream
from chainrule.cli.sink import Sink
from chainrule.cli.word_input import WordRowsSource
from chainrule.cli.words import words_stream
from chainrule.files.columns import Columns
from chainrule.files.row_text import csv_text, json_lines

LETTERS = "abcdefgh "
FORMS = [("csv", "csv", None), ("csv", "parquet", None), ("jsonl", "jsonl", None), ("jsonl", "parquet", None),
         ("parquet", "parquet", None), ("csv", "csv", "token"), ("csv", "csv", "word"), ("csv", "csv", "row")]  # fmt: skip
NAMES = ["item", "condition", "rt", "note", "sentence"]


def main() -> None:
    """Run each combination for each number of rows."""
    if len(sys.argv) == 6:
        print(json.dumps(measure(Path(sys.argv[1]), *sys.argv[2:])))
        return
    counts = [int(count) for count in sys.argv[1:]] or [10_000, 100_000]
    print("input    output   per       rows       seconds  MiB")
    for source, target, per in FORMS:
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                arguments = [sys.executable, __file__, folder, source, target, per or "sequence", str(count)]
                result = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
            seconds, size = result["seconds"], result["mib"]
            print(f"{source:8} {target:8} {per or 'sequence':9} {count:<9,}  {seconds:7.1f}  {size:5.0f}", flush=True)


def measure(folder: Path, source: str, target: str, per: str, count: str) -> dict[str, float]:
    """Score one file in this process. Raises AssertionError if a row is missing, changed or out of order."""
    lm = model()
    given, output = folder / f"in.{source}", folder / f"out.{target}"
    write(given, source, int(count), words=per == "row")
    list(lm.score_batch(["ab"]))
    before, begin = _peak(), time.process_time()
    columns = Columns(text="sentence", id="item" if per in ("token", "word") else None)
    with Sink(str(output)) as sink:
        if per in ("word", "row"):
            words = (
                WordRowsSource([], [str(given)], columns, by=["item"]) if per == "row" else Source([], [str(given)], columns)
            )
            words_stream(lambda: lm, words, sink, "whitespace", {"previous": 1})
        else:
            score_stream(lambda: lm, Source([], [str(given)], columns), sink, per, {"top": 0})
    seconds, mib = time.process_time() - begin, _peak() - before
    if per in ("sequence", "row"):
        check(given, output, source, target)
    return {"seconds": seconds, "mib": mib}


def model() -> LanguageModel:
    """A bigram table over nine letters."""
    draw = random.Random(1)
    rows = {context: [draw.random() for _ in LETTERS] for context in ("", *LETTERS)}
    return LanguageModel(TableModel(list(LETTERS), rows, probabilities=False, back_off=True))


def write(path: Path, form: str, count: int, words: bool = False) -> None:
    """A file with this many rows. words: each row has a word, and five rows have the same item."""
    draw = random.Random(2)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = None
        for first in range(0, count, 1000):
            rows = pyarrow.table({
                "item": [row // 5 if words else row for row in range(first, first + 1000)],
                "condition": [draw.choice(["low", "high"]) for _ in range(1000)],
                "rt": [f"{draw.random() * 900:.1f}".replace(".", ",") for _ in range(1000)],
                "note": [None if draw.random() < 0.5 else 'a, "b"' for _ in range(1000)],
                "sentence": ["".join(draw.choices(LETTERS[:-1] if words else LETTERS, k=5 if words else 30)).strip() or "a"
                             for _ in range(1000)],
            })  # fmt: skip
            if form == "parquet":
                writer = writer or pyarrow.parquet.ParquetWriter(path, rows.schema)
                writer.write_table(rows)
            else:
                stream.writelines(csv_text(rows, not first) if form == "csv" else json_lines(rows))
        if writer:
            writer.close()


def check(given: Path, output: Path, source: str, target: str) -> None:
    """Raises AssertionError unless the output has the columns of the input, in order, and `index`."""
    mine, theirs = _columns(given, source), _columns(output, target)
    assert list(theirs)[: len(NAMES)] == NAMES
    for name in NAMES:
        values = [str(value or "") for value in theirs[name]], [str(value or "") for value in mine[name]]
        assert values[0] == values[1], name
    assert list(map(int, theirs["index"])) == list(range(len(mine["item"])))


def _columns(path: Path, form: str) -> dict[str, list[object]]:
    import csv

    if form == "parquet":
        return pyarrow.parquet.read_table(path).to_pydict()
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream)) if form == "csv" else list(map(json.loads, stream))
    return {name: [row[name] for row in rows] for name in rows[0]}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
