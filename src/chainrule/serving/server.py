"""The server process: a socket, uvicorn, and what it lacks: limits on connections that say nothing, and on their number."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from chainrule.errors import InputError

HEADER_SECONDS = 20.0  # within which the headers of the first request of a connection must have come
IDLE_SECONDS = 75  # after a reply, for the next request
STOPPING_SECONDS = 30  # for the requests in hand, when the server is to stop


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to this address; port 0: any that is free. Raises InputError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # Without the protocol, asyncio leaves Nagle's algorithm on: 40 ms a reply
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _no_address(host, error) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise _no_address(host, error) from None
        raise InputError(f"port {port} of {host} cannot be used ({error.strerror}): choose another with --port") from None
    return bound


def _no_address(host: str, error: OSError) -> InputError:
    return InputError(f"there is no address {host!r} on this machine ({error.strerror}): choose another with --host")


def address_of(bound: socket.socket) -> str:
    """The address of a socket, as clients write it."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_open(bound: socket.socket) -> bool:
    """Whether other machines may reach the socket."""
    return not ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def server_of(app: FastAPI, connections: int, on_start: Callable[[], None]) -> uvicorn.Server:
    """A server, whose method `run` takes a list with a bound socket, until the process gets SIGTERM or SIGINT.

    Then it finishes the requests in hand. connections: the most at a time. on_start: called once clients are answered.
    """
    _allow_files(connections)
    config = uvicorn.Config(
        app,
        http=_protocol(connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOPPING_SECONDS,
    )
    return _Server(config, on_start)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()


def _protocol(most: int) -> type[H11Protocol]:
    """uvicorn's protocol, which closes a connection that sends no request, and each one above a number."""

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyrefly: ignore[bad-override]
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
            else:
                self._timer = self.loop.call_later(HEADER_SECONDS, self._close_if_silent)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def _close_if_silent(self) -> None:
            if self.cycle is None:
                self.transport.abort()

    return Protocol


def _allow_files(connections: int) -> None:
    """Let the process have as many open files as connections, if the system admits it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = connections + 256
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))
