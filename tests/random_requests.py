"""Random requests to a server, of all kinds, valid and not: the same for a seed. Many share beginnings."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

ARROW = "application/vnd.apache.arrow.stream"


class Asked(NamedTuple):
    """One request."""

    path: str
    body: bytes
    accept: str = "application/json"


class Requests:
    """A source of requests. texts: of which beginnings and ends are taken; vocab: the ids are below it."""

    def __init__(self, seed: int, texts: Sequence[str], vocab: int, longest: int = 24) -> None:
        self._random, self._texts, self._vocab, self._longest = random.Random(seed), list(texts), vocab, longest
        self._ids = [[self._id() for _ in range(self._longest)] for _ in range(4)]

    def next(self) -> Asked:
        """One request."""
        kind = self._random.choices(list(self._KINDS), [weight for _, weight in self._KINDS.values()])[0]
        path, body = self._KINDS[kind][0](self)
        accept = ARROW if kind == "arrow" else "application/json"
        return Asked(path, json.dumps(body).encode(), accept)

    def _id(self) -> int:
        return self._random.randrange(self._vocab)

    def _text(self) -> str:
        text = self._random.choice(self._texts)
        words = text.split(" ")
        cut = self._random.randint(1, min(len(words), self._longest))
        return " ".join(words[:cut]) + self._random.choice(["", "", ".", " and", "é", " 🙂", "\n"])

    def _some_ids(self) -> list[int]:
        ids = self._random.choice(self._ids)
        return ids[: self._random.randint(1, len(ids))] + [self._id() for _ in range(self._random.randint(0, 3))]

    def _prompt(self) -> Any:
        match self._random.randrange(5):
            case 0:
                return self._some_ids()
            case 1:
                return [self._some_ids() for _ in range(self._random.randint(1, 3))]
            case 2:
                return [self._text() for _ in range(self._random.randint(1, 3))]
        return self._text()

    def _echo(self) -> tuple[str, Any]:
        more = {"prompt_logprobs": self._random.randint(0, 2)} if self._random.random() < 0.2 else {}
        return "/v1/completions", {
            "prompt": self._prompt(), "echo": True, "logprobs": self._random.choice([0, 1, 1, 1, 2, 5]),
            "max_tokens": self._random.randint(0, 1), "temperature": 0, "seed": 0, **more,
        }  # fmt: skip

    def _generate(self) -> tuple[str, Any]:
        body = {
            "prompt": self._prompt(),
            "max_tokens": self._random.randint(1, 4),
            "temperature": self._random.choice([0, 0.7, 1]),
        }
        body |= {"seed": self._random.randrange(1000), "n": self._random.choice([1, 1, 1, 2])}
        if self._random.random() < 0.3:
            body |= {"logprobs": self._random.randint(0, 2)}
        if self._random.random() < 0.3:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self._random.random() < 0.3:
            body |= {"stop": self._random.choice([" ", ["e", "."], ["\n\n"]]), "top_p": 0.9}
        return "/v1/completions", body

    def _chat(self) -> tuple[str, Any]:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": self._text()}], "max_tokens": 2, "seed": 1}
        if self._random.random() < 0.5:
            body |= {"logprobs": True, "top_logprobs": 2}
        if self._random.random() < 0.3:
            body |= {"prompt_logprobs": 1, "stream": self._random.random() < 0.5}
        return "/v1/chat/completions", body

    def _score(self) -> tuple[str, Any]:
        ids = self._random.random() < 0.5
        make = self._some_ids if ids else self._text
        return "/v1/score", {
            "query": make(), "items": [make() for _ in range(self._random.randint(1, 3))],
            "label_token_ids": [self._id() for _ in range(self._random.randint(1, 3))],
            "apply_softmax": self._random.random() < 0.5, "item_first": self._random.random() < 0.5,
        }  # fmt: skip

    def _logprobs(self) -> tuple[str, Any]:
        body: dict[str, Any] = {"input": self._prompt(), "top": self._random.choice([0, 0, 1, 3])}
        more = {"start": self._random.choice(["auto", "given", self._id()]), "spans": True, "last_n": 2, "temperature": 0.5}
        body |= {name: value for name, value in more.items() if self._random.random() < 0.25}
        return "/v1/logprobs", body

    def _wrong(self) -> tuple[str, Any]:
        path, body = self._random.choice([self._echo, self._score, self._logprobs])()
        name = self._random.choice([*sorted(body.keys() - {"seed"}), "unknown"])  # without a seed, texts differ
        return path, body | {name: self._random.choice([None, -1, "x", [], {}, [[]], 1e9, [self._vocab], True])}

    _KINDS = {  # noqa: RUF012 (never written to)
        "echo": (_echo, 10),
        "generate": (_generate, 3),
        "chat": (_chat, 1),
        "score": (_score, 2),
        "logprobs": (_logprobs, 3),
        "arrow": (_logprobs, 1),
        "tokenize": (lambda self: ("/tokenize", {"prompt": self._text()}), 1),
        "wrong": (_wrong, 2),
    }
