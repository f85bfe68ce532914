"""Validation of a .gguf header against the size of the file, before a reader that trusts the header is used."""

from __future__ import annotations

import mmap
import struct
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.models.damage import AGAIN, Extent, check_file

_VERSIONS = (2, 3)
_DIMENSIONS = 4  # at most, as in llama.cpp
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_LENGTH = struct.Struct("<Q")
_CUT = f"it is damaged or truncated; {AGAIN}"


def check_start(file: Path) -> None:
    """Raises ValueError for a file that does not begin like a .gguf file, and for a git-lfs pointer."""
    check_file(file)
    with file.open("rb") as opened:
        magic = opened.read(4)
    if len(magic) < 4:
        raise ValueError(f"it has {len(magic)} bytes; {_CUT}")
    if magic != b"GGUF":
        raise ValueError(f"it is named .gguf, but begins with {magic!r} instead of b'GGUF'; {AGAIN}")


def read_header(file: Path) -> tuple[dict[str, Any], Extent]:
    """The metadata without arrays, and the amount of data in the file. Raises ValueError for a damaged file."""
    check_start(file)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(data)
        cursor.bytes(4)
        if (version := cursor.number("I")) not in _VERSIONS:
            raise ValueError(
                f"it is GGUF version {version}, but only {_VERSIONS} are supported; convert it with llama.cpp's tools"
            )
        tensors, pairs = cursor.count(least=20), cursor.count(least=13)
        metadata = dict(cursor.pair() for _ in range(pairs))
        entries = [cursor.tensor() for _ in range(tensors)]
        if (alignment := metadata.get("general.alignment", 32)) not in [1 << power for power in range(3, 17)]:
            raise ValueError(f"general.alignment is {alignment}; {_CUT}")
        cursor.check_data(entries, alignment)
    blocks = {each.name.split(".")[1] for each in entries if each.name.startswith("blk.")}
    extent = Extent(tensors, sum(each.elements for each in entries), len(blocks))
    return {key: value for key, value in metadata.items() if value is not None}, extent


class _Tensor(NamedTuple):
    name: str
    elements: int
    end: int  # one past its last byte, from the start of the data


class _Cursor:
    """A read position in the file that cannot move past its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def bytes(self, count: int) -> bytes:
        self._skip(count)
        return self.data[self.at - count : self.at]

    def number(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self.bytes(struct.calcsize("<" + kind)))[0]

    def count(self, least: int) -> int:
        """The number of entries that follow, each of at least `least` bytes."""
        total = self.number("Q")
        if total * least > len(self.data) - self.at:
            raise ValueError(f"its header declares {total:,} entries, but {len(self.data) - self.at:,} bytes are left; {_CUT}")
        return total

    def string(self) -> str:
        return self.bytes(self.count(least=1)).decode("utf-8")

    def pair(self) -> tuple[str, Any]:
        """A key and its value; None for an array."""
        key, kind = self.string(), self.number("I")
        if kind == _STRING:
            return key, self.string()
        if kind == _ARRAY:
            self._skip_array(key)
            return key, None
        return key, self.number(self._scalar(kind, key))

    def tensor(self) -> _Tensor:
        import gguf

        name, dimensions = self.string(), self.number("I")
        if not 1 <= dimensions <= _DIMENSIONS:
            raise ValueError(f"tensor {name!r:.60} has {dimensions} dimensions; {_CUT}")
        shape = [self.number("Q") for _ in range(dimensions)]
        kind, offset = self.number("I"), self.number("Q")
        block, size = gguf.GGML_QUANT_SIZES.get(kind, (0, 0))  # pyrefly: ignore[no-matching-overload]  (an IntEnum's value)
        if not block or shape[0] % block:
            raise ValueError(f"tensor {name!r:.60} of shape {shape} has an invalid type, {kind}; {_CUT}")
        elements = prod(shape)
        return _Tensor(name, elements, offset + elements // block * size)

    def check_data(self, tensors: list[_Tensor], alignment: int) -> None:
        """Raises ValueError if the tensors reach past the end of the file."""
        start = -(-self.at // alignment) * alignment
        if (needed := start + max((each.end for each in tensors), default=0)) > len(self.data):
            raise ValueError(f"its header declares {needed:,} bytes, but it has {len(self.data):,}; {_CUT}")

    def _skip_array(self, key: str) -> None:
        kind = self.number("I")
        if kind == _STRING:
            self._skip_strings(self.count(least=8))
        else:
            size = struct.calcsize("<" + self._scalar(kind, key))
            self._skip(self.count(least=size) * size)

    def _skip_strings(self, count: int) -> None:
        """Skip `count` strings, such as a vocabulary, each of which follows its length."""
        at, last, length = self.at, len(self.data) - 8, _LENGTH.unpack_from
        for _ in range(count):
            if at > last:
                break
            at += 8 + length(self.data, at)[0]
        else:
            self._skip(at - self.at)
            return
        self._skip(at + 8 - self.at)  # raises: the next length would be past the end

    def _scalar(self, kind: int, key: str) -> str:
        if kind not in _SCALARS:
            raise ValueError(f"{key!r:.60} has a value of an unknown type, {kind}; {_CUT}")
        return _SCALARS[kind]

    def _skip(self, count: int) -> None:
        if count > len(self.data) - self.at:
            raise ValueError(f"its header declares {count:,} bytes, but {len(self.data) - self.at:,} are left; {_CUT}")
        self.at += count
