"""`load` of models in memory, and of tokenizers from elsewhere: the bits are those of loading from a folder."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers as tf
from damaged import write_gguf
from further_models import SMALL, llama
from text_zoo import byte_level
from tiny_llama import tiny_llama

import chainrule
from chainrule import ModelError

TEXT = "Hello world, how are you?"
IDS = [5, 9, 5, 33, 2, 60, 17]


def state(lm) -> dict:
    """Everything of a network that loading must not change."""
    return {
        "training": [module.training for module in lm.modules()],
        "config": copy.deepcopy(lm.config.to_dict()),
        "attention": lm.config._attn_implementation,
        "modules": [(name, type(module), dict(module._forward_hooks)) for name, module in lm.named_modules()],
        "weights": [(name, id(p), p.data_ptr(), p._version, p.requires_grad) for name, p in lm.named_parameters()],
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_bits_are_those_of_loading_from_the_folder(tiny_folder: Path, dtype: str):
    lm = tf.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=dtype).train()
    tokenizer = tf.AutoTokenizer.from_pretrained(tiny_folder)
    before, backend = state(lm), tokenizer.backend_tokenizer.to_str()
    own, want = chainrule.load(lm, tokenizer), chainrule.load(tiny_folder, dtype=dtype)
    assert own.score(TEXT).logprobs.tolist() == want.score(TEXT).logprobs.tolist()
    assert own.engine.strategy == want.engine.strategy
    assert own.generate(TEXT, max_tokens=5).ids.tolist() == want.generate(TEXT, max_tokens=5).ids.tolist()
    assert state(lm) == before
    assert tokenizer.backend_tokenizer.to_str() == backend
    assert own.model.dtype_reason == f"{dtype}, that of the model in memory"


def test_a_masked_a_two_stream_and_an_any_order_model(tmp_path: Path):
    masked = tf.BertForMaskedLM(tf.BertConfig(**SMALL, initializer_range=0.3, cls_token_id=1, sep_token_id=2, mask_token_id=3))
    two_stream = tf.XLNetLMHeadModel(tf.XLNetConfig(vocab_size=61, d_model=32, n_layer=2, n_head=4, d_inner=48))
    any_order = chainrule.AnyOrderForCausalLM(chainrule.AnyOrderConfig(trunk=llama().config, places=8))
    for number, own in enumerate([masked, two_stream, any_order]):
        own.eval().save_pretrained(tmp_path / str(number))
        loaded, taken = chainrule.load(tmp_path / str(number)), chainrule.load(own)
        assert type(taken.model) is type(loaded.model)
        ids = [5, 9, 5, 33, 60, 17]
        want = loaded.score(ids, order="right-to-left")
        assert taken.score(ids, order="right-to-left").logprobs.tolist() == want.logprobs.tolist()


def test_a_compiled_model(tiny_folder: Path):
    lm = tiny_llama()
    assert (
        chainrule.load(torch.compile(lm)).score(IDS).logprobs.tolist()
        == chainrule.load(tiny_folder).score(IDS).logprobs.tolist()
    )


def test_changes_of_the_tokenizer_afterwards_have_no_effect(tiny_folder: Path):
    tokenizer = tf.AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer(TEXT, truncation=True, max_length=3)  # sets truncation in the backend
    lm = chainrule.load(tiny_llama(), tokenizer)
    want = lm.score(TEXT)
    tokenizer.add_tokens([TEXT])
    assert lm.score(TEXT).ids.tolist() == want.ids.tolist() == chainrule.load(tiny_folder).score(TEXT).ids.tolist()


def test_a_model_without_a_tokenizer_scores_ids_only(tiny_folder: Path):
    lm = tf.AutoModelForCausalLM.from_pretrained(tiny_folder)
    assert lm.name_or_path == str(tiny_folder)
    taken = chainrule.load(lm)
    assert taken.tokenizer is None
    assert (taken.model.name, taken.model.identity.note) == (str(tiny_folder), "in memory")
    assert chainrule.load(llama()).model.name == "LlamaForCausalLM"


def test_a_tokenizer_from_elsewhere(tiny_folder: Path, tmp_path: Path):
    bare, other, gguf = tmp_path / "bare", tmp_path / "tokenizer", tmp_path / "tiny.gguf"
    tiny_llama().save_pretrained(bare)
    byte_level().hf.save_pretrained(other)
    write_gguf(gguf, llama(vocab_size=byte_level().size, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5))
    want = chainrule.load(tiny_folder).score(TEXT)
    given = [other, str(other), tiny_folder, gguf, byte_level().hf, byte_level()]
    for tokenizer in given:
        for model in (bare, tiny_llama()):
            assert chainrule.load(model, tokenizer).score(TEXT).logprobs.tolist() == want.logprobs.tolist()


def test_a_tokenizer_written_in_python(tmp_path: Path):
    tokenizer = tf.ByT5Tokenizer()
    assert not tokenizer.is_fast
    lm = chainrule.load(llama(vocab_size=len(tokenizer)), tokenizer)
    assert lm.score("naïve").ids.tolist() == tokenizer("naïve", add_special_tokens=False).input_ids


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dtype": "bfloat16"}, "dtype='bfloat16' was given, but the model in memory is float32; convert it first"),
        ({"dtype": torch.float16}, "dtype='float16' was given"),
        ({"dtype": "auto"}, "dtype='auto' was given"),
        ({"device": "cuda:1"}, "device='cuda:1' was given, but the model in memory is on cpu; move it first"),
        ({"device": "nowhere"}, "device='nowhere' was given"),
        ({"revision": "main"}, "the model is in memory"),
        ({"cache_dir": "x"}, "the model is in memory"),
    ],
)
def test_options_that_a_model_in_memory_does_not_have(options: dict, match: str):
    with pytest.raises(ModelError, match=match):
        chainrule.load(llama(), **options)


def test_its_own_dtype_and_device_may_be_named():
    for options in ({"dtype": "float32"}, {"dtype": torch.float32}, {"device": "cpu"}, {"device": torch.device("cpu", 0)}):
        assert chainrule.load(llama(), **options)


class WithAdapters(torch.nn.Module):
    """As peft's models."""

    def merge_and_unload(self) -> None: ...


