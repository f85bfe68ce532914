"""The columns of documents of a corpus: their place, why one was not scored, and lists with an entry for each token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.results.columns import Column, Row

_DOCUMENT = (Row.DOCUMENT,)


def _lists(name: str, kind: str) -> Callable[[Any], Any]:
    """The lists of an attribute of scores that has a value for each token."""

    def of(scores: Any) -> Any:
        import pyarrow

        values = pyarrow.array(getattr(scores, name), pyarrow.type_for_alias(kind))
        return pyarrow.ListArray.from_arrays(pyarrow.array(scores.offsets, pyarrow.int32()), values)

    return of


def _of_tokens(name: str, kind: str, help: str, unit: str = "") -> Column:
    return Column(name, f"list<{kind}>", help, (Row.DOCUMENT_LISTS,), unit, batch=_lists(name, kind))


OF_DOCUMENTS: tuple[Column, ...] = (
    Column("file", "string", "file of the document", _DOCUMENT, given=True),
    Column("row", "int64", "number of its row in the file, from 0", _DOCUMENT, given=True),
    Column("text_blake2", "string", "BLAKE2b of its text in UTF-8, 128 bits; null without a text", _DOCUMENT, given=True),
    Column(
        "error", "string", "why it was not scored; null if it was. All columns after it are null then", _DOCUMENT, given=True
    ),
    _of_tokens("ids", "int32", "ids of the tokens"),
    _of_tokens("logprobs", "double", "their log probabilities", "nats"),
    _of_tokens("ranks", "int32", "their ranks, 1 for the most probable token"),
    _of_tokens("entropies_bits", "double", "entropies of their distributions", "bits"),
)
