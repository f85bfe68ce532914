"""Damaged files of every form, as the reader takes them: each is read, or refused in one clear line.

    .venv/bin/python benchmarks/damaged_files.py --tries 300

Bytes are changed, cut off, put in, taken out and repeated, with fixed seeds. A failure is an error other than chainrule's
own, and a file that takes more than 10 seconds. Exit code 1: there are failures.
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
from tally import told

from chainrule.errors import ChainruleError
from chainrule.files.reading import Layout, read_rows

SECONDS = 10  # that a file may take
COLUMNS = ("text", "kind")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=300, help="files of each form")
    parser.add_argument("--output", type=Path, help="write what became of them, as JSON")
    arguments = parser.parse_args()
    found = trial(arguments.tries)
    failed = [form for form, count in found.items() if count["failures"]]
    raise SystemExit(told(found, failed, arguments.output))


def trial(tries: int) -> dict[str, dict[str, int]]:
    """For every form how many damaged files there were, and how many of them failed."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, whole in samples().items():
            path = Path(folder) / f"damaged{name}"
            failures = 0
            for seed in range(tries):
                path.write_bytes(damaged(whole, random.Random(f"{name} {seed}")))
                if (problem := read(path)) is not None:
                    failures += 1
                    print(f"{name}, seed {seed}: {problem}", flush=True)
            found[name] = {"tries": tries, "failures": failures}
    return found


def samples() -> dict[str, bytes]:
    """A whole file of each form, of several pages, batches or lines."""
    rows = [{"text": f'text {i}: é, "quoted"\r\n🎉', "kind": ("a", "b", None)[i % 3], "number": i / 7} for i in range(300)]
    table = pyarrow.Table.from_pylist(rows)
    coded = table.set_column(1, "kind", table["kind"].dictionary_encode())
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    cells = "".join(f'"{row["text"].replace(chr(34), chr(34) * 2)}",{row["kind"] or ""},{row["number"]}\n' for row in rows)
    return {
        ".parquet": _made(lambda s: pyarrow.parquet.write_table(coded, s, row_group_size=100, data_page_size=512)),
        ".checked.parquet": _made(lambda s: pyarrow.parquet.write_table(table, s, write_page_checksum=True)),
        ".feather": _made(lambda s: pyarrow.feather.write_feather(coded, s, chunksize=100)),
        ".plain.feather": _made(lambda s: pyarrow.feather.write_feather(coded, s, compression="uncompressed")),
        ".arrow": _made(lambda s: _stream(coded, s)),
        ".csv": ("text,kind,number\n" + cells).encode(),
        ".tsv": b"text\tkind\n" + b"".join(b"text %d\ta\n" % i for i in range(300)),
        ".jsonl": lines,
        ".json": json.dumps(rows).encode(),
        ".jsonl.gz": gzip.compress(lines[:2000]) + gzip.compress(lines[2000:]),
        ".jsonl.zst": _made(lambda s: _zstd(lines, s)),
    }


def _made(write: Callable[[pyarrow.BufferOutputStream], None]) -> bytes:
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
    """With one to four damages; half of them near the end, where Parquet and Feather keep what they are."""
    raw = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        size = max(1, len(raw))
        at = draw.randrange(size) if draw.random() < 0.5 else max(0, size - 1 - draw.randrange(min(size, 600)))
        some = draw.randint(1, 20)
        match draw.choice(("change", "flip", "cut", "put in", "take out", "repeat")):
            case "change":
                raw[at : at + some] = draw.randbytes(some)
            case "flip" if at < len(raw):
                raw[at] ^= 1 << draw.randrange(8)
            case "cut":
                del raw[at:]
            case "put in":
                raw[at:at] = draw.randbytes(some)
            case "take out":
                del raw[at : at + some]
            case "repeat":
                raw[at:at] = raw[at : at + 10 * some]
    return bytes(raw)


def read(path: Path) -> str | None:
    """What went wrong; None where the file was read, or refused."""
    problem: list[str] = []

    def attempt() -> None:
        try:
            for row in read_rows(str(path), COLUMNS, Layout()):
                assert row.problem or all(cell is None or isinstance(cell, str) for cell in row.cells)
        except ChainruleError as error:
            if "\n" in str(error) or len(str(error)) > 600:
                problem.append(f"not one clear line: {str(error)[:200]!r}")
        except BaseException as error:
            problem.append(f"{type(error).__name__}: {str(error)[:200]}")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return f"no end after {SECONDS} s" if thread.is_alive() else problem[0] if problem else None


if __name__ == "__main__":
    faulthandler.enable()
    main()
