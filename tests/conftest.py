"""Fixtures of all tests. No test uses the network: models that are not on this disk are not found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
# One thread, here and in processes of the tests: tiny models finish before a second thread starts, and threads that wait for
# each other make two tests that run at once ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings
from text_zoo import byte_level
from tiny_llama import tiny_llama
from typer.testing import CliRunner

import chainrule
from chainrule import LanguageModel, TableModel
from chainrule.models import conversion, fingerprint
from chainrule.models.packaged import pulled
from chainrule.ops import findings
from chainrule.ops.library import build
from chainrule.program import app

DATA = Path(__file__).resolve().parent.parent / "benchmarks" / "data"

settings.register_profile("quick", deadline=None, max_examples=60)
settings.load_profile("quick")


# Their fixtures take minutes. First of all, so that they are not the last tests, which several processes share: each process
# would need the fixtures.
FIRST = ("test_real.py", "test_process_state.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)  # in their order otherwise


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, also after a test that has set another number."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def apart_from_the_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests add no conversions, digests and findings to the user's cache, and make all trials anew."""
    for module in (conversion, fingerprint, findings):
        monkeypatch.setattr(module, "FOLDER", str(tmp_path_factory.getbasetemp() / module.FOLDER))
    monkeypatch.setenv("CHAINRULE_PROBE", "always")


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own kernels only, as on a machine without a compiler."""
    monkeypatch.setattr(build, "status", lambda: build.Kernels(False, "left out"))


@pytest.fixture(params=["native", "plain"])
def kernels(request: pytest.FixtureRequest) -> str:
    """Runs a test with the compiled kernels, if there are any, and without."""
    if request.param == "plain":
        request.getfixturevalue("without_kernels")
    return request.param


@pytest.fixture
def abc() -> LanguageModel:
    """A table with three logits for each context."""
    return LanguageModel(TableModel(["A", "B", "C"], {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0], "C": [1, 2, 3]}))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder written by save_pretrained: a random Llama with a byte-level tokenizer and a context of 64."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    tiny_llama().save_pretrained(folder)
    byte_level().hf.save_pretrained(folder)
    return folder


@pytest.fixture
def command() -> Callable[..., tuple[int, str, str]]:
    """Run a command line; returns (exit code, standard output, standard error)."""

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> LanguageModel:
    return chainrule.load(tiny_folder)


@pytest.fixture(scope="session")
def real() -> LanguageModel:
    """SmolLM2-135M in float32."""
    if not pulled("smollm2-135m"):
        pytest.skip("the small real model has not been pulled: make model")
    return chainrule.load("smollm2-135m")


@pytest.fixture(scope="session")
def fortunes() -> list[str]:
    """500 short texts of Debian's fortunes."""
    lines = (DATA / "fortunes-500.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]
