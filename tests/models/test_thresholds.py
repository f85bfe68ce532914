"""Thresholds of a network: however they are stored, no strategy that ignores them is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from model_zoo import START, V, wrap
from oracle import factors
from transformers.models.llama.modeling_llama import LlamaAttention
from transformers.models.phimoe.modeling_phimoe import PhimoeAttention

from chainrule import ModelError
from chainrule.engine.selfcheck import reference
from chainrule.models.causal import PretrainedModel
from chainrule.models.shallow import shorten

SIZES: dict[str, Any] = {
    **{"vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"bos_token_id": START, "eos_token_id": 1, "pad_token_id": None},
}
CONTEXT = 512
TEXT = np.random.default_rng(5).integers(2, V, 300).tolist()
NEVER = 10**9


def strong(own: Any) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for p in own.parameters():
            p += 0.25 * torch.randn_like(p)
    return own.eval()


class Louder(LlamaAttention):
    """Scales its output by 1.5 from some row of the call on, like the temperature of Llama 4."""

    def since_row(self, rows: int) -> float:
        return NEVER

    def forward(self, hidden_states: torch.Tensor, **others: Any) -> Any:
        out, weights = super().forward(hidden_states, **others)
        row = torch.arange(out.shape[1])[None, :, None]
        return torch.where(row >= self.since_row(out.shape[1]), out * 1.5, out), weights


class Attribute(Louder):
    since = 200

    def since_row(self, rows: int) -> float:
        return self.since


class Property(Louder):
    @property
    def since(self) -> int:
        return 200

    def since_row(self, rows: int) -> float:
        return self.since


class InDict(Louder):
    how = {"since": 200}  # noqa: RUF012

    def since_row(self, rows: int) -> float:
        return self.how["since"]


class Float(Louder):
    since: Any = 100.0

    def since_row(self, rows: int) -> float:
        return self.since


class OnlyLong(Louder):
    """A number that is read only in long texts."""

    dense, since = 64, 200

    def since_row(self, rows: int) -> float:
        return self.since if rows > self.dense else NEVER


class WholeBlocks(Louder):
    since = 208

    def since_row(self, rows: int) -> float:
        assert self.since % 16 == 0
        return self.since


def with_attention(kind: type, layers: int = 2, only: int | None = None) -> Any:
    own = tf.LlamaForCausalLM(tf.LlamaConfig(**SIZES, num_hidden_layers=layers, max_position_embeddings=CONTEXT))
    for n, layer in enumerate(own.model.layers):
        if only is None or n == only:
            layer.self_attn = kind(own.config, n)
    return strong(own)


class OfConfig(PhimoeAttention):
    """Has the window of its config as a read-only property."""

    @property
    def sliding_window(self) -> int:
        return self.config.sliding_window


def window_of_config() -> Any:
    sizes = SIZES | {"num_local_experts": 4, "sliding_window": 200}
    own = tf.AutoModelForCausalLM.from_config(tf.PhimoeConfig(**sizes, num_hidden_layers=2, max_position_embeddings=CONTEXT))
    for layer in own.model.layers:
        vars(layer.self_attn).pop("sliding_window", None)
        layer.self_attn.__class__ = OfConfig
    return strong(own)


def floor_at_the_end() -> Any:
    sizes = SIZES | {"intermediate_size_mlp": 48, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 1}
    return strong(
        tf.AutoModelForCausalLM.from_config(
            tf.Llama4TextConfig(**sizes, num_hidden_layers=4, max_position_embeddings=128, floor_scale=128)
        )
    )


NETWORKS: dict[str, Callable[[], Any]] = {
    kind.__name__: lambda kind=kind: with_attention(kind)
    for kind in (Attribute, Property, InDict, Float, OnlyLong, WholeBlocks)
} | {"a window that only the config can set": window_of_config, "a floor that is the longest context": floor_at_the_end}


def off(own: Any, lm: Any) -> float:
    texts = [text[: lm.model.max_rows] for text in (TEXT, TEXT[:171], TEXT[100:140])]
    scores = lm.score_batch(texts)
    return max(float(np.abs(s.logprobs - factors(own, [START, *text])).max()) for s, text in zip(scores, texts, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_thresholds_in_any_form(name: str):
    own = NETWORKS[name]()
    lm = wrap(own)
    assert off(own, lm) < 2e-5
    assert lm.engine.strategy == "batch", lm.engine.reason


@pytest.mark.parametrize("since", [100.0, (100,), torch.tensor(100)])
def test_a_layer_with_another_threshold_is_another_kind(since: Any, monkeypatch: pytest.MonkeyPatch):
    """For large models, a long text is tried with the first layers only."""
    monkeypatch.setattr(reference, "WORK", 0)  # every model counts as large

    class Held(Louder):
        def since_row(self, rows: int) -> float:
            return value[0] if isinstance(value := self.since, tuple) else value

    own = with_attention(Held, layers=4)
    for n, layer in enumerate(own.model.layers):
        layer.self_attn.since = since if n == 3 else NEVER
    assert off(own, wrap(own)) < 2e-5


def test_a_number_that_counts_the_layers_makes_no_kinds():
    lm = with_attention(Attribute, layers=4)
    for n, layer in enumerate(lm.model.layers):
        layer.number_of_any_name = n + 1
    assert shorten(lm, lm.model)
    assert len(lm.model.layers) == 1


def test_experts_are_not_layers():
    own = with_attention(Attribute, layers=4)
    for layer in own.model.layers:
        layer.mlp.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(4))
    first = PretrainedModel(own, "tiny").shallow()
    assert first is not None
    assert [len(first.lm.model.layers), len(first.lm.model.layers[0].mlp.experts)] == [1, 4]


def test_a_network_without_layers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "WORK", 0)
    own = tf.LlamaForCausalLM(tf.LlamaConfig(**SIZES, num_hidden_layers=0, max_position_embeddings=CONTEXT)).eval()
    assert off(own, wrap(own)) < 2e-5


@pytest.mark.parametrize("large", [False, True])
def test_float64_decides_whether_an_error_is_rounding(large: bool, monkeypatch: pytest.MonkeyPatch):
    """An error of 3e-4 nats in the last of four layers, without effect in the first ones."""
    own = with_attention(Float, layers=4, only=3)
    if large:
        monkeypatch.setattr(reference, "SMALL", sum(p.numel() for p in own.parameters()) - 1)
        monkeypatch.setattr(reference, "WORK", 0)

    class Little(Float):
        def forward(self, hidden_states: torch.Tensor, **others: Any) -> Any:
            out, weights = LlamaAttention.forward(self, hidden_states, **others)
            return torch.where(torch.arange(out.shape[1])[None, :, None] >= self.since, out * 1.0003, out), weights

    own.model.layers[3].self_attn.__class__ = Little
    own.model.layers[3].self_attn.since = 8.0
    lm = wrap(own)
    assert lm.engine.strategy == "batch", lm.engine.reason
    assert off(own, lm) < 2e-5


@pytest.mark.parametrize("seed", [None, 7])
def test_a_model_that_is_causal_only_in_short_texts_is_refused(seed: int | None):
    """Reformer has full attention up to one chunk. Beyond it, attention is by random buckets that depend on all tokens."""
    sizes = {"vocab_size": V, "hidden_size": 32, "num_attention_heads": 4, "attention_head_size": 8, "feed_forward_size": 48}
    positions = {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 16], "max_position_embeddings": 256}
    config = tf.ReformerConfig(**sizes, **positions, attn_layers=["local", "lsh"], is_decoder=True, hash_seed=seed)
    with pytest.raises(ModelError, match="is not causal"):
        wrap(strong(tf.AutoModelForCausalLM.from_config(config)))
