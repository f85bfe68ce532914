"""The server under load: the bytes of one request at a time, whoever else asks; and clients that go, dawdle or know no key."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness_models import write
from random_requests import Asked, Requests
from served import serving
from text_zoo import CORPUS

import chainrule
from chainrule import LanguageModel
from chainrule.serving import guard, server
from chainrule.serving.limits import Limits
from chainrule.serving.server import listening_socket

BODY = json.dumps({"prompt": "Hello world", "echo": True, "logprobs": 1, "max_tokens": 0}).encode()
LONG = json.dumps({"prompt": "Hello", "max_tokens": 60, "ignore_eos": True, "temperature": 0}).encode()


def send(address: str, asked: Asked | tuple[str, bytes], **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    path, body, *accept = asked
    more = {"Accept": accept[0]} if accept else {}
    connection.request("POST", path, body, {"Content-Type": "application/json"} | more | headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def by_threads(address: str, asked: Sequence[Asked], threads: int) -> list[tuple[int, bytes]]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda each: send(address, each), asked))


def connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head(length: int) -> bytes:
    lines = ("POST /v1/completions HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}", "", "")
    return "\r\n".join(lines).encode()


def metric(address: str, name: str) -> float:
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"chainrule_{name} "))


def test_replies_under_load_have_the_bytes_of_one_at_a_time(tiny: LanguageModel):
    source = Requests(0, [text[:40] for text in CORPUS], tiny.model.head.size, longest=12)
    asked = [source.next() for _ in range(300)]
    with serving({"tiny": tiny}) as address:
        alone = [send(address, each) for each in asked]
        together = by_threads(address, asked[::-1], 16)[::-1]
        assert metric(address, "batch_requests_sum") > metric(address, "batch_requests_count")  # some were gathered
    assert together == alone
    assert {status for status, _ in alone} <= {200, 400}


def test_prefixes_of_earlier_requests_are_reused_with_the_same_bytes(tmp_path: Path):
    lm = chainrule.load(write("llama, byte level", tmp_path))
    shared = [5 + i % 90 for i in range(80)]
    how = {"echo": True, "max_tokens": 1, "temperature": 0}
    bodies = [json.dumps(how | {"prompt": [*shared, i], "logprobs": 1 + i % 2}) for i in range(6)]
    replies = []
    for memory in (0, 1 << 24):
        with serving({"tiny": lm}, Limits(prefix_memory=memory)) as address:
            sent = [send(address, ("/v1/completions", body.encode())) for body in bodies]
            replies.append([json.loads(body)["choices"] for _, body in sent])
            assert (metric(address, "reused_contexts") > 3 * 80) == (memory > 0)
            assert (metric(address, "prefix_bytes") > 0) == (memory > 0)
    assert replies[0] == replies[1]
    assert lm.prefix_cache.memory == 0  # as it was before


def test_a_key_is_needed_where_one_is_set(tiny: LanguageModel):
    with serving({"tiny": tiny}, api_key="secret") as address:
        asked = ("/v1/completions", BODY)
        keys = ("Bearer secret", "bearer secret", "Bearer wrong", "secret", "")
        assert [send(address, asked, Authorization=key)[0] for key in keys] == [200, 200, 401, 401, 401]
        status, body = send(address, asked)
        assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200


def test_web_pages_of_other_origins_need_to_be_admitted(tiny: LanguageModel):
    def allowed(address: str) -> str | None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        connection.request(
            "OPTIONS", "/v1/completions", headers={"Origin": "https://a.org", "Access-Control-Request-Method": "POST"}
        )
        return connection.getresponse().getheader("Access-Control-Allow-Origin")

    with serving({"tiny": tiny}) as address:
        assert allowed(address) is None
    with serving({"tiny": tiny}, origins=["https://a.org"], api_key="secret") as address:
        assert allowed(address) == "https://a.org"


def test_a_client_that_goes_stops_costing(tiny: LanguageModel):
    with serving({"tiny": tiny}) as address:
        connection = connect(address)
        connection.sendall(head(len(LONG)) + LONG)
        wait_until(lambda: metric(address, "generated_tokens_total") > 0)
        connection.close()
        wait_until(lambda: metric(address, "generating_requests") == 0)
        assert metric(address, "generated_tokens_total") < 60
        stream = json.dumps(json.loads(LONG) | {"stream": True}).encode()
        connection = connect(address)
        connection.sendall(head(len(stream)) + stream)
        connection.recv(100)
        connection.close()
        wait_until(lambda: metric(address, "generating_requests") == 0)
        assert metric(address, "generated_tokens_total") < 120


def wait_until(condition: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_request_that_takes_too_long_is_given_up(tiny: LanguageModel):
    with serving({"tiny": tiny}, Limits(seconds=0.05)) as address:
        many = json.dumps({"prompt": "Hello", "max_tokens": 60, "n": 100, "ignore_eos": True}).encode()
        status, body = send(address, ("/v1/completions", many))
        assert (status, json.loads(body)["error"]["code"]) == (504, "timeout")
        wait_until(lambda: metric(address, "generating_requests") == 0)


def test_a_full_queue_says_when_to_try_again(tiny: LanguageModel):
    with serving({"tiny": tiny}, Limits(waiting=1)) as address:
        many = json.dumps({"prompt": ["Hello"] * 60, "max_tokens": 60, "n": 8, "ignore_eos": True}).encode()
        with connect(address) as first:
            first.sendall(head(len(many)) + many)
            wait_until(lambda: metric(address, "waiting_requests") > 1)  # more are not generated at once
            connection = http.client.HTTPConnection(address.removeprefix("http://"))
            connection.request("POST", "/v1/completions", BODY, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            assert (reply.status, reply.getheader("Retry-After")) == (429, "1")
            assert json.loads(reply.read())["error"]["code"] == "queue_full"
        wait_until(lambda: send(address, ("/v1/completions", BODY))[0] == 200)


def test_bodies_of_all_requests_have_a_limit(tiny: LanguageModel):
    with serving({"tiny": tiny}, Limits(bodies=3000)) as address:
        held = [connect(address) for _ in range(3)]
        for each in held[:2]:
            each.sendall(head(2000) + b" " * 1400)
        wait_until(lambda: send(address, ("/v1/completions", BODY + b" " * 1000))[0] == 429)
        for each in held:
            each.close()
        wait_until(lambda: send(address, ("/v1/completions", BODY + b" " * 1000))[0] == 200)


def test_slow_and_silent_clients_are_closed(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    with serving({"tiny": tiny}) as address:
        silent, slow, half = (connect(address) for _ in range(3))
        slow.sendall(head(100) + b'{"prompt"')
        half.sendall(head(100) + b'{"prompt"')
        half.shutdown(socket.SHUT_WR)
        assert send(address, ("/v1/completions", BODY))[0] == 200
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        with suppress(ConnectionResetError):
            assert silent.recv(100) == b""
        assert send(address, ("/v1/completions", BODY))[0] == 200


def test_connections_beyond_the_limit_are_closed(tiny: LanguageModel):
    with serving({"tiny": tiny}, Limits(connections=3)) as address:
        held = [connect(address) for _ in range(3)]
        wait_until(lambda: _refused(address))
        for each in held:
            each.close()
        wait_until(lambda: not _refused(address))


def _refused(address: str) -> bool:
    try:
        return send(address, ("/v1/completions", BODY))[0] != 200
    except (ConnectionError, http.client.HTTPException):
        return True


def test_a_large_body_is_refused_before_it_has_come(tiny: LanguageModel):
    with serving({"tiny": tiny}, Limits(body=1000)) as address:
        connection = connect(address)
        connection.sendall(head(1 << 30))
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
        chunked = connect(address)
        chunked.sendall(
            head(1).replace(b"Content-Length: 1", b"Transfer-Encoding: chunked") + b"5dc\r\n" + b" " * 1500 + b"\r\n"
        )
        assert chunked.recv(100).startswith(b"HTTP/1.1 413")


def test_small_replies_are_not_held_back_by_the_system():
    with listening_socket("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP  # which asyncio asks for before it turns Nagle's algorithm off


def test_stopping_finishes_the_requests_in_hand(tiny: LanguageModel):
    replies: list[tuple[int, bytes]] = []
    with serving({"tiny": tiny}) as address:
        threads = [threading.Thread(target=lambda: replies.append(send(address, ("/v1/completions", LONG)))) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: metric(address, "generating_requests") > 0)
    for thread in threads:
        thread.join()
    assert len(replies) == 4
    assert {status for status, _ in replies} == {200}
