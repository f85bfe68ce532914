"""Weights that processes map from one file: the bits of private ones, in shared pages, and only those of the same model."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from damaged import write_gguf
from further_models import FURTHER, SMALL, llama
from model_zoo import untouched
from safetensors.torch import load_file, save_file
from test_adapter import SETTINGS
from text_zoo import byte_level

import chainrule
from chainrule.loading import load_shared
from chainrule.models import conversion, load, mapped
from chainrule.models.adapter import CONFIG, WEIGHTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="which weights are mapped is read from /proc/self/maps")

IDS = [5, 9, 5, 33, 60, 17]
MAKERS: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "tied": lambda: llama(tie_word_embeddings=True),
    "experts": lambda: untouched(FURTHER["mixtral"][0]()),  # the network has them in one tensor, the checkpoint in several
    "masked": lambda: tf.BertForMaskedLM(
        tf.BertConfig(**SMALL, initializer_range=0.3, cls_token_id=1, sep_token_id=2, mask_token_id=3)
    ),
    "two streams": lambda: tf.XLNetLMHeadModel(tf.XLNetConfig(vocab_size=61, d_model=32, n_layer=2, n_head=4, d_inner=48)),
}


def saved(folder: Path, network: Any, dtype: torch.dtype = torch.bfloat16) -> Path:
    network.to(dtype).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama in bfloat16. Tests do not write to it."""
    return saved(tmp_path_factory.mktemp("model"), llama())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    return made


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each network that is built: whether of the tensors of a shared file."""
    made: list[bool] = []
    network = load._network

    def counted(*arguments: Any) -> Any:
        made.append(arguments[-1] is not None)
        return network(*arguments)

    monkeypatch.setattr(load, "_network", counted)
    return made


def tensors(lm: chainrule.LanguageModel) -> dict[str, torch.Tensor]:
    network = lm.model.lm
    return dict(network.named_parameters(remove_duplicate=False)) | dict(network.named_buffers(remove_duplicate=False))


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def mapped_from(file: Path, lm: chainrule.LanguageModel) -> set[str]:
    """The names of the parameters that lie in a mapping of the file."""
    spans = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(file))
    ]
    found = lm.model.lm.named_parameters()
    return {name for name, p in found if any(start <= p.data_ptr() < end for start, end in spans)}


def parameters(lm: chainrule.LanguageModel) -> set[str]:
    return {name for name, _ in lm.model.lm.named_parameters()}


def same(lm: chainrule.LanguageModel, want: chainrule.LanguageModel) -> bool:
    own, theirs = tensors(lm), tensors(want)
    assert own.keys() == theirs.keys()
    assert {name: x.dtype for name, x in own.items()} == {name: x.dtype for name, x in theirs.items()}
    return all(torch.equal(x, theirs[name]) for name, x in own.items()) and scores(lm) == scores(want)


def scores(lm: chainrule.LanguageModel) -> list[float]:
    return lm.score(IDS).logprobs.tolist()


@pytest.mark.parametrize("kind", MAKERS)
def test_the_bits_of_parameters_and_scores(folder: Path, tmp_path: Path, builds: list[bool], kind: str):
    made = saved(tmp_path / "model", MAKERS[kind]())
    private = chainrule.load(made)
    builds.clear()
    first, second = (load_shared(folder, made) for _ in range(2))
    [file] = files(folder)
    for lm in (first, second):
        assert same(lm, private)
        assert mapped_from(file, lm) >= {name for name, p in lm.model.lm.named_parameters() if p.nbytes % 64 == 0}
        assert all(p.data_ptr() % 64 == 0 and p.requires_grad for p in lm.model.lm.parameters())
    assert builds == [False, True]  # the second one has never had a copy of its own


@pytest.mark.parametrize(
    ("stored", "dtype"), [(torch.float32, "bfloat16"), (torch.bfloat16, "float64"), (torch.float32, "float16")]
)
def test_narrower_and_wider_weights(folder: Path, tmp_path: Path, stored: torch.dtype, dtype: str):
    made = saved(tmp_path / "model", llama(), stored)
    lm, again = (load_shared(folder, made, dtype=dtype) for _ in range(2))
    assert mapped_from(*files(folder), again) >= {name for name, p in lm.model.lm.named_parameters() if p.nbytes % 64 == 0}
    assert same(lm, private := chainrule.load(made, dtype=dtype))
    assert same(again, private)


def test_tied_weights_stay_tied(folder: Path, tmp_path: Path):
    made = saved(tmp_path / "model", MAKERS["tied"]())
    for _ in range(2):
        lm = load_shared(folder, made)
        table, head = (module.weight for module in lm.model.tables)
        assert table is head
        assert mapped_from(*files(folder), lm) == parameters(lm)
    with torch.no_grad():
        table[3, 4] = 77
    assert head[3, 4] == 77
    assert load_shared(folder, made).model.tables[1].weight[3, 4] != 77  # a write changes the own pages only


def test_separate_parameters_of_one_memory_stay_tied(folder: Path):
    lm = torch.nn.Module()
    lm.a = torch.nn.Linear(16, 16, bias=False)
    lm.b = torch.nn.Linear(16, 16, bias=False)
    lm.b.weight = torch.nn.Parameter(lm.a.weight.data)
    mapped._share(lm, folder / "key.safetensors")
    assert list(load_file(folder / "key.safetensors")) == ["a.weight"]
    assert lm.a.weight is not lm.b.weight
    assert lm.a.weight.data_ptr() == lm.b.weight.data_ptr()


def test_views_of_other_shapes_and_strides_stay_as_they_are(folder: Path):
    lm = torch.nn.Module()
    lm.plain = torch.nn.Parameter(torch.randn(8, 16))
    lm.transposed = torch.nn.Parameter(torch.randn(8, 16).T)
    lm.whole = torch.nn.Parameter(torch.randn(8, 16))
    lm.part = torch.nn.Parameter(lm.whole.data[:2])
    before = {name: p.data_ptr() for name, p in lm.named_parameters()}
    mapped._share(lm, folder / "key.safetensors")
    assert {name for name, p in lm.named_parameters() if p.data_ptr() != before[name]} == {"plain"}


def test_odd_sizes_come_last_and_are_aligned(folder: Path):
    sizes = {"a": (3,), "b": (64,), "c": (), "d": (5, 7), "e": (32, 2)}
    own = {name: torch.randn(size) for name, size in sizes.items()} | {"f": torch.tensor([True, False]), "g": torch.arange(8)}
    lm = torch.nn.Module()
    for name, x in own.items():
        lm.register_buffer(name, x.clone())
    mapped._share(lm, folder / "key.safetensors")
    assert all(torch.equal(x, own[name]) and x.data_ptr() % 64 == 0 for name, x in lm.named_buffers())
    stored = load_file(folder / "key.safetensors")
    assert stored.keys() == own.keys()
    assert all(torch.equal(stored[name], x) for name, x in own.items())


def test_weights_that_are_mapped_already_are_left(folder: Path, tmp_path: Path, builds: list[bool]):
    made = saved(tmp_path / "model", llama(), torch.float32)
    lm = load_shared(folder, made)
    assert files(folder) == []
    assert mapped_from(made / "model.safetensors", lm) == parameters(lm)
    assert builds == [False]


def test_a_gguf_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its conversion is mapped. Without a cache for it, the weights of the first process are."""
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5))
    want = chainrule.load(file)
    assert same(load_shared(folder, file), want)
    assert files(folder) == []

    def full(*_: Any) -> Path:
        raise conversion.NoCache("the disk is full")

    monkeypatch.setattr(conversion, "_kept", full)
    with pytest.warns(UserWarning, match="dequantised on every load"):
        first, second = (load_shared(folder, file) for _ in range(2))
    for lm in (first, second):
        assert same(lm, want)
        assert mapped_from(*files(folder), lm) == parameters(lm)


