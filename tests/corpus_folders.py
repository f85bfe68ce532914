"""Output folders of `chainrule corpus` with given rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

OURS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("text_blake2", pa.string()),
        ("error", pa.string()),
        ("logprob", pa.float64()),
        ("tokens", pa.int32()),
        ("bits", pa.float64()),
        ("perplexity", pa.float64()),
        ("bytes", pa.int64()),
        ("bits_per_byte", pa.float64()),
        ("windows", pa.int32()),
        ("least_context", pa.int32()),
        ("cut", pa.bool_()),
    ]
)


def scored(logprob: float, tokens: int, size: int, **kept: Any) -> dict[str, Any]:
    """A row of a scored document. size: in bytes."""
    bits = -logprob / math.log(2)
    numbers = {"logprob": logprob, "tokens": tokens, "bits": bits, "perplexity": math.exp(-logprob / tokens), "bytes": size}
    rest = {"bits_per_byte": bits / size if size else None, "windows": 1, "least_context": 0, "cut": False}
    return kept | {"file": "a.txt", "row": 0, "text_blake2": "00", "error": None} | numbers | rest


def failed(reason: str, **kept: Any) -> dict[str, Any]:
    """A row of a document that was not scored."""
    return kept | dict.fromkeys(OURS.names) | {"file": "a.txt", "row": 0, "text_blake2": "00", "error": reason}


def schema(kept: Sequence[pa.Field | tuple[str, pa.DataType]] = (), suffixed: Sequence[str] = ()) -> pa.Schema:
    """The schema of parts. suffixed: our columns that have the suffix."""
    ours = [field.with_name(f"{field.name}_chainrule") if field.name in suffixed else field for field in OURS]
    return pa.schema([*pa.schema(list(kept)), *ours])


def write(folder: Path, parts: Sequence[Sequence[dict[str, Any]]], form: pa.Schema, group: int = 3) -> Path:
    """Write each part, in row groups of this many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(parts):
        table = pa.Table.from_pylist(list(rows), schema=form)
        pq.write_table(table, folder / f"part-00000-{number:05}.parquet", row_group_size=group)
    return folder


def documents() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows with a language, of which some failed and some have probability 0."""
    language = st.sampled_from(["en", "de", None])
    logprob = st.floats(-2000, -0.001) | st.just(-math.inf) | st.sampled_from([-10.0, -20.0])
    good = st.builds(
        lambda logprob, *rest: scored(logprob, *rest[:2], lang=rest[2]) if logprob > -math.inf else impossible(*rest),
        logprob, st.integers(4, 60), st.integers(0, 300), language,
    )  # fmt: skip
    bad = st.builds(
        lambda number, kind, lang: failed(f"line {number} of my x.txt: {kind} {number}", lang=lang),
        st.integers(0, 99), st.sampled_from(["too long", "no text"]), language,
    )  # fmt: skip
    return st.lists(good | bad, max_size=25)


def impossible(tokens: int, size: int, lang: str | None) -> dict[str, Any]:
    """A document of probability 0."""
    infinite = {"logprob": -math.inf, "bits": math.inf, "perplexity": math.inf, "bits_per_byte": math.inf if size else None}
    return scored(-1.0, tokens, size, lang=lang) | infinite
