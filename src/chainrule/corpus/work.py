"""What passes between the process that reads and writes and the workers that score: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from chainrule.errors import InputError, short
from chainrule.files.rows import UTF8

if TYPE_CHECKING:
    import pyarrow

PER = ("document", "token", "both")


def check_per(per: str) -> None:
    """Raises InputError for a kind of row that does not exist."""
    if per not in PER:
        raise InputError(f"per must be one of {', '.join(map(repr, PER))}, not {short(per)}")


@dataclass(frozen=True)
class Loading:
    """How a worker loads the model: the arguments of `chainrule.load`, of which `threads` and `device` differ by worker."""

    model: str | None = None
    tokenizer: str | None = None
    dtype: str | None = None
    device: str | None = None
    start: str | int = "auto"
    revision: str | None = None
    cache_dir: str | None = None
    adapter: str | None = None
    shared: str | None = None  # a folder in which the workers of a machine keep one copy of the weights


@dataclass(frozen=True)
class Scoring:
    """How documents are scored, and what a row of the output has."""

    per: str = "document"  # one of PER
    end: bool | int | None = None
    special: str = "text"
    window: int | bool | None = None
    stride: int | None = None
    temperature: float = 1.0
    large_lists: bool = False  # whether all lists of the corpus together may have 2³¹ entries

    def options(self) -> dict[str, Any]:
        """Arguments of `score_batch`."""
        names = ("end", "special", "window", "stride", "temperature")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Part:
    """Documents that are scored together and written to one file, in the order of the input."""

    name: str
    texts: tuple[str | None, ...]  # None: there is no text to score
    errors: tuple[str, ...]  # why there is none; "" if there is one
    files: tuple[str, ...]
    rows: tuple[int, ...]  # numbers of rows in the files, from 0
    kept: pyarrow.Table | None = field(default=None, repr=False)  # the user's columns

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def digest(self) -> str:
        """BLAKE2b of the texts and places: two parts with the same digest have the same documents."""
        whole = blake2b(digest_size=16)
        for text, error, file, row in zip(self.texts, self.errors, self.files, self.rows, strict=True):
            whole.update(f"{file}\0{row}\0{error}\0".encode(UTF8, "surrogatepass"))
            whole.update(b"\0" if text is None else text.encode() + b"\1")
        return whole.hexdigest()


@dataclass(frozen=True)
class Tally:
    """Sums over documents."""

    documents: int = 0
    failed: int = 0  # documents without a score
    tokens: int = 0
    bytes: int = 0  # of the texts that were scored
    contexts: int = 0  # distinct contexts within each part, which the network computed
    first_error: str = ""

    def __add__(self, other: Tally) -> Tally:
        names = ("documents", "failed", "tokens", "bytes", "contexts")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Tally(**sums, first_error=self.first_error or other.first_error)


@dataclass(frozen=True)
class Scored:
    """A part that was scored: a whole Parquet file, and what it holds."""

    name: str
    file: bytes = field(repr=False)
    tally: Tally