def test_a_model_in_memory_is_left(folder: Path):
    network = llama()
    assert load_shared(folder, network).model.lm is network
    assert os.listdir(folder) == []


def test_gradients_and_deep_copies(folder: Path, model: Path):
    lm = [load_shared(folder, model) for _ in range(2)][1].model.lm
    torch.nn.functional.linear(torch.ones(2, 32), lm.lm_head.weight).sum().backward()
    assert torch.equal(lm.lm_head.weight.grad, torch.full_like(lm.lm_head.weight, 2))


# Other models


def test_another_dtype_has_its_own_file(folder: Path, model: Path):
    one, two = load_shared(folder, model), load_shared(folder, model, dtype="float64")
    assert len(files(folder)) == 2
    assert same(one, chainrule.load(model))
    assert same(two, chainrule.load(model, dtype="float64"))


def test_another_model_of_the_same_shapes_has_its_own_file(folder: Path, tmp_path: Path, model: Path):
    other = Path(shutil.copytree(model, tmp_path / "other"))
    weights = load_file(other / "model.safetensors")
    weights["lm_head.weight"] *= 2
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    load_shared(folder, model)
    assert same(load_shared(folder, other), chainrule.load(other))
    assert len(files(folder)) == 2


def test_weights_or_a_config_that_change_have_their_own_file(folder: Path, tmp_path: Path, model: Path):
    own = Path(shutil.copytree(model, tmp_path / "own"))
    load_shared(folder, own)
    weights = load_file(own / "model.safetensors")
    weights["lm_head.weight"] *= 2
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    assert same(load_shared(folder, own), chainrule.load(own))
    config = own / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.5}))
    assert same(load_shared(folder, own), chainrule.load(own))
    assert len(files(folder)) == 3


