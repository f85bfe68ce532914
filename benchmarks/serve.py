"""The server under load: the same bytes as alone, its speed beside `score_batch`, and clients that mean no good.

    .venv/bin/python benchmarks/serve.py same --requests 10000 --threads 32
    .venv/bin/python benchmarks/serve.py speed
    .venv/bin/python benchmarks/serve.py hostile

same      random requests one at a time, then again from many threads at once: the bodies of the replies must be equal
speed     32 clients that send one text after another, all texts with one of some prefixes, and `score_batch` of all texts,
          in turn. Both compute all factors. The clients are a process of their own on the same cores
hostile   a flood, slow and silent clients, bodies of 1 GB and nonsense, while one client measures how long it waits

The server is a process of its own. Exit code 1: a reply differs, or somebody was harmed.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import machine
from texts import book, fortunes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from random_requests import Requests  # noqa: E402

MEBIBYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["same", "speed", "hostile", "client"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--texts", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=49_152, help="the ids of random requests are below it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--address", help="of a server that runs already")
    arguments = parser.parse_args()
    result, failed = {"same": same, "speed": speed, "hostile": hostile, "client": client}[arguments.what](arguments)
    if arguments.what != "client":
        run = {"command": f"python benchmarks/serve.py {arguments.what}", "date": str(datetime.date.today())}
        run |= {"model": Path(arguments.model).name, **result, "machine": machine.describe()}
        target = HERE / "results" / f"serve-{arguments.what}-{Path(arguments.model).name}-{datetime.date.today()}.json"
        target.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
        print(f"written to {target.relative_to(HERE.parent)}")
    raise SystemExit(1 if failed else 0)


@contextmanager
def running(arguments: argparse.Namespace, *options: str) -> Iterator[str]:
    """A server as a process. Gives its address, such as 127.0.0.1:8000."""
    if arguments.address:
        yield arguments.address
        return
    command = [sys.executable, "-m", "chainrule", "serve", arguments.model, "--port", "0", *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(HERE.parent / "src")}
    )
    lines: list[str] = []
    try:
        assert process.stderr is not None
        while not (lines and "serving" in lines[-1]):
            lines.append(process.stderr.readline())
            if not lines[-1]:
                raise SystemExit("".join(lines))
        threading.Thread(target=lambda: sys.stderr.writelines(process.stderr or ()), daemon=True).start()
        yield lines[-1].rpartition("http://")[2].strip()
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        print(f"the server ended with exit code {code}", flush=True)


class Client:
    """One connection, which is opened again if it is lost."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=600)

    def post(self, path: str, body: bytes, accept: str = "application/json") -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept": accept}
        for attempt in (0, 1):
            try:
                self._connection.request("POST", path, body, headers)
                reply = self._connection.getresponse()
                return reply.status, reply.read()
            except (http.client.HTTPException, ConnectionError):
                self._connection.close()
                if attempt:
                    raise
        raise AssertionError


def by_threads(address: str, asked: Sequence[Any], threads: int) -> list[tuple[int, bytes]]:
    """The replies to requests that so many threads send, each one after another."""
    local = threading.local()

    def ask(one: Any) -> tuple[int, bytes]:
        if not hasattr(local, "client"):
            local.client = Client(address)
        return local.client.post(*one)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, asked))


def same(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Random requests alone and under load."""
    with running(arguments) as address:
        source = Requests(arguments.seed, fortunes()[:200], arguments.vocabulary)
        asked = [source.next() for _ in range(arguments.requests)]
        one, began, alone = Client(address), time.perf_counter(), []
        for number, each in enumerate(asked, 1):
            alone.append(one.post(*each))
            if number % 1000 == 0:
                print(f"{number} requests alone: {time.perf_counter() - began:.0f} s", flush=True)
        middle = time.perf_counter()
        order = random.Random(arguments.seed).sample(range(len(asked)), len(asked))
        together = by_threads(address, [asked[i] for i in order], arguments.threads)
        after = time.perf_counter()
    differ = [i for i, reply in zip(order, together, strict=True) if reply != alone[i]]
    for i in differ[:5]:
        print(asked[i], alone[i], together[order.index(i)], sep="\n")
    statuses = Counter(status for status, _ in alone)
    result = {
        "requests": len(asked), "threads": arguments.threads, "differ": len(differ), "statuses": dict(statuses),
        "alone_s": middle - began, "together_s": after - middle,
    }  # fmt: skip
    print(result, flush=True)
    return result, len(differ) + sum(count for status, count in statuses.items() if status >= 500)


def texts_of(arguments: argparse.Namespace) -> list[str]:
    """Texts with one of four prefixes of some 500 tokens, and an end of their own, in random order."""
    words = book().split()
    prefixes = [" ".join(words[i * 1000 : i * 1000 + 330]) for i in range(4)]
    ends = [" ".join(words[5000 + i * 25 : 5000 + i * 25 + 22]) for i in range(arguments.texts)]
    return [f"{random.Random(i).choice(prefixes)}\n\n{end}" for i, end in enumerate(ends)]


def client(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Send all texts of `speed`, and print the seconds. A process of its own."""
    how = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    bodies = [("/v1/completions", json.dumps({"prompt": text, **how}).encode()) for text in texts_of(arguments)]
    began = time.perf_counter()
    replies = by_threads(arguments.address, bodies, arguments.threads)
    print(time.perf_counter() - began)
    return {}, sum(status != 200 for status, _ in replies)


def speed(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The clients and `score_batch` in turn."""
    import chainrule

    texts, lm = texts_of(arguments), chainrule.load(arguments.model)
    ids = [lm.tokenizer.encode(text) for text in texts]
    again = [sys.executable, __file__, "client", "--threads", str(arguments.threads), "--texts", str(arguments.texts)]
    served, batch = [], []
    with running(arguments) as address:
        for number in range(arguments.rounds + 1):
            began = time.perf_counter()
            scores = lm.score_batch(ids, start="given", top=1)
            middle = time.perf_counter()
            ended = float(subprocess.run([*again, "--address", address], check=True, capture_output=True, text=True).stdout)
            if number:  # the first round warms up
                batch.append(middle - began)
                served.append(ended)
                print(f"score_batch {batch[-1]:.2f} s, clients {ended:.2f} s: {batch[-1] / ended:.3f}", flush=True)
        metrics = http.client.HTTPConnection(address)
        metrics.request("GET", "/metrics")
        numbers = dict(re.findall(r"^chainrule_(\w+) ([\d.e+]+)$", metrics.getresponse().read().decode(), re.M))
    ratios = [a / b for a, b in zip(batch, served, strict=True)]
    result = {
        "texts": len(texts), "tokens": sum(map(len, ids)), "distinct_contexts": scores.distinct_contexts,
        "threads": arguments.threads, "score_batch_s": batch, "clients_s": served, "ratio": statistics.median(ratios),
        "lowest": min(ratios), "highest": max(ratios), "metrics": numbers,
    }  # fmt: skip
    print(f"{arguments.threads} clients: {result['ratio']:.3f} of the speed of score_batch", flush=True)
    return result, 0


def hostile(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Attacks, one after another, while a client asks for the health and for a score."""
    rows, failed = [], 0
    with running(arguments, "--max-waiting", "64", "--timeout", "60") as address:
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
            failed += bool(bad) + (max(waits) > 10)
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
    body = json.dumps({"prompt": list(range(100, 4100)), "echo": True, "logprobs": 100, "max_tokens": 0}).encode()
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
