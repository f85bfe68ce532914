"""Damaged files of every format: each must be read, or refused with an error of one line.

    .venv/bin/python benchmarks/damaged_files.py --tries 300

Bytes are changed, cut off, inserted, removed and repeated, with fixed seeds. An error that is not chainrule's own, or a file
that takes more than 10 seconds, is a failure. Exit code 1: there are failures.
"""

import argparse
import faulthandler
import gzip
import json
import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
from tally import report_outcomes

from chainrule.errors import ChainruleError
from chainrule.files.json_cells import Kinds
from chainrule.files.json_rows import JsonBlock
from chainrule.files.reading import Layout, read_blocks, read_rows
from chainrule.files.row_text import csv_text, json_lines

SECONDS = 10  # the most that a file may take
COLUMNS = ("text", "kind")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=300, help="files of each format")
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    counts = trial(arguments.tries)
    failed = [name for name, count in counts.items() if count["failures"]]
    raise SystemExit(report_outcomes(counts, failed, arguments.output))


def trial(tries: int) -> dict[str, dict[str, int]]:
    """For every format the number of damaged files, and of failures."""
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, whole in samples().items():
            path = Path(folder) / f"damaged{name}"
            failures = 0
            for seed in range(tries):
                path.write_bytes(damaged(whole, random.Random(f"{name} {seed}")))
                if (problem := read(path)) is not None:
                    failures += 1
                    print(f"{name}, seed {seed}: {problem}", flush=True)
            counts[name] = {"tries": tries, "failures": failures}
    return counts


def samples() -> dict[str, bytes]:
    """An undamaged file of each format, with several pages, batches or lines."""
    rows = [{"text": f'text {i}: é, "quoted"\r\n🎉', "kind": ("a", "b", None)[i % 3], "number": i / 7} for i in range(300)]
    table = pyarrow.Table.from_pylist(rows)
    coded = table.set_column(1, "kind", table["kind"].dictionary_encode())
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    cells = "".join(f'"{row["text"].replace(chr(34), chr(34) * 2)}",{row["kind"] or ""},{row["number"]}\n' for row in rows)
    return {
        ".parquet": _written(lambda s: pyarrow.parquet.write_table(coded, s, row_group_size=100, data_page_size=512)),
        ".checked.parquet": _written(lambda s: pyarrow.parquet.write_table(table, s, write_page_checksum=True)),
        ".feather": _written(lambda s: pyarrow.feather.write_feather(coded, s, chunksize=100)),
        ".plain.feather": _written(lambda s: pyarrow.feather.write_feather(coded, s, compression="uncompressed")),
        ".arrow": _written(lambda s: _stream(coded, s)),
        ".csv": ("text,kind,number\n" + cells).encode(),
        ".tsv": b"text\tkind\n" + b"".join(b"text %d\ta\n" % i for i in range(300)),
        ".jsonl": lines,
        ".json": json.dumps(rows).encode(),
        ".jsonl.gz": gzip.compress(lines[:2000]) + gzip.compress(lines[2000:]),
        ".jsonl.zst": _written(lambda s: _zstd(lines, s)),
    }


def _written(write: Callable[[pyarrow.BufferOutputStream], None]) -> bytes:
    stream = pyarrow.BufferOutputStream()
    write(stream)
    return stream.getvalue().to_pybytes()


def _stream(table: pyarrow.Table, sink: pyarrow.BufferOutputStream) -> None:
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


def _zstd(raw: bytes, sink: pyarrow.BufferOutputStream) -> None:
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(raw)


def damaged(whole: bytes, draw: random.Random) -> bytes:
    """The bytes with one to four damages; half of these near the end, where Parquet and Feather store their metadata."""
    raw = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        size = max(1, len(raw))
        at = draw.randrange(size) if draw.random() < 0.5 else max(0, size - 1 - draw.randrange(min(size, 600)))
        some = draw.randint(1, 20)
        match draw.choice(("change", "flip", "cut", "insert", "remove", "repeat")):
            case "change":
                raw[at : at + some] = draw.randbytes(some)
            case "flip" if at < len(raw):
                raw[at] ^= 1 << draw.randrange(8)
            case "cut":
                del raw[at:]
            case "insert":
                raw[at:at] = draw.randbytes(some)
            case "remove":
                del raw[at : at + some]
            case "repeat":
                raw[at:at] = raw[at : at + 10 * some]
    return bytes(raw)


def write_again(path: Path) -> None:
    """Read all columns and write those of the good rows in every form."""
    kinds, tables = Kinds(), []
    for block in read_blocks(str(path), Layout()):
        numbers = [number for number, row in enumerate(block.rows(COLUMNS[:1], whole=True)) if not row.problem and row.cells]
        if isinstance(block, JsonBlock):
            for number in numbers:
                kinds.add(block.objects[number])
        tables.append((block, numbers))
    for block, numbers in tables:
        table = block.table(numbers)
        for part in (*csv_text(table, True), *json_lines(table)):
            part.encode()
        typed = block.table(numbers, kinds) if isinstance(block, JsonBlock) else table
        pyarrow.parquet.write_table(typed, pyarrow.BufferOutputStream())


def read(path: Path) -> str | None:
    """The failure; None if the file was read or refused."""
    problem: list[str] = []

    def attempt() -> None:
        try:
            for row in read_rows(str(path), COLUMNS, Layout()):
                assert row.problem or all(cell is None or isinstance(cell, str) for cell in row.cells)
            write_again(path)
        except ChainruleError as error:
            if "\n" in str(error) or len(str(error)) > 600:
                problem.append(f"not one clear line: {str(error)[:200]!r}")
        except BaseException as error:
            problem.append(f"{type(error).__name__}: {str(error)[:200]}")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return f"not finished after {SECONDS} s" if thread.is_alive() else problem[0] if problem else None


if __name__ == "__main__":
    faulthandler.enable()
    main()
