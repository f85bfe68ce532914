"""The file of a code: how it is written, and checked when it is read. torch is not imported."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chainrule.errors import InputError

MAGIC = b"chainrule code 1\n"
LONGEST = 1 << 16  # bytes of the header


@dataclass(frozen=True)
class Code:
    """The code of a text: the first `bits` of `payload`, and the data that decoding needs beside the model."""

    payload: bytes
    bits: int
    tokens: int
    given: list[int]  # the first token, if it is given and so has no factor
    text_sha256: str
    fingerprint: dict[str, str]  # of the model, machine and versions it was made with

    def to_bytes(self) -> bytes:
        """The content of a code file."""
        header = {name: value for name, value in vars(self).items() if name != "payload"} | {"bytes": len(self.payload)}
        header |= {"sha256": _checksum(header, self.payload)}
        return MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + self.payload

    @classmethod
    def from_bytes(cls, raw: bytes) -> Code:
        """The inverse. Raises InputError for anything but a complete and undamaged code."""
        if not raw.startswith(MAGIC):
            raise InputError(f"this is no code of chainrule: it begins with {raw[:16]!r}, not with {MAGIC[:-1].decode()!r}")
        line, newline, payload = raw[len(MAGIC) :].partition(b"\n")
        header = _header(line if newline else b"")
        digest, size = header.pop("sha256"), header["bytes"]
        if len(payload) < size:
            raise InputError(f"the code is cut short: it has {len(payload)} of {size} bytes")
        if len(payload) > size or _checksum(header, payload) != digest:
            raise InputError("the code is damaged: its checksum does not match its bytes")
        if size != -(-header["bits"] // 8):
            raise InputError(f"the code is damaged: it has {size} bytes, which do not hold {header['bits']} bits")
        del header["bytes"]
        return cls(payload, **header)


def _header(line: bytes) -> dict[str, Any]:
    """The header, exactly as `to_bytes` writes it: each name once, with a valid value. Raises InputError for anything else."""
    try:
        header = json.loads(line) if len(line) <= LONGEST else None
        wrong = [] if json.dumps(header, sort_keys=True).encode() == line else ["all of it"]
    except (ValueError, RecursionError):
        header, wrong = None, ["all of it"]
    if not wrong and isinstance(header, dict) and header.keys() == _KINDS.keys():
        wrong = [name for name, is_valid in _KINDS.items() if not is_valid(header[name])]
        if not wrong:
            return header
    raise InputError(
        "the code is damaged, or cut short: its second line is not a valid header" + (f" ({', '.join(wrong)})" if wrong else "")
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_digest(value: Any) -> bool:
    return type(value) is str and re.fullmatch("[0-9a-f]{64}", value) is not None


_KINDS: dict[str, Callable[[Any], bool]] = {
    "bits": _is_count,
    "bytes": _is_count,
    "fingerprint": lambda value: type(value) is dict and all(type(each) is str for each in value.values()),
    "given": lambda value: type(value) is list and len(value) <= 1 and all(map(_is_count, value)),
    "sha256": _is_digest,
    "text_sha256": _is_digest,
    "tokens": _is_count,
}


def _checksum(header: dict[str, Any], payload: bytes) -> str:
    return sha256(json.dumps(header, sort_keys=True).encode() + payload)


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
