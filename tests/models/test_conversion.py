"""Conversions of .gguf files: made once, with the same bits as direct loading, and never used if damaged."""

import json
import logging
import os
import shutil
import warnings
from pathlib import Path
from threading import Thread

import pytest
import torch
from damaged import write_gguf
from further_models import llama
from text_zoo import byte_level

import chainrule
from chainrule import ModelError
from chainrule.models import conversion
from chainrule.models.conversion import converted
from chainrule.models.instantiate import read_gguf
from chainrule.text.tokenizer import Tokenizer

TEXT = "Hello world, how are you?"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(conversion, "FOLDER", "conversions")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(file, llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5))
    return file


@pytest.fixture
def file(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "tiny.gguf"))


def full(*_: Path) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The dtypes of the conversions that were made."""
    made, convert = [], conversion.convert

    def counted(file: Path, dtype: str, target: Path) -> Path:
        made.append(dtype)
        return convert(file, dtype, target)

    monkeypatch.setattr(conversion, "convert", counted)
    return made


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_the_bits_are_those_of_direct_loading(cache: Path, file: Path, conversions: list[str], dtype: str):
    direct, tokenizer = read_gguf(file, dtype), Tokenizer.load(str(file.parent), gguf_file=file.name)
    for _ in range(2):
        lm = chainrule.load(file, dtype=dtype)
        got = lm.model.lm
        for kind in ("named_parameters", "named_buffers"):
            own, theirs = dict(getattr(direct, kind)()), dict(getattr(got, kind)())
            assert own.keys() == theirs.keys()
            assert all(torch.equal(own[name], theirs[name]) for name in own)
        assert (got.name_or_path, lm.model.name) == ("tiny", str(file))
        assert lm.tokenizer._backend.to_str() == tokenizer._backend.to_str()
        assert lm.tokenizer.special_ids == tokenizer.special_ids
        want = chainrule.LanguageModel(type(lm.model)(direct, "direct"), tokenizer).score(TEXT)
        assert lm.score(TEXT).logprobs.tolist() == want.logprobs.tolist()
    assert conversions == [dtype]
    assert len(os.listdir(cache / "conversions")) == 1


def test_a_changed_file_another_dtype_and_another_version_are_converted_again(
    cache: Path, file: Path, conversions: list[str], monkeypatch: pytest.MonkeyPatch
):
    folders = {converted(file, "float32"), converted(file, "float32"), converted(file, "bfloat16")}
    monkeypatch.setattr(conversion, "_versions", lambda: {"transformers": "6.0"})
    folders.add(converted(file, "float32"))
    write_gguf(file, llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=2e-5))
    folders.add(converted(file, "float32"))
    assert len(folders) == len(conversions) == 4
    moved = file.rename(file.with_name("moved.gguf"))
    assert converted(moved, "float32") in folders


@pytest.mark.parametrize("harm", ["a bit", "cut", "without tokenizer", "an extra file", "without origin", "another origin"])
def test_a_damaged_conversion_is_made_again(cache: Path, file: Path, conversions: list[str], harm: str):
    folder = converted(file, "float32")
    weights = folder / "model.safetensors"
    if harm == "a bit":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif harm == "cut":
        os.truncate(weights, weights.stat().st_size - 1)
    elif harm == "without tokenizer":
        (folder / "tokenizer.json").unlink()
    elif harm == "an extra file":
        (folder / "adapter_config.json").write_text("{}")
    elif harm == "without origin":
        (folder / "made.json").unlink()
    else:
        (folder / "made.json").write_text(json.dumps({"digest": "sha256:0"}))
    assert converted(file, "float32") == folder
    assert conversions == ["float32"] * 2
    assert converted(file, "float32") == folder
    assert conversions == ["float32"] * 2
    assert os.listdir(cache / "conversions") == [folder.name]


def test_an_interrupted_conversion_leaves_nothing(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch):
    convert = conversion.convert

    def interrupted(*arguments) -> Path:
        convert(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        converted(file, "float32")
    assert os.listdir(cache / "conversions") == []


def test_two_at_once_give_one_conversion(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch):
    convert, other = conversion.convert, []

    def while_another_converts(*arguments) -> Path:
        monkeypatch.setattr(conversion, "convert", convert)
        thread = Thread(target=lambda: other.append(converted(file, "float32")))
        thread.start()
        thread.join()
        inodes.append((other[0] / "model.safetensors").stat().st_ino)
        return convert(*arguments)

    inodes: list[int] = []
    monkeypatch.setattr(conversion, "convert", while_another_converts)
    folder = converted(file, "float32")
    assert folder == other[0]
    assert (folder / "model.safetensors").stat().st_ino == inodes[0]
    assert os.listdir(cache / "conversions") == [folder.name]


@pytest.mark.parametrize("reason", ["in the way", "no home", "disk is full", "little space"])
def test_without_a_cache_it_is_loaded_directly(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, reason: str):
    if reason == "in the way":
        cache.write_text("a file")
    elif reason == "no home":
        monkeypatch.setenv("CHAINRULE_CACHE", "~nobody-of-this-name/cache")
    elif reason == "disk is full":
        monkeypatch.setattr(
            "transformers.PreTrainedModel.save_pretrained", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
        )
    else:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.warns(UserWarning, match=r"tiny\.gguf is dequantised on every load, since its conversion cannot be kept: "):
        lm = chainrule.load(file)
    monkeypatch.undo()
    monkeypatch.setattr(conversion, "FOLDER", "conversions")
    monkeypatch.setenv("CHAINRULE_CACHE", str(file.parent / "other"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lm.score(TEXT).logprobs.tolist() == chainrule.load(file).score(TEXT).logprobs.tolist()


def test_the_first_conversion_is_announced(cache: Path, file: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "chainrule"):
        converted(file, "float32")
        converted(file, "float32")
    (message,) = caplog.messages
    assert message.startswith("converting tiny.gguf, once (about 1 s, ")


def test_a_damaged_gguf_file_is_refused_as_before(cache: Path, file: Path):
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(ModelError, match="damaged or truncated"):
        chainrule.load(file)
    assert not (cache / "conversions").exists() or os.listdir(cache / "conversions") == []


def test_the_last_use_is_recorded(cache: Path, file: Path):
    made = converted(file, "float32") / "made.json"
    os.utime(made, (1, 1))
    converted(file, "float32")
    assert made.stat().st_mtime > 1