def with_nan():
    own = llama()
    own.model.norm.weight.data[0] = torch.nan
    return own


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (WithAdapters(), r"WithAdapters is a model with adapters.*merge_and_unload\(\)"),
        (torch.nn.Linear(2, 2), r"not Linear \(.*LanguageModel\(model, tokenizer\)"),
        (5, r"not int \(5\)"),
        (with_nan(), "LlamaForCausalLM has NaN in its weights"),
    ],
)
def test_models_that_are_refused(model, match: str):
    with pytest.raises(ModelError, match=match):
        chainrule.load(model)


def test_a_model_without_values_is_refused():
    with torch.device("meta"):
        own = tf.LlamaForCausalLM(llama().config)
    with pytest.raises(ModelError, match="weights without values"):
        chainrule.load(own)


@pytest.mark.parametrize(
    ("tokenizer", "match"),
    [
        (5, "tokenizer=5 is a int, not a tokenizer of transformers; pass one"),
        (SimpleNamespace(tokenizer=1), r"not a tokenizer of transformers; pass its \.tokenizer"),
        ("./nowhere", "no model folder or file"),
    ],
)
def test_tokenizers_that_are_refused(tokenizer, match: str):
    with pytest.raises(ModelError, match=match):
        chainrule.load(llama(), tokenizer)


def test_a_folder_without_a_tokenizer_is_refused_as_a_tokenizer(tmp_path: Path):
    llama().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="there is no tokenizer in "):
        chainrule.load(llama(), tmp_path)


def test_revision_and_cache_dir_are_for_hub_models(tiny_folder: Path):
    for options in ({"revision": "v1"}, {"cache_dir": "x"}):
        with pytest.raises(ModelError, match="is for models of the hub"):
            chainrule.load(tiny_folder, **options)
