"""Tiny models of each architecture with strong random weights: each token, and its position, changes the numbers after it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers as tf

from chainrule import LanguageModel
from chainrule.engine.selfcheck.probe import choose
from chainrule.models.any_order import AnyOrderConfig, AnyOrderForCausalLM, AnyOrderModel
from chainrule.models.causal import PretrainedModel

V, START, CONTEXT = 61, 0, 128

_SYMBOLS: dict[str, Any] = {"bos_token_id": START, "eos_token_id": 1, "pad_token_id": None}
_WIDTHS = {"vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_OLD = _WIDTHS | _SYMBOLS | {"max_position_embeddings": CONTEXT}
_GROUPED = _OLD | {"num_key_value_heads": 2}
_EXPERTS = _GROUPED | {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}

# Sliding windows are shorter than the sequences of the probe and the texts of the tests.
FOREST = {
    "llama": lambda: tf.LlamaConfig(**_GROUPED),
    "gpt2": lambda: tf.GPT2Config(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **_SYMBOLS),
    "mistral": lambda: tf.MistralConfig(**_GROUPED, sliding_window=5),
    "gemma2": lambda: tf.Gemma2Config(
        **_GROUPED, head_dim=8, sliding_window=4, attn_logit_softcapping=2.0, final_logit_softcapping=3.0
    ),
    "qwen3": lambda: tf.Qwen3Config(**_GROUPED, head_dim=8),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**_OLD),
    "opt": lambda: tf.OPTConfig(ffn_dim=48, word_embed_proj_dim=32, **{**_OLD, "pad_token_id": 1}),
    "gpt_oss": lambda: tf.GptOssConfig(**_EXPERTS, sliding_window=4),
    "granite": lambda: tf.GraniteConfig(**_GROUPED, logits_scaling=0.5, attention_multiplier=0.2),
    "bert_decoder": lambda: tf.BertConfig(**_OLD, is_decoder=True),  # its head is no single linear map
}
BATCH = {
    "mamba": lambda: tf.MambaConfig(vocab_size=V, hidden_size=32, num_hidden_layers=2, state_size=4, **_SYMBOLS),
    "rwkv": lambda: tf.RwkvConfig(
        vocab_size=V, hidden_size=32, attention_hidden_size=32, num_hidden_layers=2, context_length=CONTEXT, **_SYMBOLS
    ),
    "bloom": lambda: tf.BloomConfig(vocab_size=V, hidden_size=32, n_layer=2, n_head=4, **_SYMBOLS),
}
CONFIGS = FOREST | BATCH
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Tiny:
    """A model as chainrule runs it, and its unchanged network, for the oracle."""

    lm: LanguageModel
    own: Any


def untouched(config: Any, dtype: str = "float32", seed: int = 0) -> Any:
    """A causal network of transformers with random numbers of about ¼ added to all weights, biases and norms included."""
    torch.manual_seed(seed)
    own = tf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += 0.25 * torch.randn_like(parameter)
    return own.to(DTYPES[dtype])


def wrap(own: Any, name: str = "tiny", **options: Any) -> LanguageModel:
    """A model of a network in memory, as `load` returns it. The network does not change."""
    model = PretrainedModel(copy.deepcopy(own), name)
    return LanguageModel(model, engine=choose(model), **options)


@cache
def tiny(name: str, dtype: str = "float32") -> Tiny:
    own = untouched(CONFIGS[name](), dtype)
    return Tiny(wrap(own, name), own)


def untouched_any_order(name: str, places: int, dtype: str = "float32", seed: int = 0, **changes: Any) -> Any:
    """An any-order network around a tiny trunk with strong random weights, also for its positions and targets."""
    config = CONFIGS[name]()
    config.update(changes)
    torch.manual_seed(seed)
    own = AnyOrderForCausalLM(AnyOrderConfig(trunk=config, places=places)).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += 0.25 * torch.randn_like(parameter)
    return own.to(DTYPES[dtype])


@cache
def tiny_any_order(name: str, places: int = 9, dtype: str = "float32", **changes: Any) -> Tiny:
    own = untouched_any_order(name, places, dtype, **changes)
    return Tiny(LanguageModel(AnyOrderModel(copy.deepcopy(own), name)), own)
