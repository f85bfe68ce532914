"""Errors as replies, in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from fastapi import Request
from fastapi.exceptions import HTTPException, RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteError
from starlette.responses import Response

from chainrule.errors import ChainruleError, InputError, short
from chainrule.serving.wire import in_json, json_reply

LOG = logging.getLogger("chainrule.serving")
_FAULT = "an error within the server; its log describes it"

_FIELDS = frozenset(
    {"compare", "end", "start", "stop", "stride", "targets", "temperature", "top", "top_k", "top_p", "min_p", "window"}
)
_KINDS = frozenset({"body", "str", "int", "bool", "float"})  # parts of a place that are no names
_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class Described(BaseModel):
    """An error: what was wrong, with which value, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """The body of a reply that is an error, for the description of the interface."""

    error: Described


class ApiError(HTTPException):
    """An error that the client is to see. param: the field of the request that is wrong; code: a word for programs."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(status, message, None if retry_after is None else {"Retry-After": str(retry_after)})
        self.param, self.code = param, code

    def to_dict(self) -> dict[str, Any]:
        """The body of the reply."""
        return error_body(self.status_code, str(self.detail), self.param, self.code)


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The body of an error with this status of HTTP."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def as_api_error(error: BaseException, names: Mapping[str, str]) -> ApiError:
    """An error of the library or of the server as one for the client.

    names: what is written in place of other texts, such as paths of this machine. Errors of no known kind are logged.
    """
    if isinstance(error, ApiError):
        return error
    if not isinstance(error, ChainruleError):
        LOG.error("an error within the server", exc_info=error)
        return ApiError(500, _FAULT, code="internal_error")
    message = str(error)
    for path, name in names.items():
        message = message.replace(path, name)
    if isinstance(error, InputError):
        return ApiError(400, message, param=_field_of(error.reason), code="invalid_value")
    LOG.error("%s", error)
    return ApiError(500, message, code="model_error")


def _field_of(reason: str) -> str | None:
    """The field that a message of the library begins with, as in "top_k must be …" and "start=-1 …"."""
    first = re.match("[a-z_]+", reason)
    return first[0] if first is not None and first[0] in _FIELDS else None


async def reply_to_api_error(_: Request, error: Exception) -> Response:
    """The reply to an error of ours, or of the framework, such as an unknown path."""
    if isinstance(error, ApiError):
        return json_reply(error.to_dict(), error.status_code, error.headers)
    refused = cast("StarletteError", error)
    code = {404: "not_found", 405: "method_not_allowed"}.get(refused.status_code)
    return json_reply(error_body(refused.status_code, str(refused.detail), code=code), refused.status_code, refused.headers)


async def reply_to_unknown_error(_: Request, __: Exception) -> Response:
    """The reply to a fault of the server, which uvicorn writes to its log."""
    return json_reply(error_body(500, _FAULT, code="internal_error"), 500)


async def reply_to_invalid_request(request: Request, error: Exception) -> Response:
    """The reply to a body whose fields are wrong: the first of them, with its value."""
    invalid = cast("RequestValidationError", error)
    if isinstance(invalid.body, bytes):
        kind = request.headers.get("content-type", "none")
        message = f"the body must be JSON, with the header Content-Type: application/json, not {short(kind)}"
        return json_reply(error_body(415, message, code="unsupported_media_type"), 415)
    message, param = _first_problem(invalid)
    return json_reply(error_body(400, message, param, "invalid_value"), 400)


def _first_problem(error: RequestValidationError) -> tuple[str, str | None]:
    problem = error.errors()[0]
    param, value = _path(problem), problem.get("input")
    match problem["type"]:
        case "extra_forbidden":
            return f"there is no field {param!r}; see /openapi.json for those there are", param
        case "missing":
            return f"the field {param!r} is missing" if param else "the body is missing: send a JSON object", param
        case "invalid":
            return problem["msg"], problem["ctx"]["param"]
        case "value_error":
            return str(problem["ctx"]["error"]), param
        case "too_short":
            return f"{param} must have {problem['ctx']['min_length']} item or more, not {in_json(value)}", param
        case "model_attributes_type" | "dict_type":
            return f"{param or 'the body'} must be a JSON object, not {in_json(value)}", param
    message = problem["msg"].removeprefix("Input ").removeprefix("String ")
    return f"{param or 'the body'} {message}, not {in_json(value)}", param


def _path(problem: Mapping[str, Any]) -> str | None:
    """The field that is wrong. pydantic adds the kind of value that was tried, such as "constrained-str"."""
    names = (
        str(part) for part in problem["loc"] if part not in _KINDS and not str(part).startswith(("literal[", "constrained-"))
    )
    return ".".join(names) or None


def decode_error(error: Exception) -> ApiError:
    """Of a body that is not JSON."""
    reason = str(error) if isinstance(error, msgspec.DecodeError | UnicodeDecodeError) else "it is nested too deeply"
    return ApiError(400, f"the body is not JSON: {reason}", code="invalid_json")
