"""chainrule serve as a process: from its start to its end, and the mistakes on its command line."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "from chainrule.program import main; main()", "serve", "--port", "0"]
LONG = {"prompt": ["Hello", "a", "b"], "max_tokens": 60, "ignore_eos": True, "seed": 0, "n": 128}


class Process:
    """A server, once it has started."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        own = os.environ | {"COLUMNS": "200"} | variables
        self.process = subprocess.Popen([*PROGRAM, *arguments], stderr=subprocess.PIPE, text=True, env=own)
        self.said: list[str] = []
        while not self.said or " at http://" not in self.said[-1]:
            assert self.process.stderr is not None
            self.said.append(self.process.stderr.readline())
            assert self.said[-1], self.said
        self.address = self.said[-1].rpartition("http://")[2].strip()
        self.page = self.process.stderr.readline()

    def post(self, path: str, body: object, **headers: str) -> tuple[int, dict]:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"} | headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())

    def metrics(self) -> str:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


@contextmanager
def process(*arguments: str, **variables: str) -> Iterator[Process]:
    own = Process(*arguments, **variables)
    try:
        yield own
    finally:
        own.process.kill()
        own.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_the_requests_in_hand(tiny_folder: Path, number: int):
    with process(str(tiny_folder)) as own:
        assert own.said[-1] == f"chainrule: serving {tiny_folder.name} at http://{own.address}\n"
        assert own.page == f"chainrule: the page for a browser is http://{own.address}/\n"
        assert own.address.startswith("127.0.0.1:")
        replies: list[tuple[int, dict]] = []
        thread = threading.Thread(target=lambda: replies.append(own.post("/v1/completions", LONG)))
        thread.start()
        until = time.monotonic() + 30
        while re.search(r"^chainrule_generating_requests [1-9]", own.metrics(), re.M) is None:
            assert time.monotonic() < until
        own.process.send_signal(number)
        thread.join()
        assert own.process.wait(60) == 0
        assert [status for status, _ in replies] == [200]
        assert len(replies[0][1]["choices"]) == 3 * 128
        assert own.process.stderr is not None
        assert own.process.stderr.read() == "chainrule: stopped\n"
        with pytest.raises(ConnectionRefusedError):
            own.post("/v1/completions", LONG)


def test_several_models_a_key_of_the_environment_and_lines_of_requests(tiny_folder: Path):
    names = ("--model", f"base={tiny_folder}", "--model", f"tuned={tiny_folder}", "--log-requests")
    with process(*names, CHAINRULE_API_KEY="secret") as own:
        body = {"prompt": "Hello", "max_tokens": 1, "model": "tuned"}
        assert own.post("/v1/completions", body)[0] == 401
        assert own.post("/v1/completions", body, Authorization="Bearer secret")[1]["model"] == "tuned"
        own.process.terminate()
        assert own.process.wait(60) == 0
        assert own.process.stderr is not None
        lines = own.process.stderr.read().splitlines()
        assert [" ".join(line.split(" ")[:4]) for line in lines[:2]] == [
            "chainrule: POST /v1/completions 401", "chainrule: POST /v1/completions 200",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "256.0.0.1"], "there is no address '256.0.0.1' on this machine"),
        (["--model", "=x"], "--model takes a model, or NAME=MODEL, not '=x'"),
        (["--model", "x="], "--model takes a model, or NAME=MODEL, not 'x='"),
        (
            ["--model", "a={folder}", "--model", "a={folder}"],
            "two models have the name a: give one of them another, as in --model other=",
        ),
        (["--api-key", " "], "--api-key is empty: give a key, or leave it out"),
        (["--timeout", "0"], "--timeout"),
        (["/nowhere/model"], "/nowhere/model"),
    ],
)
def test_mistakes(command: Callable[..., tuple[int, str, str]], tiny_folder: Path, arguments: list[str], message: str):
    named = [argument.replace("{folder}", str(tiny_folder)) for argument in arguments]
    if not any("model" in argument for argument in arguments):
        named.append(str(tiny_folder))
    code, out, err = command("serve", *named)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        ([], [200, 403, 403]),
        (["--allow-host", "proxy.example", "--cors", "https://own.example"], [200, 200, 403]),
        (["--cors", "https://proxy.example:8443"], [200, 200, 403]),
        (["--api-key", "k"], [200, 200, 200]),
        (["--host", "0.0.0.0"], [200, 200, 200]),
    ],
    ids=str,
)
def test_names_that_lead_to_this_machine(tiny_folder: Path, arguments: list[str], statuses: list[int]):
    with process(str(tiny_folder), *arguments) as own:
        own.address = own.address.replace("0.0.0.0", "127.0.0.1")
        headers = [{}, {"Host": "proxy.example"}, {"Host": "evil.example"}]
        body, key = {"section": "text", "text": "a"}, {"Authorization": "Bearer k"}
        assert [own.post("/page", body, **key, **each)[0] for each in headers] == statuses


def test_a_port_in_use(command: Callable[..., tuple[int, str, str]], tiny_folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = command("serve", str(tiny_folder), "--port", str(port))
    assert code == 2
    assert err == f"chainrule: port {port} of 127.0.0.1 cannot be used (Address already in use): choose another with --port\n"


def test_a_masked_model_is_refused(command: Callable[..., tuple[int, str, str]], tmp_path: Path):
    import transformers as tf
    from masked_zoo import strong
    from text_zoo import wordpiece

    tokenizer = wordpiece()
    config = tf.BertConfig(vocab_size=tokenizer.size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=24, max_position_embeddings=32)  # fmt: skip
    strong(tf.BertForMaskedLM(config)).save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    code, _, err = command("serve", str(tmp_path), "--port", "0")
    assert (code, err) == (2, f"chainrule: {tmp_path.name} does not predict from left to right, so it cannot be served\n")


def test_without_the_extra(command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = command("serve", "x")
    assert code == 2
    assert err == "chainrule: chainrule serve needs fastapi, which is not installed; run: pip install 'chainrule[serve]'\n"
