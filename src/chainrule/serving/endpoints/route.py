"""Routes whose bodies are strict JSON, and the service of a request."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from chainrule.serving.errors import decode_error
from chainrule.serving.service import Service


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body. NaN and infinities, which Python's decoder takes, are no JSON."""
        try:
            return msgspec.json.decode(await self.body())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise decode_error(error) from None


class _StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


def router() -> APIRouter:
    """A router with such routes."""
    return APIRouter(route_class=_StrictRoute)


def service_of(request: Request) -> Service:
    """The service that answers a request."""
    return request.app.state.service


async def digest(request: Request, more: int | None = None) -> str:
    """24 digits that depend on the request alone. more: a number that the reply depends on, too."""
    state = blake2b(digest_size=12)
    state.update(request.url.path.encode() + b"\0" + await request.body() + b"\0" + str(more).encode())
    return state.hexdigest()
