"""Heads: linear ones by tiles, the model's own, and hidden states that are logits."""

import numpy as np
import pytest
import torch
from model_zoo import V, tiny
from torch import nn

from chainrule.models.head import IdentityHead, LinearHead, OwnHead


class Config:
    logit_scale = 0.5
    logits_scaling = 4.0
    final_logit_softcapping = 2.0


def linear(dtype: torch.dtype = torch.float32, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(16, 50, bias=bias).to(dtype).requires_grad_(False)


@torch.inference_mode()
def write(head: LinearHead, hidden_MH: torch.Tensor, tile: int) -> torch.Tensor:
    logits_MV = torch.empty(len(hidden_MH), head.size, dtype=head.dtype)
    for first in range(0, head.size, tile):
        head.write(hidden_MH, first, logits_MV[:, first : first + tile])
    return logits_MV


@pytest.mark.parametrize("tile", [1, 7, 50])
@pytest.mark.parametrize("bias", [True, False])
def test_tiles_give_all_logits(tile: int, bias: bool):
    head, hidden = LinearHead(linear(bias=bias)), torch.randn(5, 16)
    torch.testing.assert_close(write(head, hidden, tile), head.linear(hidden), atol=1e-6, rtol=0)


def test_scale_bias_and_softcap_in_this_order():
    head, hidden = LinearHead.of(linear(), Config()), torch.randn(5, 16)
    want = torch.tanh(head.linear(hidden) * (0.5 / 4.0) / 2.0) * 2.0
    torch.testing.assert_close(write(head, hidden, 13), want, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_of_narrow_weights_are_float32_and_not_rounded(dtype: torch.dtype):
    head, hidden = LinearHead(linear(dtype)), torch.randn(5, 16).to(dtype)
    logits = write(head, hidden, 50)
    assert logits.dtype == torch.float32
    want = hidden.double() @ head.linear.weight.double().T + head.linear.bias.double()
    np.testing.assert_allclose(logits.double(), want, rtol=0, atol=2e-6)
    assert (logits != logits.to(dtype).float()).float().mean() > 0.9


def test_a_float64_model_has_float64_logits():
    head, hidden = LinearHead(linear(torch.float64)), torch.randn(5, 16, dtype=torch.float64)
    torch.testing.assert_close(write(head, hidden, 7), head.linear(hidden), atol=1e-14, rtol=0)


@pytest.mark.parametrize("name", ["llama", "gemma2", "bert_decoder", "mamba"])
def test_the_models_own_head_after_its_trunk(name: str):
    model = tiny(name).lm.model
    hidden = torch.randn(3, 32)
    with torch.inference_mode():
        whole = torch.empty(3, V)
        own_head = OwnHead(model.own_head_logits, V, torch.float32)
        own_head.write(hidden, 0, whole)
        tile = torch.empty(3, 9)
        own_head.write(hidden, 11, tile)
    assert torch.equal(tile, whole[:, 11:20])
    if name != "bert_decoder":
        torch.testing.assert_close(write(model.head, hidden, V), whole, atol=1e-5, rtol=0)


def test_hidden_states_that_are_already_logits():
    logits = torch.empty(2, 3, dtype=torch.float64)
    IdentityHead(5, torch.float64).write(torch.arange(10.0).reshape(2, 5), 1, logits)
    assert logits.tolist() == [[1, 2, 3], [6, 7, 8]]
