"""Clients that mean no good: one attack after another on a server, while a client who does no harm measures how long it waits.

    .venv/bin/python benchmarks/serve_hostile.py [--model smollm2-135m]

The server is a process of its own. Exit code 1: the client got another reply than its own or 429, or waited for 30 seconds,
twice what a forest of 16,384 tokens takes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from serve import Client, by_threads, running, written

MEBIBYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    arguments = parser.parse_args()
    result, failed = hostile(arguments.model)
    written("hostile", arguments.model, result)
    raise SystemExit(1 if failed else 0)


def hostile(model: str) -> tuple[dict[str, Any], int]:
    """Attacks, one after another, while a client asks for the health and for a score."""
    rows, failed = [], 0
    with running(model, "--max-waiting", "64", "--timeout", "60") as address:
        for attack in (nothing, silent, dripping, half_closed, gigabyte, chunked, nonsense, unread, flood, abandoned):
            waits, replies, stop = [], Counter[int](), threading.Event()
            watch = threading.Thread(target=_watch, args=(address, waits, replies, stop))
            watch.start()
            seen = attack(address)
            time.sleep(1)
            stop.set()
            watch.join()
            memory = _memory(address)
            rows.append(
                {
                    "attack": attack.__name__,
                    "longest_wait_s": max(waits),
                    "replies": dict(replies),
                    "seen": seen,
                    "memory_mib": memory,
                }
            )
            bad = [status for status in replies if status not in (200, 429)]
            failed += bool(bad) + (max(waits) > 30)
            print(rows[-1], flush=True)
    return {"attacks": rows}, failed


def _watch(address: str, waits: list[float], replies: Counter[int], stop: threading.Event) -> None:
    """Ask for a small score again and again, as a client who does no harm."""
    one, body = Client(address), json.dumps({"prompt": "It is raining.", "echo": True, "logprobs": 1, "max_tokens": 0}).encode()
    while not stop.is_set():
        began = time.perf_counter()
        status, _ = one.post("/v1/completions", body)
        waits.append(time.perf_counter() - began)
        replies[status] += 1
        time.sleep(0.02)


def _memory(address: str) -> int:
    """Resident memory of the process that listens there."""
    port = int(address.rpartition(":")[2])
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if b"serve" in words and b"chainrule" in words and _listens(int(folder.name), port):
                    return int(re.findall(r"VmRSS:\s+(\d+)", (folder / "status").read_text())[0]) >> 10
            except OSError:
                continue
    return 0


def _listens(pid: int, port: int) -> bool:
    return f":{port:04X} " in Path(f"/proc/{pid}/net/tcp").read_text()


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def _head(length: int | None, path: str = "/v1/completions") -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{size}\r\n\r\n".encode()


def _reply(connection: socket.socket) -> str:
    try:
        return connection.recv(4096).partition(b"\r\n")[0].decode() or "closed"
    except OSError as error:
        return type(error).__name__


def nothing(address: str) -> str:
    time.sleep(2)
    return ""


def silent(address: str) -> str:
    """1,000 connections that say nothing."""
    held = [_connect(address) for _ in range(1000)]
    time.sleep(23)
    closed = sum(_reply(each) in ("closed", "ConnectionResetError") for each in held)
    return f"{closed} of 1000 were closed"


def dripping(address: str) -> str:
    """200 clients that send a byte a second."""
    held = [_connect(address) for _ in range(200)]
    for each in held:
        each.sendall(_head(1000))
    until = time.monotonic() + 33
    while time.monotonic() < until:
        for each in held:
            with suppress(OSError):
                each.sendall(b" ")
        time.sleep(1)
    return str(Counter(map(_reply, held)))


def half_closed(address: str) -> str:
    """300 clients that send half a request and close their side."""
    held = [_connect(address) for _ in range(300)]
    for each in held:
        each.sendall(_head(100) + b'{"prompt"')
        each.shutdown(socket.SHUT_WR)
    return str(Counter(map(_reply, held)))


def gigabyte(address: str) -> str:
    """A body of 1 GB, with its length."""
    return _send(address, _head(1 << 30), (b" " * MEBIBYTE for _ in range(1024)))


def chunked(address: str) -> str:
    """A body of 1 GB, without its length."""
    part = f"{MEBIBYTE:x}\r\n".encode() + b" " * MEBIBYTE + b"\r\n"
    return _send(address, _head(None), (part for _ in range(1024)))


def _send(address: str, head: bytes, parts: Iterator[bytes]) -> str:
    connection, sent = _connect(address), 0
    try:
        connection.sendall(head)
        for part in parts:
            connection.sendall(part)
            sent += 1
    except OSError:
        pass
    return f"{_reply(connection)} after {sent} MiB"


def nonsense(address: str) -> str:
    """Bytes that are no JSON, no UTF-8, no HTTP; numbers that are none; and nesting."""
    bodies = [
        b"\xff\xfe", b'{"prompt": "\xed\xa0\x80"}', b'{"prompt":"a","temperature":NaN}', b'{"prompt":"a","top_p":1e999}',
        b"[" * 10**6, b'{"a":' * 10**5, b'{"prompt":"a","max_tokens":' + b"9" * 10**5 + b"}", b'{"prompt":"\\ud800"}',
        os.urandom(1 << 16),
    ]  # fmt: skip
    one = Client(address)
    statuses = Counter(one.post(path, body)[0] for body in bodies for path in ("/v1/completions", "/v1/logprobs", "/v1/score"))
    raw = _connect(address)
    raw.sendall(os.urandom(1 << 16))
    return f"{dict(statuses)}, {_reply(raw)}"


def unread(address: str) -> str:
    """50 clients that ask for large replies and read none."""
    body = json.dumps({"prompt": list(range(100, 4100)), "echo": True, "logprobs": 50, "max_tokens": 0}).encode()
    held = []
    for _ in range(50):
        held.append(_connect(address))
        held[-1].sendall(_head(len(body)) + body)
    time.sleep(15)
    for each in held:
        each.close()
    return ""


def flood(address: str) -> str:
    """2,000 requests at once."""
    body = json.dumps({"prompt": "It is raining. I need an umbrella.", "max_tokens": 2}).encode()
    replies = by_threads(address, [("/v1/completions", body)] * 2000, 200)
    return str(Counter(status for status, _ in replies))


def abandoned(address: str) -> str:
    """100 clients that ask for long texts, and go."""
    body = json.dumps({"prompt": "It is", "max_tokens": 2000, "ignore_eos": True}).encode()
    for _ in range(100):
        connection = _connect(address)
        connection.sendall(_head(len(body)) + body)
        time.sleep(0.02)
        connection.close()
    return ""


if __name__ == "__main__":
    main()
