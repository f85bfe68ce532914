"""Requests to applications, which are called in this process without a socket."""

from __future__ import annotations

import json
from typing import Any

from starlette.testclient import TestClient


class Api:
    """Requests to an application."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def post(self, path: str, **body: Any) -> Any:
        """The reply, which must be a success."""
        reply = self.client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def error(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """The status and the error of a reply."""
        reply = self.client.post(path, json=body)
        assert list(reply.json()) == ["error"]
        assert list(reply.json()["error"]) == ["message", "type", "param", "code"]
        return reply.status_code, reply.json()["error"]

    def events(self, path: str, **body: Any) -> list[Any]:
        """The events of a stream, without the last, which is the end."""
        text = self.client.post(path, json=body | {"stream": True}).text
        parts = text.split("\n\n")
        assert parts[-2:] == ["data: [DONE]", ""]
        assert all(part.startswith("data: ") for part in parts[:-1])
        return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]
