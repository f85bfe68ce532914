"""Bytes on the wire: JSON and server-sent events, encoded without a walk over their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from chainrule.errors import short

LOWEST = -9999.0  # in place of −∞, which JSON does not have, in OpenAI's shapes; vLLM writes the same

_encode = msgspec.json.Encoder().encode


def encoded(value: Any) -> bytes:
    """The value as JSON. NaN and infinities become null."""
    return _encode(value)


def in_json(value: Any) -> str:
    """The beginning of a value as JSON, for a message."""
    try:
        shown = encoded(value).decode()
    except (TypeError, ValueError, RecursionError):
        return short(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A reply with this value as JSON."""
    return Response(encoded(value), status, headers, "application/json")


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + encoded(value) + b"\n\n"


DONE = b"data: [DONE]\n\n"
