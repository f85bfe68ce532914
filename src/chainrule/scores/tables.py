"""Scores as Arrow tables, and Arrow tables as CSV, JSON lines and Parquet files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from chainrule.errors import OutputError

if TYPE_CHECKING:
    import pyarrow

    from chainrule.scores.score import Score

_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_PART = 8192  # rows that are plain Python objects at a time

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def score_dict(score: Score) -> dict[str, Any]:
    """A score with its tokens, in plain Python."""
    spans, places = score.spans, score.places + len(score.request.context_ids)
    factors = [
        {
            "token": token,
            "id": int(id),
            "logprob": float(logprob),
            "context": int(context),
            "rank": int(rank),
            "entropy": float(entropy),
        }
        | ({"span": list(spans.char_spans[i])} if spans else {})
        | ({"position": int(places[i]), "context_positions": score.context_positions(i).tolist()} if score.ordering else {})
        | ({"top": [{"token": t, "logprob": p} for t, p in score.top(i)]} if score.top_ids.shape[1] else {})
        for i, (token, id, logprob, context, rank, entropy) in enumerate(
            zip(score.tokens, score.ids, score.logprobs, score.contexts, score.ranks, score.entropies, strict=True)
        )
    ]
    return score_summary(score) | {"factors": factors}


def score_summary(score: Score) -> dict[str, Any]:
    """A score without its tokens, in plain Python."""
    summary = {
        "text": score.text,
        "context_text": score.context,
        "logprob": score.logprob,
        "tokens": len(score),
        "bits": score.bits,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "bits_per_byte": score.bits_per_byte,
        "kind": score.kind,
        "start": score.start.policy,
        "start_id": score.start.id,
        "end_id": score.end,
        "boundary": score.boundary,
        "windows": score.windows,
        "model": score.model,
        "invariant": bool(score.invariant),
    }
    ordering = {} if score.ordering is None else {"ordering": score.ordering.to_dict()}
    return summary | ordering | ({"segments": score.segments} if score.segments else {})


def json_text(value: Any, indent: int | None = None) -> str:
    """Strict JSON: an infinity, which JSON has no number for, becomes the string "-Infinity" or "Infinity"."""
    value = _strict(value)
    return _ENCODE(value) if indent is None else json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


class Writer:
    """Writes tables of one schema to a file, one after another, whole or not at all: it is renamed into place at the end.

    A pipe or a device (/dev/stdout) is written to as it is.
    """

    def __init__(self, path: str, kind: str | None = None) -> None:
        self.path = os.fspath(path)
        self.kind = kind or FORMATS.get(os.path.splitext(self.path)[1].lower(), "")
        if not self.kind:
            raise OutputError(f"cannot tell the format of {self.path!r}: name it .csv, .jsonl or .parquet")
        special = os.path.exists(self.path) and not os.path.isfile(self.path)
        self._scratch = self.path if special else f"{os.path.realpath(self.path)}.part"
        self._write: Callable[[pyarrow.Table], None] | None = None
        self._close: Callable[[], None] = lambda: None
        try:
            if os.path.isdir(self.path):
                raise IsADirectoryError(f"[Errno 21] Is a directory: {self.path!r}")
            if not special:
                open(self._scratch, "wb").close()
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Writer:
        return self

    def write(self, rows: pyarrow.Table) -> None:
        try:
            if self._write is None:
                self._write, self._close = _OPEN[self.kind](self._scratch, rows.schema)
            self._write(rows)
        except OSError as error:
            raise self._failed(error) from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._close()
            if kind is None and self._scratch != self.path:
                os.replace(self._scratch, os.path.realpath(self.path))
        except OSError as error:  # a full disk may tell so only now
            raise self._failed(error) from error
        finally:
            if self._scratch != self.path and os.path.exists(self._scratch):
                os.unlink(self._scratch)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}")


def write_csv(rows: pyarrow.Table, stream: TextIO, header: bool) -> None:
    """Comma-separated, to an open text stream: nothing for null, JSON for a list."""
    import csv

    writer = csv.writer(_Lines(stream))
    if header:
        writer.writerow(rows.column_names)
    for columns in _parts(rows):
        writer.writerows(zip(*(_said(column, (list,), json_text) for column in columns), strict=True))


class _Lines:
    """Ends lines by "\\n". The csv module ends them by "\\r\\n", and quotes a lone "\\r" only then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix("\r\n") + "\n")


def _open_csv(path: str, schema: Any) -> tuple[Callable[[Any], None], Callable[[], None]]:
    stream = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115 (closed by the writer)
    header = [True]

    def write(rows: pyarrow.Table) -> None:
        write_csv(rows, stream, header[0])
        header[0] = False

    return write, stream.close


def _open_jsonl(path: str, schema: Any) -> tuple[Callable[[Any], None], Callable[[], None]]:
    stream = open(path, "w", encoding="utf-8")  # noqa: SIM115 (closed by the writer)

    def write(rows: pyarrow.Table) -> None:
        for columns in _parts(rows):  # of all that a table holds, only floats and lists of them can be infinite
            each = zip(*(_said(column, (float, list), _strict) for column in columns), strict=True)
            stream.writelines(_ENCODE(dict(zip(rows.column_names, row, strict=True))) + "\n" for row in each)

    return write, stream.close


def _open_parquet(path: str, schema: Any) -> tuple[Callable[[Any], None], Callable[[], None]]:
    import pyarrow.parquet

    writer = pyarrow.parquet.ParquetWriter(path, schema)
    return writer.write_table, writer.close


_OPEN = {"csv": _open_csv, "jsonl": _open_jsonl, "parquet": _open_parquet}


def _parts(rows: pyarrow.Table) -> Iterator[list[list[Any]]]:
    """The columns in plain Python, some rows at a time."""
    for batch in rows.to_batches(max_chunksize=_PART):
        yield [_plain(column) for column in batch.columns]


def _plain(column: Any) -> list[Any]:
    """`to_pylist`, many times as fast for numbers."""
    import pyarrow

    number = pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)
    return column.to_numpy().tolist() if number and not column.null_count else column.to_pylist()


def _said(column: list[Any], types: tuple[type, ...], say: Callable[[Any], Any]) -> list[Any]:
    """The column with `say` applied, where it is of one of these types."""
    first = next((value for value in column if value is not None), None)
    return [None if value is None else say(value) for value in column] if isinstance(first, types) else column


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
