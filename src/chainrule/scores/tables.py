"""Scores as Arrow tables, and Arrow tables as CSV, JSON lines and Parquet files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from chainrule.errors import InputError, OutputError
from chainrule.scores import units

if TYPE_CHECKING:
    import pyarrow

    from chainrule.scores.score import Score
    from chainrule.scores.scores import Scores

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def table(scores: Scores, per: str) -> pyarrow.Table:
    """One row per "sequence" or per "token"; start and end policy stand in every row."""
    if per not in _COLUMNS:
        raise InputError(f"per must be one of {', '.join(map(repr, _COLUMNS))}, not {per!r}")
    import pyarrow

    return pyarrow.table(_COLUMNS[per](scores))


def score_dict(score: Score) -> dict[str, Any]:
    """A score with its tokens, in plain Python."""
    spans = score.spans
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
        | ({"top": [{"token": t, "logprob": p} for t, p in score.top(i)]} if score.top_ids.shape[1] else {})
        for i, (token, id, logprob, context, rank, entropy) in enumerate(
            zip(score.tokens, score.ids, score.logprobs, score.contexts, score.ranks, score.entropies, strict=True)
        )
    ]
    return _summary(score) | ({"segments": score.segments} if score.segments else {}) | {"factors": factors}


def json_text(value: Any, indent: int | None = None) -> str:
    """Strict JSON: an infinity, which JSON has no number for, becomes the string "-Infinity" or "Infinity"."""
    return json.dumps(_strict(value), ensure_ascii=False, indent=indent, allow_nan=False)


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
    """Comma-separated, to an open text stream."""
    import csv

    writer = csv.writer(_Lines(stream))
    if header:
        writer.writerow(rows.column_names)
    writer.writerows([[_cell(v) for v in row.values()] for row in rows.to_pylist()])


def _cell(value: Any) -> Any:
    """A CSV cell: nothing for null, JSON for a list."""
    return "" if value is None else json_text(value) if isinstance(value, list) else value


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
    return lambda rows: stream.writelines(json_text(row) + "\n" for row in rows.to_pylist()), stream.close


def _open_parquet(path: str, schema: Any) -> tuple[Callable[[Any], None], Callable[[], None]]:
    import pyarrow.parquet

    writer = pyarrow.parquet.ParquetWriter(path, schema)
    return writer.write_table, writer.close


_OPEN = {"csv": _open_csv, "jsonl": _open_jsonl, "parquet": _open_parquet}


def _summary(score: Score) -> dict[str, Any]:
    return {
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
    }


def _per_sequence(scores: Scores) -> dict[str, Any]:
    import pyarrow

    rows = [_summary(score) | {"index": i} for i, score in enumerate(scores)]
    types = {"index": "int64", "text": "string", "context_text": "string", "logprob": "double", "tokens": "int32"}
    types |= {"bits": "double", "perplexity": "double", "bytes": "int64", "bits_per_byte": "double", "kind": "string"}
    types |= {"start": "string", "start_id": "int64", "end_id": "int64", "boundary": "string", "windows": "int32"}
    types["model"] = "string"
    return {name: pyarrow.array([row[name] for row in rows], pyarrow.type_for_alias(t)) for name, t in types.items()}


def _per_token(scores: Scores) -> dict[str, Any]:
    import pyarrow

    count_S = scores.tokens
    spread = lambda values: np.repeat(np.array(values, object), count_S)  # noqa: E731
    each = list(scores)
    spans = [span for score in each for span in (score.spans.char_spans if score.spans else [(None, None)] * len(score))]
    columns = {
        "index": np.repeat(np.arange(len(scores)), count_S),
        "place": np.concatenate([np.arange(n) for n in count_S]) if len(count_S) else np.zeros(0, np.int64),
        "token": pyarrow.array([token for score in each for token in score.tokens], pyarrow.string()),
        "id": scores.ids,
        "logprob": scores.logprobs,
        "surprisal_bits": -scores.logprobs / units.LN2,
        "context": scores.contexts,
        "rank": scores.ranks,
        "entropy": scores.entropies,
        "begin": pyarrow.array([span[0] for span in spans], pyarrow.int64()),
        "stop": pyarrow.array([span[1] for span in spans], pyarrow.int64()),
        "start": pyarrow.array(spread([start.policy for start in scores.starts]), pyarrow.string()),
        "start_id": pyarrow.array(spread([start.id for start in scores.starts]), pyarrow.int64()),
        "end_id": pyarrow.array([scores.end] * len(scores.ids), pyarrow.int64()),
        "kind": pyarrow.array(spread([score.kind for score in each]), pyarrow.string()),
    }
    if scores.top_ids.shape[1]:
        name = scores.tokenizer.token if scores.tokenizer else "<{}>".format
        columns["top"] = pyarrow.array([[name(i) for i in row] for row in scores.top_ids.tolist()])
        columns["top_logprob"] = pyarrow.array(scores.top_logprobs.tolist())
    return columns


_COLUMNS: dict[str, Callable[[Any], dict[str, Any]]] = {"sequence": _per_sequence, "token": _per_token}


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
