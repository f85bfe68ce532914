"""Checks of a checkpoint folder before transformers uses it: the files it may name and contain, and its settings."""

import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers as tf
from damaged import GGUF, INDEX, POINTER, sound
from opened import record_opened
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers.models.llama import modeling_llama

import chainrule
from chainrule import ModelError
from chainrule.models.bounds import bounded
from chainrule.models.damage import Extent, refusing

TEXT = "Hello world"
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "damaged_checkpoints.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model as `whole`, `shards` and `gguf`. Tests do not write to it."""
    root = tmp_path_factory.mktemp("sound")
    sound(root)
    return root


@pytest.fixture
def whole(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "whole", tmp_path / "model"))


@pytest.fixture
def shards(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "shards", tmp_path / "model"))


@pytest.fixture
def gguf(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(root / "gguf" / GGUF, tmp_path))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that Python opens in this thread from here on."""
    return _OPENED.setdefault(threading.get_ident(), [])


_OPENED: dict[int, list[str]] = {}
record_opened(lambda path: _OPENED.get(threading.get_ident(), []).append(path))


def refused(name: Path | str, match: str, **options: Any) -> str:
    with pytest.raises(ModelError, match=match) as caught:
        chainrule.load(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


# Files that may be named


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("pytorch_model.bin", r"'pytorch_model.bin' as weights, but only \.safetensors"),
        ("../outside/model.safetensors", "not a plain file name"),
        ("/dev/zero", "not a plain file name"),
        ("C:model.safetensors", "not a plain file name"),
        ("..", r"only \.safetensors"),
        ("", r"only \.safetensors"),
        (None, "names None as a file"),
        (7, "names 7 as a file"),
        (["model.safetensors"], "not a plain file name"),
        ("a\0b.safetensors", r"1 of its 4 weight files are missing, such as .*x00b"),
    ],
)
def test_an_index_may_only_name_safetensors_in_its_folder(shards: Path, root: Path, name: Any, match: str):
    shutil.copy(root / "outside" / "pytorch_model.bin", shards)
    index = json.loads((shards / INDEX).read_text())
    index["weight_map"]["lm_head.weight"] = name
    (shards / INDEX).write_text(json.dumps(index))
    refused(shards, match)
    assert not (root / "outside" / "ran").exists()


@pytest.mark.parametrize("name", ["../outside/model.safetensors", "adapter_model.bin", "/dev/zero", 3, "", []])
def test_a_config_may_only_name_safetensors_in_its_folder(whole: Path, name: Any):
    edit(whole / "config.json", transformers_weights=name)
    refused(whole, r"not a plain file name|only \.safetensors")


def test_weights_under_a_name_from_the_config(whole: Path):
    want = chainrule.load(whole).score(TEXT).logprob
    (whole / "model.safetensors").rename(whole / "other.safetensors")
    edit(whole / "config.json", transformers_weights="other.safetensors")
    assert chainrule.load(whole).score(TEXT).logprob == want


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"configuration_files": ["config.4.0.0.json"]}, "sets configuration_files"),
        ({"fusion_config": {"patch_embeddings": True}}, "sets fusion_config"),
        ({"attn_implementation": "kernels-community/flash-attn2"}, "code from the hub"),
        ({"_attn_implementation": {"text_config": "owner/name"}}, "code from the hub"),
        ({"text_config": {"attn_implementation": "owner/name"}}, "code from the hub"),
        ({"experts_implementation": "sonicmoe"}, "may be code from the hub"),
    ],
)
def test_config_keys_that_load_other_files_or_code(whole: Path, values: dict[str, Any], match: str):
    edit(whole / "config.json", **values)
    refused(whole, match)


@pytest.mark.parametrize("key", ["vocab_file", "merges", "sp_model_kwargs"])
def test_a_tokenizer_that_names_a_file_outside_the_folder(whole: Path, root: Path, key: str, monkeypatch: pytest.MonkeyPatch):
    name = str(root / "outside" / "tokenizer.json")
    edit(whole / "tokenizer_config.json", **{key: {"model_file": name} if key == "sp_model_kwargs" else name})
    refused(whole, "tokenizer_config.json names .* a file outside the folder")
    monkeypatch.chdir(root / "outside")
    edit(whole / "tokenizer_config.json", **{key: {"model_file": "config.json"} if key == "sp_model_kwargs" else "config.json"})
    refused(whole, "tokenizer_config.json names 'config.json'")


def test_a_tokenizer_may_name_a_missing_file(whole: Path):
    edit(whole / "tokenizer_config.json", vocab_file="/home/of/somebody/vocab.json", special_tokens_map_file="/etc/passwd")
    assert np.isfinite(chainrule.load(whole).score(TEXT).logprob)


def test_a_special_tokens_map_that_names_a_file_outside_the_folder(whole: Path, root: Path):
    """transformers reads this older file if the newer one has no added tokens, and its keys take precedence."""
    (whole / "special_tokens_map.json").write_text(json.dumps({"tokenizer_file": str(root / "outside" / "tokenizer.json")}))
    refused(whole, "special_tokens_map.json names .* as tokenizer_file, a file outside")


def test_tokenizer_versions_outside_the_folder(whole: Path):
    edit(whole / "tokenizer_config.json", fast_tokenizer_files=["../outside/tokenizer.4.0.0.json"])
    refused(whole, "not a plain file name")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "anything"])
def test_a_pipe_does_not_block(whole: Path, name: str):
    (whole / name).unlink(missing_ok=True)
    os.mkfifo(whole / name)
    refused(whole, f"{name} is a device or pipe, not a file")


def test_a_link_to_a_device(whole: Path):
    (whole / "model.safetensors").unlink()
    (whole / "model.safetensors").symlink_to("/dev/zero")
    refused(whole, "model.safetensors is a device or pipe")


def test_links_to_weights_elsewhere(shards: Path, root: Path):
    for file in shards.glob("*.safetensors"):
        file.unlink()
        file.symlink_to(root / "shards" / file.name)
    assert chainrule.load(shards).score(TEXT).logprob == chainrule.load(root / "shards").score(TEXT).logprob


@pytest.mark.parametrize("kind", ["whole", "shards", "gguf"])
def test_no_other_file_is_opened(root: Path, kind: str, opened: list[str], monkeypatch: pytest.MonkeyPatch):
    """Files in the working directory with the names of checkpoint files are not opened either."""
    monkeypatch.chdir(root / "outside")
    model = root / kind / GGUF if kind == "gguf" else root / kind
    chainrule.load(model)
    opened.clear()
    chainrule.load(model).score(TEXT)
    assert opened
    assert not [path for path in opened if os.path.abspath(path).startswith(str(root / "outside"))]


def test_a_gguf_file_is_not_confused_with_one_in_the_working_directory(root: Path, gguf: Path, monkeypatch):
    want = chainrule.load(gguf).score(TEXT).logprob
    other = gguf.parent / "other"
    other.mkdir()
    (other / GGUF).write_bytes(b"GGUF")
    monkeypatch.chdir(other)
    assert chainrule.load(gguf).score(TEXT).logprob == want


# Contents of the folder


@pytest.mark.parametrize("alone", [True, False])
def test_an_adapter(whole: Path, alone: bool):
    (whole / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base"}))
    (whole / "model.safetensors").rename(whole / "adapter_model.safetensors")
    if alone:
        (whole / "config.json").unlink()
    refused(whole, r"an adapter of the base model 'owner/base' \(adapter_config.json, .*merge_and_unload.*save_pretrained")


def test_an_unreadable_adapter_next_to_weights(whole: Path):
    (whole / "adapter_config.json").write_text("[")
    refused(whole, r"contains an adapter \(adapter_config.json\)")


def test_a_pointer_in_place_of_a_tokenizer(whole: Path):
    (whole / "tokenizer.json").write_bytes(POINTER)
    refused(whole, "tokenizer.json is a git-lfs pointer")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer_config.json"])
@pytest.mark.parametrize(("content", "match"), [(POINTER, "git-lfs pointer.*git lfs pull"), (b"", "is empty; download")])
def test_a_pointer_or_an_empty_file(whole: Path, name: str, content: bytes, match: str):
    (whole / name).write_bytes(content)
    refused(whole, f"cannot load .*: {name} is .*{match.split(' ', 1)[1] if match.startswith('is ') else match}")


def test_missing_shards_are_counted_and_named(shards: Path):
    for number in (1, 3):
        (shards / f"model-0000{number}-of-00004.safetensors").unlink()
    refused(shards, r"2 of its 4 weight files are missing, such as 'model-00001-of-00004.safetensors'")


def test_shards_without_an_index(shards: Path):
    (shards / INDEX).unlink()
    refused(shards, "neither model.safetensors nor model.safetensors.index.json")


@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": ["model.safetensors"]}', "{", "[" * 10**5])
def test_an_invalid_index(shards: Path, text: str):
    (shards / INDEX).write_text(text)
    refused(shards, f"{INDEX} (has no weight_map|is not a JSON object|is not valid JSON)")


@pytest.mark.parametrize("keep", [4, 100, 5000, -1])
def test_weights_cut_short(whole: Path, keep: int):
    file = whole / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(whole, r"model.safetensors is damaged or truncated \(.*; download the checkpoint again")


# Settings


@pytest.fixture
def built() -> Iterator[list[int]]:
    """The numbers of elements of the parameters that networks get from here on, those of the meta device included."""
    counts: list[int] = []
    hook = register_module_parameter_registration_hook(
        lambda _, __, added: counts.append(0 if added is None else added.numel())
    )
    yield counts
    hook.remove()


@pytest.mark.parametrize(
    "values",
    [
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 10**30},
        {"hidden_size": 10**9},
        {"vocab_size": 10**12},
        {"max_position_embeddings": 10**12},
        {"head_dim": 10**8},
        {"chunk_size": 60_000},
        {"vocab_size": 0},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": -1},
        {"hidden_size": "32"},
        {"hidden_size": None},
        {"num_attention_heads": 10**7},
        {"layer_types": [[[["full"]]]]},
        {"model_type": ["llama"]},
    ],
    ids=str,
)
def test_numbers_that_are_refused_before_a_network_is_built(whole: Path, built: list[int], values: dict[str, Any]):
    edit(whole / "config.json", **values)
    refused(whole, "its config says|its config is damaged|it is damaged, or not a model")
    assert not built


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": 10**5, "intermediate_size": 10**5},
        {"vocab_size": 10**6},
        {"intermediate_size": 10**7},
        {"model_type": "mixtral", "num_local_experts": 10**6},
    ],
    ids=str,
)
def test_the_first_weight_that_the_files_cannot_fill_ends_the_building(whole: Path, built: list[int], values: dict[str, Any]):
    edit(whole / "config.json", **values)
    message = refused(whole, r"its config asks for more numbers than its weights can fill \(over [\d,]+\)")
    most = int(message.split("(over ")[1].split(")")[0].replace(",", ""))
    assert sum(built[:-1]) <= most < sum(built)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"num_hidden_layers": 900}, "not a complete language model"),
        ({"model_type": "gpt2", "n_positions": 10**5}, "not a complete language model"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"rms_norm_eps": float("nan")}, "NaN"),
    ],
    ids=str,
)
def test_numbers_that_are_refused_later(whole: Path, values: dict[str, Any], match: str):
    edit(whole / "config.json", **values)
    refused(whole, match)


def test_a_deeply_nested_config(whole: Path):
    (whole / "config.json").write_text('{"model_type": "llama", "x": ' + "[" * 800 + "]" * 800 + "}")
    refused(whole, "cannot load")


@pytest.mark.parametrize(
    "build",
    [lambda: nn.ModuleList(nn.Identity() for _ in range(30_000)), lambda: nn.Linear(10_000, 10_000), lambda: Table(2**29)],
)
def test_the_size_of_a_network_is_limited_by_its_files(build: Callable[[], nn.Module]):
    too_large = pytest.raises(ValueError, match=r"asks for more .* than its weights can fill")
    with too_large, torch.device("meta"), bounded(Extent(10, 1000)):
        build()
    with torch.device("meta"):
        build()  # not limited outside the context manager


class Table(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.empty(size))


def test_networks_built_in_other_threads_are_not_counted():
    with bounded(Extent(1, 1)), torch.device("meta"):
        thread = threading.Thread(target=lambda: networks.append(nn.Linear(10_000, 10_000, device="meta")))
        networks: list[nn.Module] = []
        thread.start()
        thread.join()
    assert networks


def test_layers_that_share_their_weights(tmp_path: Path):
    """Twelve layers share the tensors of one."""
    config = tf.AlbertConfig(vocab_size=61, hidden_size=32, embedding_size=16, num_hidden_layers=12, num_attention_heads=4,
                             intermediate_size=48, cls_token_id=2, sep_token_id=3, mask_token_id=4)  # fmt: skip
    tf.AlbertForMaskedLM(config).save_pretrained(tmp_path)
    assert type(chainrule.load(tmp_path).model.lm).__name__ == "AlbertForMaskedLM"


# GGUF


@pytest.mark.parametrize(
    ("at", "form", "value", "match"),
    [
        (0, "<I", 7, "begins with"),
        (4, "<I", 99, "GGUF version 99"),
        (8, "<Q", 1 << 60, "declares 1,152,921,504,606,846,976 entries"),
        (16, "<Q", 1 << 60, "declares 1,152,921,504,606,846,976 entries"),
        (24, "<Q", 1 << 60, "declares 1,152,921,504,606,846,976 entries"),  # the length of the first key
    ],
)
def test_a_gguf_header_that_declares_more_than_the_file_contains(gguf: Path, at: int, form: str, value: int, match: str):
    data = bytearray(gguf.read_bytes())
    struct.pack_into(form, data, at, value)
    gguf.write_bytes(data)
    refused(gguf, f"cannot load .*{match}")


def test_a_gguf_tensor_larger_than_the_file(gguf: Path):
    data = bytearray(gguf.read_bytes())
    name = b"token_embd.weight"
    struct.pack_into("<Q", data, data.index(name) + len(name) + 4, 1 << 40)
    gguf.write_bytes(data)
    refused(gguf, "its header declares .* damaged or truncated")


def test_a_gguf_file_that_is_cut_short(gguf: Path):
    data = gguf.read_bytes()
    for keep in (3, 10, 30, 500, len(data) // 2, len(data) - 1000):
        gguf.write_bytes(data[:keep])
        refused(gguf, "damaged or truncated")


@pytest.mark.parametrize(("content", "match"), [(POINTER, "git-lfs pointer"), (b"", "is empty")])
def test_a_pointer_or_an_empty_gguf_file(gguf: Path, content: bytes, match: str):
    gguf.write_bytes(content)
    refused(gguf, match)


@pytest.mark.parametrize(("key", "value"), [("block_count", 255), ("embedding_length", 10**7), ("feed_forward_length", 10**7)])
def test_a_gguf_network_larger_than_its_tensors(gguf: Path, key: str, value: int):
    data = bytearray(gguf.read_bytes())
    name = f"llama.{key}".encode()
    struct.pack_into("<I", data, data.index(name) + len(name) + 4, value)
    gguf.write_bytes(data)
    refused(
        gguf,
        f"its config says llama.{key} = {value}, but with its weights it can be 2 at most"
        if value == 255
        else "its config asks",
    )


# The hub


@pytest.fixture
def hub(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A function that puts a model into the hub's cache, in the layout of its client, and returns its folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(name: str, kind: str) -> Path:
        cached, commit = tmp_path / "hub" / f"models--{name.replace('/', '--')}", "a" * 40
        for folder in ("refs", "blobs", f"snapshots/{commit}"):
            (cached / folder).mkdir(parents=True)
        (cached / "refs" / "main").write_text(commit)
        for file in (root / kind).iterdir():
            shutil.copy(file, cached / "blobs")
            (cached / "snapshots" / commit / file.name).symlink_to(Path("../../blobs") / file.name)
        return cached / "snapshots" / commit

    return put


@pytest.mark.parametrize("kind", ["whole", "shards"])
def test_a_model_in_the_cache_of_the_hub(hub: Callable[[str, str], Path], root: Path, kind: str):
    hub("owner/name", kind)
    lm = chainrule.load("owner/name")
    assert lm.model.name == "owner/name"
    assert lm.score(TEXT).logprob == chainrule.load(root / kind).score(TEXT).logprob


def test_a_model_of_the_hub_is_checked_like_any_other(hub: Callable[[str, str], Path]):
    folder = hub("owner/name", "shards")
    (folder / "model-00002-of-00004.safetensors").unlink()
    refused("owner/name", r"cannot load owner/name: 1 of its 4 weight files are missing, such as 'model-00002")
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).unlink()
    (folder / INDEX).write_text(json.dumps(index | {"weight_map": {"x": "../../../../outside/model.safetensors"}}))
    refused("owner/name", "cannot load owner/name: .*not a plain file name")
    (folder / "adapter_config.json").write_text("{}")
    (folder / "config.json").unlink()
    refused("owner/name", "cannot load owner/name: it contains an adapter")


def test_only_used_weights_are_downloaded_from_the_hub(monkeypatch: pytest.MonkeyPatch, root: Path):
    patterns = []

    def snapshot(name: str, **options: Any) -> str:
        patterns.append(options["allow_patterns"])
        return str(root / "shards")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr("chainrule.models.hub.unreachable", lambda: None)
    chainrule.load("owner/name")
    assert patterns[1:] == [[f"model-0000{number}-of-00004.safetensors" for number in range(1, 5)]]
    assert not any("safetensors" in pattern for pattern in patterns[0])


# Other failures


class Panic(BaseException):
    """An exception like those of Rust panics."""


@pytest.mark.parametrize(
    "error", [Panic("called `Option::unwrap()`\non a None"), MemoryError(), RecursionError("deep"), KeyError(3)]
)
def test_any_error_of_transformers_is_one_line(whole: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(modeling_llama.LlamaForCausalLM, "__init__", fail)
    refused(whole, "cannot load .*(damaged|not enough memory)")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_are_not_converted(interrupt: type[BaseException]):
    with pytest.raises(interrupt), refusing("it"):
        raise interrupt


def test_damaged_checkpoints_are_refused_or_scored():
    """A short form of benchmarks/damaged_checkpoints.py."""
    done = subprocess.run([sys.executable, BENCHMARK, "--each", "8"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| 8 |") >= 5