def test_an_adapter_and_its_settings_have_their_own_file(folder: Path, tmp_path: Path, model: Path, builds: list[bool]):
    lora = tmp_path / "lora"
    lora.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file({f"{name}.lora_A.weight": torch.ones(4, 32), f"{name}.lora_B.weight": torch.randn(32, 4)}, lora / WEIGHTS)
    seen = [scores(load_shared(folder, model))]
    for alpha in (16, 8):
        (lora / CONFIG).write_text(json.dumps(SETTINGS | {"lora_alpha": alpha}))
        builds.clear()
        lm, again = (load_shared(folder, model, adapter=lora) for _ in range(2))
        assert builds == [False, True]
        assert same(lm, private := chainrule.load(model, adapter=lora))
        assert same(again, private)
        assert scores(lm) not in seen
        seen.append(scores(lm))
    assert len(files(folder)) == 3


def test_a_file_that_changes_while_it_is_read_is_not_shared(folder: Path, tmp_path: Path, model: Path, monkeypatch: Any):
    own = Path(shutil.copytree(model, tmp_path / "own"))
    network = load._network

    def changed(*arguments: Any) -> Any:
        os.utime(own / "model.safetensors", ns=(1, 1))
        return network(*arguments)

    monkeypatch.setattr(load, "_network", changed)
    assert same(load_shared(folder, own), chainrule.load(own))
    assert files(folder) == []


# Files that are not whole, or of others


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 64)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def of_another_key(file: Path) -> None:
    """A whole file with other weights of the same shapes, moved to this name."""
    weights = {name: x + 1 for name, x in load_file(file).items()}
    other = file.with_name(f"{'0' * 32}.safetensors")
    file.unlink()
    mapped._write(weights, other)
    other.rename(file)


