"""Validation of a safetensors file: its header against its size, without torch and without reading the weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path

_LONGEST = 100_000_000  # bytes of a header, as in the safetensors library


def fault(file: Path) -> str | None:
    """What is wrong with the header, or with the length of the file; None if nothing is. Raises OSError."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        if len(start) < 8:
            return "its header is incomplete"
        (length,) = struct.unpack("<Q", start)
        if length > min(_LONGEST, size - 8):
            return f"its header declares {length:,} bytes of header"
        try:
            header = json.loads(opened.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            needed = 8 + length + max(ends, default=0)
        except (ValueError, RecursionError, TypeError, KeyError, IndexError, AttributeError) as error:
            return f"its header is not valid: {type(error).__name__}"
    return None if needed == size else f"it has {size:,} bytes, but its header declares {needed:,}"
