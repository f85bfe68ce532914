"""Modules that are replaced by compiled kernels: a trial distinguishes them from similar ones."""

from __future__ import annotations

import copy

import pytest
import torch
from further_models import FURTHER
from model_zoo import CONFIGS, untouched
from torch import Tensor, nn
from transformers.activations import ACT2FN

from chainrule.models.causal import PretrainedModel
from chainrule.ops import native
from chainrule.ops.modules import _activation_of, replace_modules

pytestmark = pytest.mark.skipif(not native.status(), reason=f"no compiled kernels: {native.status().reason}")


class Norm(nn.Module):
    def __init__(self, eps: float = 1e-5, offset: float = 0.0, mean: bool = False) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.randn(24)), eps
        self.offset, self.mean = offset, mean

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True) if self.mean else x
        return (self.weight + self.offset) * centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + self.eps)


class Gated(nn.Module):
    def __init__(self, activation: str, twist: float = 0.0) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = nn.Linear(24, 40), nn.Linear(24, 40), nn.Linear(40, 24)
        self.act_fn, self.twist = ACT2FN[activation], twist

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) * (self.up_proj(x) + self.twist))


def names(module: nn.Module) -> set[str]:
    """The classes of the parts that are replaced."""
    return {type(part).__name__ for part in replace_modules(nn.ModuleList([copy.deepcopy(module)]))}


@pytest.mark.parametrize(
    ("module", "replaced"), [(Norm(), True), (Norm(offset=1.0), True), (Norm(offset=0.5), False), (Norm(mean=True), False)]
)
def test_norms_are_distinguished(module: nn.Module, replaced: bool):
    assert ("Norm" in names(module)) == replaced


def test_an_eps_other_than_the_attribute_is_detected():
    """The own forward adds another eps than the attribute that is read. Only small numbers show the difference."""
    module = Norm(eps=1e-6)
    module.variance_epsilon = 1e-5
    assert names(module) == set()


@pytest.mark.parametrize(
    ("activation", "replaced"),
    [("silu", True), ("gelu_pytorch_tanh", True), ("gelu_new", True), ("gelu", False), ("relu", False)],
)
def test_gated_layers_are_distinguished(activation: str, replaced: bool):
    assert ("Gated" in names(Gated(activation))) == replaced
    assert "Gated" not in names(Gated(activation, twist=0.01))


def test_activations_are_distinguished():
    constants = {
        name: _activation_of(ACT2FN[name])
        for name in ("silu", "swish", "gelu_new", "gelu_fast", "quick_gelu", "gelu", "relu", "tanh")
    }
    assert constants["silu"] == constants["swish"] == (1.0, 0.0)
    assert constants["gelu_new"] == constants["gelu_fast"]
    assert constants["quick_gelu"] == (1.702, 0.0)
    assert constants["gelu"] is constants["relu"] is constants["tanh"] is None


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2"])
def test_modules_are_replaced_only_in_the_runner(name: str):
    model = PretrainedModel(untouched(CONFIGS[name]()), name)
    replaced = [module for module in model.trunk.modules() if "forward" in vars(module)]
    assert len(replaced) > 2
    for network in (model.lm, model.reference):
        assert not any("forward" in vars(module) for module in network.modules())


@pytest.mark.parametrize("name", ["gemma3", "olmo2", "phi", "mixtral"])
def test_hidden_states_agree_with_those_of_the_own_modules(name: str, monkeypatch: pytest.MonkeyPatch):
    own = untouched(FURTHER[name][0]())
    model = PretrainedModel(own, name)
    assert model.trunk is not own.base_model
    with monkeypatch.context() as patch:
        patch.setattr("chainrule.models.causal.replace_modules", lambda trunk: [])
        without = PretrainedModel(own, name)
        assert without.trunk is not model.trunk
    embeddings = model.embed(torch.arange(2, 50))[None]
    with torch.inference_mode():
        hidden, wanted = model.hidden(embeddings), without.hidden(embeddings)
    torch.testing.assert_close(hidden, wanted, rtol=2e-5, atol=2e-5 * float(wanted.abs().max()))
    assert not torch.equal(hidden, wanted)


def test_a_forward_that_is_replaced_already_is_not_replaced():
    module = Norm()
    module.forward = lambda x: x  # type: ignore[method-assign]
    assert names(module) == set()
