"""What a model says of itself: its title, the revision and quantisation of its weights, and its dtype."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers as tf
from damaged import write_gguf
from safetensors.torch import load_file, save_file
from text_zoo import byte_level
from tiny_llama import tiny_llama

import chainrule
from chainrule import LanguageModel, TableModel
from chainrule.models.causal import PretrainedModel
from chainrule.models.identify import identify
from chainrule.models.identity import Identity, identity_of
from chainrule.models.packaged import PACKAGED

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "my-model"))


def sha256(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_a_folder_has_the_digest_of_its_weights(folder: Path):
    known = chainrule.load(folder).model.identity
    assert (known.name, known.title, known.dtype) == (str(folder), "my-model", "float32")
    assert (known.weights, known.revision) == ("my-model", sha256(folder / WEIGHTS))
    assert known.to_dict() == {
        "model": str(folder),
        "weights": "my-model",
        "revision": known.revision,
        "dtype": "float32",
        "chainrule": known.chainrule,
    }


def test_a_changed_weight_has_another_digest(folder: Path):
    before = identify("m", folder, torch.float32).revision
    tensors = load_file(folder / WEIGHTS)
    name = min(tensors)
    tensors[name].flatten()[0] += 1
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    after = identify("m", folder, torch.float32).revision
    assert before != after == sha256(folder / WEIGHTS)


def test_a_file_that_changed_after_it_was_loaded_has_no_digest(folder: Path):
    replaced, removed = (identify("m", folder, torch.float32) for _ in range(2))
    os.utime(folder / WEIGHTS, ns=(1, 1))
    assert replaced.revision is None
    (folder / WEIGHTS).unlink()
    assert removed.revision is None


def test_weights_in_shards_have_one_digest(folder: Path):
    (folder / WEIGHTS).unlink()
    tiny_llama().save_pretrained(folder, max_shard_size="20KB")
    known = identify("m", folder, torch.float32)
    assert len(known.files) > 1
    assert known.revision not in map(sha256, folder.glob("*.safetensors"))


def test_a_folder_of_the_hub_has_its_commit(folder: Path, tmp_path: Path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "models--owner--name" / "snapshots" / commit
    place.parent.mkdir(parents=True)
    folder.rename(place)
    known = identify("owner/name", place, torch.float32)
    assert (known.title, known.revision) == ("owner/name", commit)
    assert known.short_revision == commit[:16]
    assert known.describe() == f"owner/name · 0123456789ab · float32 · chainrule {known.chainrule}"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes 4 bit"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}, "bitsandbytes 8 bit"),
        ({"quant_method": "gptq", "bits": 3}, "gptq 3 bit"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        (None, None),
    ],
)
def test_the_quantisation_that_a_config_declares(folder: Path, declared: Any, words: str | None):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": declared}))
    known = identify("m", folder, torch.float32)
    assert known.quantisation == words
    assert known.weights == ("my-model" if words is None else f"my-model, {words}")


def test_a_gguf_file_has_its_digest_and_the_type_of_its_weights(tmp_path: Path):
    plain, packed = tmp_path / "plain.gguf", tmp_path / "packed.gguf"
    model = tiny_llama(head_dim=8)
    write_gguf(plain, model)
    write_gguf(packed, model, quantised=True)
    known = chainrule.load(plain).model.identity
    assert (known.weights, known.revision) == ("plain", sha256(plain))
    lm = chainrule.load(packed)
    assert lm.score("abc").provenance()["weights"] == "packed, Q8_0 dequantised"
    assert lm.score("abc").provenance()["revision"] == sha256(packed)


def test_the_header_of_a_gguf_file_names_the_model(tmp_path: Path):
    file = tmp_path / "x.gguf"
    out = gguf.GGUFWriter(file, "llama")
    out.add_name("A small model")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    out.add_tensor("a", np.zeros((2, 2), np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    assert identify("x", file, torch.float32).weights == "A small model, Q4_K_M dequantised"


def test_a_packaged_model_has_the_digest_of_the_file_it_was_made_from():
    name, package = next(iter(PACKAGED.items()))
    known = identify(name, Path("not", "read"), torch.bfloat16)
    assert known.weights == "SmolLM2-135M-Instruct, Q4_1 dequantised"
    assert (known.revision, known.dtype) == (f"sha256:{package.sha256}", "bfloat16")
    assert known.describe() == (
        "SmolLM2-135M-Instruct, Q4_1 dequantised · sha256:b179c9523d0e · bfloat16 · chainrule " + known.chainrule
    )


def test_a_quantised_model_in_memory_says_so():
    lm = tiny_llama()
    lm.config.quantization_config = tf.BitsAndBytesConfig(load_in_4bit=True)
    assert PretrainedModel(lm, "mine").identity.weights == "mine, bitsandbytes 4 bit, in memory"


def test_a_loaded_model_in_memory_names_itself():
    weights = chainrule.load(tiny_llama(), byte_level()).score("abc").provenance()["weights"]
    assert weights.endswith(", in memory")


def test_a_model_in_memory_has_no_revision():
    known = PretrainedModel(tiny_llama().to(torch.bfloat16), "mine").identity
    assert (known.weights, known.revision, known.dtype) == ("mine, in memory", None, "bfloat16")
    assert known.describe() == f"mine, in memory · bfloat16 · chainrule {known.chainrule}"


@pytest.mark.filterwarnings("ignore:dtype='bfloat16' is slower here")
def test_the_dtype_is_the_one_computed_in(folder: Path):
    for dtype in ("bfloat16", "float64"):
        assert chainrule.load(folder, dtype=dtype).score("abc").provenance()["dtype"] == dtype


def test_weights_that_are_changed_in_memory_lose_their_revision(folder: Path):
    model = chainrule.load(folder).model
    kept = model.identity
    with torch.no_grad():
        next(model.lm.parameters()).add_(1)
    assert (model.identity.weights, model.identity.revision) == ("my-model, changed in memory", None)
    assert copy.copy(model).identity == copy.deepcopy(model).identity == model.identity
    assert kept.revision is not None


def test_copies_of_a_model_keep_its_identity(folder: Path):
    model = chainrule.load(folder).model
    copies = [copy.deepcopy(model), model.with_config(model.run_config), model.warmed_up(), pickle.loads(pickle.dumps(model))]
    assert [each.identity for each in copies] == [model.identity] * 4


def test_a_table_has_the_digest_of_its_rows():
    def table(**changes: Any) -> Identity:
        values = {"vocabulary": "AB", "conditionals": {"": [1.0, 2.0], "A": [0.0, 3.0]}, "back_off": True} | changes
        return TableModel(**values).identity

    known = table()
    assert (known.weights, known.dtype, known.revision[:7]) == ("table", "float64", "sha256:")
    assert table(conditionals={"A": [0.0, 3.0], "": [1.0, 2.0]}).revision == known.revision
    changes = [{"vocabulary": "BA"}, {"conditionals": {"": [1.0, 2.0], "A": [0.0, 3.5]}}, {"back_off": False}]
    assert len({known.revision, *(table(**change).revision for change in changes)}) == 4


def test_a_model_class_without_an_identity_is_in_memory():
    class Own(TableModel):
        identity = None  # type: ignore[assignment]

        def __init__(self) -> None:
            table = TableModel("AB", {"": [1.0, 2.0]}, back_off=True, name="own")
            vars(self).update({name: value for name, value in vars(table).items() if name != "identity"})

    assert identity_of(Own()) == Identity.in_memory("own", torch.float64)
    assert LanguageModel(Own()).score("A").provenance()["weights"] == "own, in memory"
