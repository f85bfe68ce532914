"""The trunk of a network: its identification, its longest context, and the replacement of its output."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers as tf
from model_zoo import CONFIGS, tiny
from torch import nn

from chainrule.models.trunk import Output, longest_context, reserved_positions, take_outputs, takes, trunk_of, with_output


@pytest.mark.parametrize("name", CONFIGS)
def test_the_trunk_is_all_but_the_head(name: str):
    own = tiny(name).own
    trunk, head = trunk_of(own), own.get_output_embeddings()
    assert trunk is not own
    assert any(part is own.get_input_embeddings() for part in trunk.modules())
    assert not any(part is head for part in trunk.modules())


def test_a_prefix_that_names_no_part():
    """The trunk is then the only part that contains the embeddings, or the network itself if there is no such part."""

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.inner, self.head = nn.Embedding(3, 2), nn.Module(), nn.Linear(2, 3)

        @property
        def base_model(self) -> nn.Module:
            return self

        def get_input_embeddings(self) -> nn.Module:
            return self.table

    whole = Whole()
    assert trunk_of(whole) is whole
    whole.inner.table = whole.table
    assert trunk_of(whole) is whole.inner
    whole.other = nn.Module()
    whole.other.table = whole.table
    assert trunk_of(whole) is whole


def config(**values: Any) -> Any:
    return SimpleNamespace(**values)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (config(), None),
        (config(max_position_embeddings=64), 64),
        (config(n_positions=32), 32),
        (config(max_position_embeddings=None, n_ctx=16), 16),
        (config(max_position_embeddings=-1), None),
        (config(max_position_embeddings=0, seq_length=8), 8),
        (
            config(max_position_embeddings=64, rope_parameters={"rope_type": "default", "original_max_position_embeddings": 8}),
            64,
        ),
        (
            config(
                max_position_embeddings=64, rope_parameters={"rope_type": "longrope", "original_max_position_embeddings": 8}
            ),
            8,
        ),
        (
            config(
                max_position_embeddings=64,
                rope_parameters={
                    "full_attention": {"rope_type": "longrope", "original_max_position_embeddings": 8},
                    "sliding_attention": {"rope_type": "default"},
                },
            ),
            8,
        ),
        (
            config(max_position_embeddings=4, rope_parameters={"rope_type": "longrope", "original_max_position_embeddings": 8}),
            4,
        ),
    ],
)
def test_the_longest_context_is_the_smallest_bound(values: Any, want: int | None):
    assert longest_context(values) == want


def test_rows_of_positions_up_to_the_padding_row_are_never_used():
    trunk = nn.Module()
    trunk.tokens, trunk.positions = nn.Embedding(40, 2, padding_idx=1), nn.Embedding(40, 2, padding_idx=3)
    assert reserved_positions(trunk, trunk.tokens, 40) == 4
    assert reserved_positions(trunk, trunk.tokens, 41) == 0
    assert reserved_positions(trunk, trunk.positions, 40) == 2
    trunk.positions = nn.Embedding(40, 2)
    assert reserved_positions(trunk, trunk.tokens, 40) == 0
    roberta = tf.RobertaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                               max_position_embeddings=20, pad_token_id=1, is_decoder=True)  # fmt: skip
    own = tf.AutoModelForCausalLM.from_config(roberta)
    assert reserved_positions(trunk_of(own), own.get_input_embeddings(), 20) == 2


def test_the_parameters_of_a_forward():
    class Part(nn.Module):
        def forward(self, x: Any, inputs_embeds: Any = None) -> None: ...

    assert list(takes(Part())) == ["self", "x", "inputs_embeds"]
    assert not takes(SimpleNamespace())


@pytest.mark.parametrize("name", ["llama", "opt", "gemma2", "bert_decoder"])
@torch.inference_mode()
def test_a_head_reads_the_replacement_of_a_trunks_output(name: str):
    """With a replacement, the logits are those of the replacement. Without one, the trunk runs as before."""
    own = copy.deepcopy(tiny(name).own)
    ids = torch.tensor([[3, 1, 4]])
    before = own(input_ids=ids, use_cache=False).logits
    hidden = trunk_of(own)(input_ids=ids, use_cache=False).last_hidden_state
    take_outputs(trunk_of(own))
    assert torch.equal(own(input_ids=ids, use_cache=False).logits, before)
    output, used = with_output(hidden, lambda: own(input_ids=ids * 0, use_cache=False))
    assert used
    assert torch.allclose(output.logits, before, rtol=0, atol=1e-5)
    other, _ = with_output(hidden.flip(1), lambda: own(input_ids=ids * 0, use_cache=False))
    assert torch.allclose(other.logits, before.flip(1), rtol=0, atol=1e-5)
    assert torch.equal(own(input_ids=ids, use_cache=False).logits, before)  # the replacement ends with the call


def test_an_unused_replacement_is_reported():
    assert with_output(torch.zeros(1, 2, 3), lambda: 7) == (7, False)


def test_an_output_has_only_a_last_hidden_state():
    hidden = torch.zeros(1, 2, 3)
    output = Output(last_hidden_state=hidden)
    assert output[0] is hidden
    assert output.hidden_states is None
    assert output[:1] == (hidden,)
