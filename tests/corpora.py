"""A small corpus in several formats with documents that cannot be scored, and runs over it that are killed."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

LONG = "long " * 30  # 150 bytes: longer than the context of the tiny model
PROGRAM = [sys.executable, "-c", "from chainrule.program import main; main()"]


def write_corpus(folder: Path, texts: Sequence[str]) -> list[str]:
    """Write texts as files of four formats. Three documents cannot be scored: an empty one, no UTF-8, and a long one."""
    folder.mkdir(parents=True, exist_ok=True)
    quarter = len(texts) // 4
    parts = [list(texts[begin : begin + quarter]) for begin in range(0, 4 * quarter, quarter)]
    parts[1][1], parts[1][-1] = "", LONG
    rows = [
        [
            {"id": f"{number}-{i}", "text": text, "lang": "en" if i % 2 else "de", "more": {"a": i}}
            for i, text in enumerate(part)
        ]
        for number, part in enumerate(parts)
    ]
    lines = [("".join(json.dumps(row) + "\n" for row in part)).encode() for part in rows]
    lines[0] = lines[0].replace(b'"text": "', b'"text": "\xff', 1)
    names = [str(folder / name) for name in ("a.jsonl", "b.jsonl.gz", "c.parquet", "d.jsonl")]
    Path(names[0]).write_bytes(lines[0])
    Path(names[1]).write_bytes(gzip.compress(lines[1], mtime=0))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[2]), names[2])
    Path(names[3]).write_bytes(lines[3])
    return names


def rows_of(out: Path) -> pyarrow.Table:
    """All rows of all parts, by file and row."""
    tables = [pyarrow.parquet.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    return pyarrow.concat_tables(tables).replace_schema_metadata(None).sort_by([("file", "ascending"), ("row", "ascending")])


def leftovers(out: Path) -> list[str]:
    """The files that are neither parts, nor the manifest, the lock and the summary."""
    known = ("_manifest.json", ".lock", "_summary.json", "_summary.html")
    return [path.name for path in out.iterdir() if path.name not in known and path.suffix != ".parquet"]


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """A process of the command line, in a group of its own. It does not ignore interrupts, as background jobs of a shell do."""
    quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    quiet["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen([*PROGRAM, *arguments], **quiet | options)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that it has started."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def kill_at_random(arguments: Sequence[str], out: Path, seconds: float, parts: int, rng: random.Random) -> str:
    """Start a run and end it, one of its workers, or all of them, with `kill -9` at a random moment. What was killed.

    The moment is after a random time, up to `seconds`, or when a random number of the parts in all is there.
    """
    process, began = start(arguments), time.monotonic()
    moment, wanted = (seconds * rng.uniform(0.05, 1), parts) if rng.random() < 0.3 else (60.0, rng.randint(0, parts))
    while process.poll() is None and time.monotonic() - began < moment and len(list(out.glob("part-*"))) < wanted:
        time.sleep(rng.uniform(0, 0.01))
    kind = rng.choices(["run", "worker", "all"], [6, 3, 2])[0]
    workers = workers_of(process)
    if process.poll() is not None:
        kind = "nothing"
    elif kind == "worker" and workers:
        _kill(rng.choice(workers))  # another one takes its place
    elif kind == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        kind = "run"
        process.kill()
    process.communicate(timeout=120)
    return kind


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
