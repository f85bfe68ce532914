"""The first layers of a network, up to the first of each kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as tf
from torch import nn

from chainrule.models.shallow import shorten
from chainrule.models.trunk import trunk_of

SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def layers_left(config: Any) -> tuple[bool, list[Any]]:
    lm = tf.AutoModelForCausalLM.from_config(config)
    trunk = trunk_of(lm)
    own = list(trunk.layers)
    removed = shorten(lm, trunk)
    assert all(a is b for a, b in zip(trunk.layers, own, strict=False))  # the first ones, in their order
    lm(input_ids=torch.tensor([[1, 2, 3]]), use_cache=False)  # it still runs
    return removed, [own.index(layer) for layer in trunk.layers]


def test_layers_of_one_kind_become_one():
    assert layers_left(tf.LlamaConfig(**SHAPE, num_hidden_layers=5)) == (True, [0])


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        ("sf" * 3, [0, 1]),  # sliding, full, sliding …
        ("sssfsss", [0, 1, 2, 3]),
        ("ffs", [0, 1, 2]),
        ("ss", [0]),
    ],
)
def test_up_to_the_first_of_each_kind(kinds: str, left: list[int]):
    names = [{"s": "sliding_attention", "f": "full_attention"}[kind] for kind in kinds]
    config = tf.Qwen3Config(
        **SHAPE, num_hidden_layers=len(kinds), layer_types=names, use_sliding_window=True, sliding_window=4, head_dim=8
    )
    assert layers_left(config) == (len(left) < len(kinds), left)


def test_a_single_layer_stays():
    assert layers_left(tf.LlamaConfig(**SHAPE, num_hidden_layers=1)) == (False, [0])


class Layer(nn.Module):
    def __init__(self, number: int, width: int = 4) -> None:
        super().__init__()
        self.layer_idx, self.eps = number, 1e-6
        self.linear = nn.Linear(width, width)


class Config:
    def __init__(self, depth: int) -> None:
        self.num_hidden_layers = depth

    def get_text_config(self) -> Config:
        return self


def shortened(layers: list[Layer]) -> int:
    lm, trunk = nn.Module(), nn.Module()
    lm.config, trunk.layers = Config(len(layers)), nn.ModuleList(layers)
    shorten(lm, trunk)
    return len(trunk.layers)


def test_a_number_that_counts_the_layers_makes_no_kinds():
    assert shortened([Layer(n) for n in range(4)]) == 1
    assert shortened([Layer(n + 1) for n in range(4)]) == 1
    assert shortened([Layer(2 * n) for n in range(4)]) == 4  # not a count of layers


def test_shapes_settings_and_small_buffers_make_kinds():
    assert shortened([Layer(0), Layer(1), Layer(2, width=5), Layer(3, width=5)]) == 3
    layers = [Layer(n) for n in range(4)]
    layers[2].eps = 1e-5
    assert shortened(layers) == 3
    layers = [Layer(n) for n in range(4)]
    for n, layer in enumerate(layers):
        layer.register_buffer("scale", torch.tensor([1.0 + (n == 1)]))
    assert shortened(layers) == 2


def test_lists_of_another_length_stay_whole():
    lm, trunk = nn.Module(), nn.Module()
    lm.config, trunk.layers = Config(3), nn.ModuleList([Layer(n) for n in range(3)])
    trunk.others = nn.ModuleList([Layer(n) for n in range(4)])
    for layer in trunk.layers:
        layer.experts = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])  # as many as layers, but inside one
    assert shorten(lm, trunk)
    assert (len(trunk.layers), len(trunk.others), len(trunk.layers[0].experts)) == (1, 4, 3)
