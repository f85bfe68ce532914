"""A model that computes in float64 throughout, compared with one that rounds within its own float64 forward."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from model_zoo import tiny
from oracle import conditionals

from chainrule.models.causal import PretrainedModel
from chainrule.models.double import DoubleModel, _Double, in_double, in_float64
from chainrule.ops.sealed import within

IDS = [0, 7, 30, 30, 2, 11, 45]
ROUNDS = ["llama", "gemma2", "qwen3"]  # the code of norms, rotations or softmaxes names float32


def hidden(model: PretrainedModel) -> torch.Tensor:
    return model.own_logits(torch.tensor(IDS)).double()


@pytest.mark.parametrize("name", ROUNDS)
def test_float32_in_the_code_of_a_network_is_float64(name: str):
    """A relative change of weights by 1e-12 has an effect on the logits, which float32 would round away."""
    own = copy.deepcopy(tiny(name).own)
    plain = copy.deepcopy(own).double()
    double = in_double(copy.deepcopy(own))
    want = conditionals(double, IDS)
    assert 1e-9 < np.abs(conditionals(plain, IDS) - want).max() < 1e-5
    assert np.abs(conditionals(own, IDS) - want).max() < 2e-5
    with torch.no_grad():
        next(double.parameters()).mul_(1 + 1e-12)
    assert 0 < np.abs(conditionals(double, IDS) - want).max() < 1e-10


def test_every_request_for_float32_gives_float64():
    third = torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)
    requests = {
        "float": lambda: third.float(),
        "to": lambda: third.to(torch.float32),
        "type": lambda: third.to(dtype=torch.float32),
        "softmax": lambda: third.log().softmax(-1, dtype=torch.float32),
        "new": lambda: torch.ones(2, dtype=torch.float32) * third,
        "default": lambda: torch.full((2,), 1.0) * third,
    }
    for name, request in requests.items():
        result = within(_Double(), request)
        assert result.dtype == torch.float64, name
        assert torch.allclose(result, third, rtol=0, atol=1e-15), name


def test_experts_without_float64_are_run_one_by_one():
    own = copy.deepcopy(tiny("gpt_oss").own)
    assert np.abs(conditionals(in_double(copy.deepcopy(own)), IDS) - conditionals(own, IDS)).max() < 2e-5


def test_a_network_that_names_no_dtype_is_unchanged_in_float64():
    own = copy.deepcopy(tiny("gpt2").own)
    want = conditionals(copy.deepcopy(own).double(), IDS)
    assert np.abs(conditionals(in_double(own), IDS) - want).max() < 1e-13


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_temporary_float64_model(name: str):
    model = tiny(name).lm.model
    before = {key: (value.dtype, value.clone()) for key, value in model.lm.state_dict().items()}
    own = hidden(model)
    with in_float64(model) as double:
        assert double is not model
        assert double.own_logits(torch.tensor(IDS)).dtype == torch.float64
        assert (double.hidden(double.inputs(torch.tensor(IDS))[None])).dtype == torch.float64
        assert 0 < (hidden(double) - own).abs().max() < 1e-3
        parameters = list(double.lm.parameters())
    assert {parameter.numel() for parameter in parameters} == {0}  # the widened weights are freed
    for key, value in model.lm.state_dict().items():
        assert value.dtype == before[key][0]
        assert torch.equal(value, before[key][1])
    assert torch.equal(hidden(model), own)


def test_a_double_model_does_not_change_the_original_model():
    model = tiny("llama").lm.model
    double = DoubleModel.of(model)
    assert (double.dtype, model.dtype) == (torch.float64, torch.float32)
    assert double.own_logits(torch.tensor(IDS)).dtype == torch.float64
    assert double.run_config == model.run_config
    double.release(model)
    assert hidden(model).isfinite().all()
