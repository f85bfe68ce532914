"""What happens to every request before its endpoint sees it: its host and key are checked, its time is limited, and it is
counted."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainrule.errors import short
from chainrule.serving.errors import ApiError
from chainrule.serving.limits import Limits
from chainrule.serving.metrics import Metrics
from chainrule.serving.wire import json_reply

LOG = logging.getLogger("chainrule.serving")
OPEN = frozenset({"/", "/health"})  # paths that need no key: they say nothing of the models
BODY_SECONDS = 30.0  # within which the body of a request must have come
SPARE = 30.0  # seconds for the reply of a request that took all its time


class Guard:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, api_key: str | None, log_requests: bool,
        hosts: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        """hosts: see `create_app`."""
        self._app, self.limits, self._metrics, self._log = app, limits, metrics, log_requests
        self.bytes = 0  # of the bodies of all requests that are not answered
        self._key = None if api_key is None else api_key.encode()
        self._hosts = None if hosts is None else frozenset(map(str.lower, hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, reply, body = time.monotonic(), _Reply(send), _Body(receive, self)
        try:
            self._check_host(scope)
            if not self._allowed(scope):
                raise ApiError(
                    401, "the key is wrong or missing: send the header Authorization: Bearer KEY", code="invalid_api_key"
                )
            if self._length(scope) > self.limits.body:
                raise too_large(self.limits.body)
            async with asyncio.timeout(self.limits.seconds + SPARE):
                await self._app(scope, body, reply.send)
        except ApiError as error:
            await reply.error(scope, receive, error)
        except asyncio.CancelledError:  # the server is to stop, and has waited long enough
            await reply.error(scope, receive, ApiError(503, "the server is stopping", code="stopping"))
        except TimeoutError:
            await reply.error(scope, receive, ApiError(504, "the request took too long", code="timeout"))
        except Exception:  # a fault of the server, which the framework answers
            reply.status = reply.status or 500
            raise
        finally:
            self.bytes -= body.bytes
            self._count(scope, reply.status, time.monotonic() - began)

    def _check_host(self, scope: Scope) -> None:
        """Raises ApiError for a name that is not this machine's: a page of that name has made its name lead here."""
        host = _host_of(_header(scope, b"host"))
        if self._hosts is None or not host or host in self._hosts or _is_local(host):
            return
        message = (
            f"this server answers under localhost and its address, not under the name {short(host)}: use one of these, or "
            "start it with --allow-host NAME or --api-key"
        )
        raise ApiError(403, message, code="unknown_host")

    def _allowed(self, scope: Scope) -> bool:
        if self._key is None or scope["path"] in OPEN or scope["method"] == "OPTIONS":
            return True
        given = _header(scope, b"authorization")
        kind, _, key = given.partition(b" ")
        return hmac.compare_digest(key.strip(), self._key) and kind.lower() == b"bearer"

    @staticmethod
    def _length(scope: Scope) -> int:
        """The length of the body that the client announces; 0 if it does not."""
        value = _header(scope, b"content-length")
        return int(value) if value.isdigit() else 0

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(path, status).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if self._log:
            LOG.info("%s %s %d %.3f s", scope["method"], scope["path"], status, seconds)


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for each, value in scope["headers"] if each == name), b"")


def _host_of(header: bytes) -> str:
    """The name or address in a header Host, without its port."""
    host = header.decode("latin-1").strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _is_local(host: str) -> bool:
    """Whether no DNS server says where this name leads: localhost, or an address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Body:
    """Receives the parts of a body. Raises ApiError if they are too many, or take too long."""

    def __init__(self, receive: Receive, guard: Guard) -> None:
        self._receive, self._guard, self._until = receive, guard, time.monotonic() + BODY_SECONDS
        self.bytes, self._whole = 0, False

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is that the client closes the connection
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {BODY_SECONDS:.0f} s", code="body_too_slow") from None
        size = len(message.get("body", b""))
        self.bytes += size
        self._guard.bytes += size
        if self.bytes > self._guard.limits.body:
            raise too_large(self._guard.limits.body)
        if self._guard.bytes > self._guard.limits.bodies:
            raise ApiError(429, "the server has too many requests in hand: try again later", code="busy", retry_after=1)
        self._whole = not message.get("more_body", False)
        return message


def too_large(most: int) -> ApiError:
    """The error of a body that is larger than this number of bytes."""
    return ApiError(413, f"the body has more than {most:,} bytes: send several requests", code="body_too_large")


class _Reply:
    """Sends a reply, with a number of its own, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def send(self, message: Message) -> None:
        """Send a part."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            number = (b"x-request-id", secrets.token_hex(8).encode())
            message = {**message, "headers": [*message.get("headers", ()), number]}
        await self._send(message)

    async def error(self, scope: Scope, receive: Receive, error: ApiError) -> None:
        """Reply with an error, unless a reply has begun."""
        if not self.status:
            headers: dict[str, Any] = {"WWW-Authenticate": "Bearer"} if error.status_code == 401 else {}
            await json_reply(error.to_dict(), error.status_code, headers)(scope, receive, self.send)