def of_others(file: Path) -> None:
    save_file({name: x + 1 for name, x in load_file(file).items()}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("damage", [cut, emptied, of_another_key, of_others])
def test_a_damaged_or_foreign_file_is_replaced(folder: Path, model: Path, builds: list[bool], damage: Callable[[Path], None]):
    want = chainrule.load(model)
    load_shared(folder, model)
    whole = (file := files(folder)[0]).read_bytes()
    damage(file)
    builds.clear()
    assert same(load_shared(folder, model), want)
    assert builds == [False]
    assert file.read_bytes() == whole


@pytest.mark.parametrize("name", ["missing", "renamed", "another shape"])
def test_a_file_that_does_not_fit_is_not_used(folder: Path, model: Path, caplog: Any, name: str):
    load_shared(folder, model)
    [file] = files(folder)
    weights = load_file(file)
    head = weights.pop("lm_head.weight")
    if name != "missing":
        weights |= {"lm_head.other": head} if name == "renamed" else {"lm_head.weight": head[:-1].clone()}
    mapped._write(weights, file)
    lm = load_shared(folder, model)
    assert same(lm, chainrule.load(model))
    assert mapped_from(file, lm) == set()
    assert "does not fit the network" in caplog.text


def test_a_network_that_cannot_be_built_of_its_own_weights(folder: Path, model: Path, monkeypatch: Any):
    load_shared(folder, model)
    network = load._network

    def refusing(*arguments: Any) -> Any:
        if arguments[-1] is not None:
            raise ValueError("other names")
        return network(*arguments)

    monkeypatch.setattr(load, "_network", refusing)
    lm = load_shared(folder, model)
    assert mapped_from(*files(folder), lm) == parameters(lm)
    assert same(lm, chainrule.load(model))


def test_a_network_that_changes_the_tensors_it_is_made_of(folder: Path, model: Path, monkeypatch: Any):
    load_shared(folder, model)
    network = load._network

    def scaling(*arguments: Any) -> Any:
        lm = network(*arguments)
        lm.lm_head.weight.data *= 3
        return lm

    want = chainrule.load(model)
    monkeypatch.setattr(load, "_network", scaling)
    assert same(load_shared(folder, model), want)


# Failures


def test_a_full_disk(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped.ScratchFile, "_flush", full)
    with caplog.at_level(logging.WARNING, "chainrule"):
        assert same(load_shared(folder, model), chainrule.load(model))
    assert "No space left on device" in caplog.text
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("where", ["missing", "a file"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture, where: str):
    path = tmp_path / where
    if where == "a file":
        path.touch()
    assert same(load_shared(path, model), chainrule.load(model))
    assert "cannot be written" in caplog.text


def test_a_pipe_in_place_of_the_file(folder: Path, model: Path, caplog: pytest.LogCaptureFixture):
    load_shared(folder, model)
    [file] = files(folder)
    file.unlink()
    os.mkfifo(file)
    assert same(load_shared(folder, model), chainrule.load(model))
    assert "cannot be written" in caplog.text


def test_refused_weights_are_not_written(folder: Path, tmp_path: Path, model: Path):
    own = Path(shutil.copytree(model, tmp_path / "own"))
    weights = load_file(own / "model.safetensors")
    weights["lm_head.weight"][3, 5] = torch.nan
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(chainrule.ModelError, match="NaN in its weights"):
        load_shared(folder, own)
    assert files(folder) == []


def test_the_folder_may_be_removed_while_it_is_mapped(folder: Path, model: Path):
    lm = [load_shared(folder, model) for _ in range(2)][1]
    shutil.rmtree(folder)
    assert same(lm, chainrule.load(model))


# Several processes

WORKER = """
import sys
from pathlib import Path
from chainrule.loading import load_shared
print("ready", flush=True)
sys.stdin.readline()
lm = load_shared(*sys.argv[1:3])
print(lm.score([5, 9, 5, 33, 60, 17]).logprobs.tolist(), flush=True)
sys.stdin.readline()
print(repr(Path("/proc/self/smaps").read_text()), flush=True)
sys.stdin.readline()
"""


def workers(count: int, folder: Path, model: Path) -> list[subprocess.Popen]:
    command = [sys.executable, "-c", WORKER, str(folder), str(model)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    assert answers(started) == ["ready\n"] * count
    return started


def go_on(started: list[subprocess.Popen]) -> None:
    for worker in started:
        worker.stdin.write("\n")
        worker.stdin.flush()


def answers(started: list[subprocess.Popen]) -> list[str]:
    return [worker.stdout.readline() for worker in started]


def memory_of(smaps: str, file: Path) -> dict[str, int]:
    """The kilobytes of a process in mappings of the file, by kind."""
    total: dict[str, int] = {}
    name = ""
    for line in smaps.splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = line
        elif name.endswith(str(file)) and (found := re.match(r"(\w+): +(\d+) kB", line)):
            total[found[1]] = total.get(found[1], 0) + int(found[2])
    return total


def test_processes_that_start_at_once_write_one_file_and_share_its_pages(folder: Path, tmp_path: Path):
    made = saved(tmp_path / "model", llama(vocab_size=20_000, hidden_size=64))
    started = workers(3, folder, made)
    try:
        go_on(started)
        assert answers(started) == [f"{scores(chainrule.load(made))}\n"] * 3
        [file] = files(folder)
        go_on(started)
        for smaps in answers(started):
            memory = memory_of(ast.literal_eval(smaps), file)
            shared, private = (memory[f"{kind}_Clean"] + memory[f"{kind}_Dirty"] for kind in ("Shared", "Private"))
            assert shared > 0.95 * file.stat().st_size / 1024
            assert private < 0.02 * file.stat().st_size / 1024
    finally:
        for worker in started:
            worker.kill()
            worker.communicate()
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".safetensors"]


def test_only_one_process_at_a_time_builds_and_writes(folder: Path):
    """The lock, without the networks: the others see the file that the first one has written."""
    inside, most, file = [], [], folder / "key.safetensors"

    def take() -> None:
        with mapped._turn(folder / "key.lock"):
            inside.append(1)
            most.append(len(inside))
            if mapped._read(file) is None:
                mapped._write({"a": torch.zeros(16)}, file)
                written.append(1)
            inside.pop()

    written: list[int] = []
    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(written)) == (1, 1)
