"""LoRA adapters merged into their base model, against the network with the changed weights, and those that are refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from harness_models import write
from safetensors.torch import load_file, save_file

import chainrule
from chainrule import ModelError
from chainrule.models.adapter import CONFIG, WEIGHTS

IDS = [5, 9, 5, 33, 2, 60, 17]
PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
SETTINGS: dict[str, Any] = {  # of a plain adapter of peft
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 16, "bias": "none", "lora_dropout": 0.05,
    "fan_in_fan_out": False, "init_lora_weights": True, "target_modules": ["q_proj"], "base_model_name_or_path": "base",
    "inference_mode": True, "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {}, "use_dora": False,
    "use_rslora": False, "peft_version": "0.21.2", "loftq_config": {}, "layer_replication": None,
}  # fmt: skip


@pytest.fixture(scope="module", params=["llama, byte level", "gpt2, byte level, no start"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(request.param, tmp_path_factory.mktemp("base"))


def network(base: Path) -> Any:
    return tf.AutoModelForCausalLM.from_pretrained(base, dtype="float32").eval()


def adapted(folder: Path, base: Path, **settings: Any) -> dict[str, torch.Tensor]:
    """Write an adapter of two attention weights of the base model; returns its tensors."""
    torch.manual_seed(1)
    names = [name for name, _ in network(base).named_modules() if name.endswith(("q_proj", "o_proj", "c_attn"))]
    transposed, rank, tensors = "h.0" in names[0], 4, {}
    for name in names:
        rows, columns = network(base).get_submodule(name).weight.shape
        out, into = (columns, rows) if transposed else (rows, columns)
        tensors |= {PREFIX + name + A: torch.randn(rank, into), PREFIX + name + B: torch.randn(out, rank)}
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(SETTINGS | {"fan_in_fan_out": transposed} | settings))
    return tensors


def changed(base: Path, tensors: dict[str, torch.Tensor], scale: float) -> Any:
    """The network with W + s · B A, one number of the product at a time (in float64)."""
    own = network(base)
    for name, a in tensors.items():
        if name.endswith(A):
            b = tensors[name.removesuffix(A) + B]
            weight = own.get_submodule(name.removeprefix(PREFIX).removesuffix(A)).weight
            change = torch.einsum("or,ri->oi", b.double(), a.double()) * scale
            weight.data = (weight.double() + (change.T if "h.0" in name or "h.1" in name else change)).float()
    return own


@pytest.mark.parametrize(
    ("settings", "scale"), [({}, 4.0), ({"lora_alpha": 2}, 0.5), ({"use_rslora": True}, 16 / math.sqrt(4))]
)
def test_weights_with_an_adapter(base: Path, tmp_path: Path, settings: dict[str, Any], scale: float):
    tensors = adapted(tmp_path / "lora", base, **settings)
    lm, own = chainrule.load(base, adapter=tmp_path / "lora"), changed(base, tensors, scale)
    with torch.no_grad():
        want = own(torch.tensor([IDS])).logits[0].double().log_softmax(-1)[range(len(IDS) - 1), IDS[1:]]
    got = torch.from_numpy(lm.score(IDS, start="given").logprobs)
    assert (got - want).abs().max() < 1e-4
    assert (got - torch.from_numpy(chainrule.load(base).score(IDS, start="given").logprobs)).abs().max() > 0.1


def test_the_result_names_the_adapter(base: Path, tmp_path: Path):
    adapted(tmp_path / "lora", base)
    plain, lm = chainrule.load(base).model.identity, chainrule.load(base, adapter=tmp_path / "lora").model.identity
    assert lm.title == f"{plain.title} with the adapter lora"
    assert lm.revision != plain.revision
    adapted(tmp_path / "lora", base, lora_alpha=2)
    assert lm.revision is not None


def test_the_trunk_of_a_checkpoint_has_no_prefix(tmp_path: Path):
    """GPT-2's checkpoint on the hub names h.0.attn.c_attn.weight, without transformer."""
    base = write("gpt2, byte level, no start", tmp_path / "base")
    tensors = adapted(tmp_path / "lora", base)
    want = chainrule.load(base, adapter=tmp_path / "lora").score(IDS).logprobs.tolist()
    weights = load_file(base / "model.safetensors")
    save_file({name.removeprefix("transformer."): each for name, each in weights.items()}, base / "model.safetensors")
    assert chainrule.load(base, adapter=tmp_path / "lora").score(IDS).logprobs.tolist() == want
    assert tensors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "sets use_dora to True, which is not plain LoRA; merge it in peft: merge_and_unload"),
        ({"peft_type": "IA3"}, "sets peft_type to 'IA3'"),
        ({"modules_to_save": ["lm_head"]}, r"sets modules_to_save to \['lm_head'\]"),
        ({"rank_pattern": {"q_proj": 2}}, "sets rank_pattern to"),
        ({"init_lora_weights": "pissa"}, "sets init_lora_weights to 'pissa'"),
        ({"something_new": 1}, "sets something_new to 1"),
        ({"bias": "all"}, "sets bias to 'all'"),
        ({"r": 8}, "says r=8 and lora_alpha=16, but its tensors have rank 4"),
        ({"lora_alpha": "x"}, "lora_alpha='x'"),
    ],
)
def test_settings_that_are_refused(base: Path, tmp_path: Path, settings: dict[str, Any], message: str):
    adapted(tmp_path / "lora", base, **settings)
    with pytest.raises(ModelError, match=f"cannot load .*lora: .*{message}"):
        chainrule.load(base, adapter=tmp_path / "lora")


