"""Applications for tests, called in this process without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_api import Api
from starlette.testclient import TestClient

import chainrule
from chainrule import LanguageModel
from chainrule.serving.app import create_app


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> LanguageModel:
    """A model of these tests alone, since a server keeps prefixes."""
    return chainrule.load(tiny_folder)


@pytest.fixture(scope="session")
def api(tiny: LanguageModel) -> Iterator[Api]:
    """A tiny network with a byte-level tokenizer, served as "tiny"."""
    with TestClient(create_app({"tiny": tiny})) as client:
        yield Api(client)


@pytest.fixture
def table(abc: LanguageModel) -> Iterator[Api]:
    """A table of three tokens, served as "table"."""
    with TestClient(create_app({"table": abc})) as client:
        yield Api(client)
