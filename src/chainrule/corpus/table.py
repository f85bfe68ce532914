"""The rows of a part: the user's columns, the place of each document, then our numbers; and the file of a part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from chainrule.corpus.work import Part, Scoring, Tally
from chainrule.errors import InputError
from chainrule.files.row_text import json_text
from chainrule.results.beside import beside
from chainrule.results.columns import Column, Row
from chainrule.results.provenance import METADATA
from chainrule.results.rows import Source, arrow_type
from chainrule.results.schema import columns

if TYPE_CHECKING:
    import pyarrow

    from chainrule.results import Scores

PART = b"chainrule_part"  # the key of the digest and the tally in the metadata of a part
_ROWS = {"document": (Row.DOCUMENT,), "token": (Row.DOCUMENT_LISTS,), "both": (Row.DOCUMENT, Row.DOCUMENT_LISTS)}


def result_columns(how: Scoring) -> list[Column]:
    """Our columns, those of the place of a document first."""
    return [
        column for column in columns(Row.DOCUMENT, *_ROWS[how.per]) if column.given or set(column.rows) & set(_ROWS[how.per])
    ]


def with_results(part: Part, errors: Sequence[str], groups: Sequence[Scores], how: Scoring) -> pyarrow.Table:
    """A row for each document of the part. groups: the scores of those without an error, in order."""
    import pyarrow

    given = {
        "file": part.files,
        "row": part.rows,
        "text_blake2": [None if text is None else text_digest(text) for text in part.texts],
        "error": [error or None for error in errors],
    }
    arrays = {
        column.name: pyarrow.array(given[column.name], arrow_type(column.type))
        if column.given
        else spread(_values(column, groups, how), [not error for error in errors])
        for column in result_columns(how)
    }
    ours = pyarrow.table(arrays)
    return ours if part.kept is None else beside(part.kept, ours)[0]


def to_parquet(table: pyarrow.Table, about: dict[str, Any], digest: str, tally: Tally) -> bytes:
    """The file of a part. Its metadata says which model gave its numbers, and which documents it has."""
    import pyarrow.parquet

    own = json.dumps({"digest": digest, "tally": vars(tally)})
    table = table.replace_schema_metadata({METADATA: json_text(about), PART: own})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def from_parquet(path: str) -> tuple[str, Tally]:
    """The digest of the documents of a part, and its tally. Raises InputError with the reason if it is not whole."""
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
        own = json.loads((file.schema_arrow.metadata or {})[PART])
        rows = sum(batch.num_rows for batch in file.iter_batches(use_threads=False))  # every page is checked
        tally = Tally(**own["tally"])
        if rows != tally.documents:
            raise ValueError(f"it has {rows} rows of {tally.documents}")
        return str(own["digest"]), tally
    except KeyError:
        raise InputError("it was not written by this program") from None
    except Exception as error:
        raise InputError(f"it is damaged: {next(iter(str(error).splitlines()), type(error).__name__)[:200]}") from None


def text_digest(text: str) -> str:
    """BLAKE2b of a text in UTF-8, 128 bits."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _values(column: Column, groups: Sequence[Scores], how: Scoring) -> pyarrow.Array:
    import pyarrow

    kind = arrow_type(column.type)
    row = next(row for row in _ROWS[how.per] if row in column.rows)
    values = [Source(row, scores).array(column) for scores in groups]
    array = pyarrow.concat_arrays(values) if values else pyarrow.array([], kind)
    large = how.large_lists and pyarrow.types.is_list(kind)
    return array.cast(pyarrow.large_list(kind.value_type) if large else kind)


def spread(values: Any, present: Sequence[bool]) -> Any:
    """An Arrow array or table with an entry for each row that is present, with null for the others."""
    import numpy
    import pyarrow

    missing = ~numpy.array(present, bool)
    if not missing.any():
        return values
    return values.take(pyarrow.array(numpy.cumsum(~missing) - 1, mask=missing))