def test_tensors_that_are_refused(base: Path, tmp_path: Path):
    folder = tmp_path / "lora"
    tensors = adapted(folder, base)
    name = next(iter(tensors)).removesuffix(A)

    def refused(changes: dict[str, torch.Tensor | None], message: str) -> None:
        save_file({key: each for key, each in (tensors | changes).items() if each is not None}, folder / WEIGHTS)
        with pytest.raises(ModelError, match=message):
            chainrule.load(base, adapter=folder)

    refused({name + B: None}, "without its counterpart lora_B.weight")
    refused({name + A: None}, "without its counterpart lora_A.weight")
    refused({name + ".lora_embedding_A": torch.ones(2)}, "lora_embedding_A', which is not one of plain LoRA; merge it")
    refused({name + B: torch.randn(7, 4)}, r"of shape \(\d+, \d+\) by \(7, 4\) · \(4, 32\): it is an adapter of another model")
    refused({name + B: torch.randn(32, 3)}, "by a product of shapes")
    refused(
        {"base_model.model.model.x" + A: torch.ones(4, 4), "base_model.model.model.x" + B: torch.ones(4, 4)},
        "does not have|has no such weight",
    )
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"adapter_model.safetensors is damaged or truncated"):
        chainrule.load(base, adapter=folder)


def test_folders_that_are_refused(base: Path, tmp_path: Path):
    with pytest.raises(ModelError, match=r"^adapter='.*base.*' is not a folder with an adapter_config.json: download it"):
        chainrule.load(base, adapter=base)
    adapted(tmp_path / "lora", base)
    (tmp_path / "lora" / WEIGHTS).rename(tmp_path / "lora" / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"it has no adapter_model.safetensors; save it with save_pretrained"):
        chainrule.load(base, adapter=tmp_path / "lora")
    with pytest.raises(ModelError, match="adapter= is for models of files, but the model is in memory"):
        chainrule.load(network(base), adapter=tmp_path / "lora")


def test_an_adapter_of_tied_weights(tmp_path: Path):
    base = write("llama, byte level", tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    head = weights["lm_head.weight"]
    folder = tmp_path / "lora"
    adapted(folder, base)
    save_file(
        {f"{PREFIX}lm_head{A}": torch.ones(4, head.shape[1]), f"{PREFIX}lm_head{B}": torch.ones(head.shape[0], 4)},
        folder / WEIGHTS,
    )
    with pytest.raises(ModelError, match=r"'lm_head.weight', which .* shares with its embeddings; merge it in peft"):
        chainrule.load(base, adapter=folder)
    shutil.rmtree(folder)
