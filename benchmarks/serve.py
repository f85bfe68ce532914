"""The server under load: the same bytes as alone, and its speed beside `score_batch`.

    .venv/bin/python benchmarks/serve.py same --requests 10000 --threads 32
    .venv/bin/python benchmarks/serve.py speed

same      random requests one at a time, then again from many threads at once: the bodies of the replies must be equal
speed     32 clients that send one text after another, all texts with one of some prefixes, and `score_batch` of all texts,
          in turn. Both compute all factors. The clients are a process of their own on the same cores

The server is a process of its own. Exit code 1: a reply differs.
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
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import machine
from texts import book, fortunes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from random_requests import Requests  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["same", "speed", "client"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--texts", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=49_152, help="the ids of random requests are below it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--address", help="of a server that runs already")
    arguments = parser.parse_args()
    result, failed = {"same": same, "speed": speed, "client": client}[arguments.what](arguments)
    if arguments.what != "client":
        written(arguments.what, arguments.model, result)
    raise SystemExit(1 if failed else 0)


def written(what: str, model: str, result: dict[str, Any]) -> None:
    """Write a result."""
    run = {"command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip()}
    run |= {"date": str(datetime.date.today()), "model": Path(model).name, **result, "machine": machine.describe()}
    target = HERE / "results" / f"serve-{what}-{Path(model).name}-{datetime.date.today()}.json"
    target.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(HERE.parent)}")


@contextmanager
def running(model: str, *options: str) -> Iterator[str]:
    """A server as a process. Gives its address, such as 127.0.0.1:8000."""
    command = [sys.executable, "-m", "chainrule", "serve", model, "--port", "0", *options]
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
    with running(arguments.model) as address:
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
    with running(arguments.model) as address:
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


if __name__ == "__main__":
    main()
