"""Replaced products of linear layers: few rows against float64, and the bits of `SameBits` without its function mode."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import tiny
from torch import nn

from chainrule.ops import native
from chainrule.ops.linear import Linears, fastest, same_bits
from chainrule.ops.matmul import SameBits
from chainrule.ops.native.calls import MANY

TYPES = (torch.float32, torch.bfloat16)
needs_kernels = pytest.mark.skipif(not native.status(), reason=f"no compiled kernels: {native.status().reason}")


@needs_kernels
@given(
    st.integers(1, MANY),
    st.integers(4, 70),
    st.integers(1, 70),
    st.integers(0, 3),
    st.integers(0, 2**31),
    st.sampled_from(TYPES),
)
def test_few_rows_against_float64(rows, columns, terms, gap, seed, dtype):
    draw = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(rows, terms, generator=draw).to(dtype), torch.randn(columns, terms, generator=draw).to(dtype)
    out = torch.full((rows, columns + gap), torch.nan)
    native.few_rows(x, weight, out[:, :columns])
    wanted = x.double() @ weight.double().T
    torch.testing.assert_close(out[:, :columns].double(), wanted, atol=1e-5 * terms**0.5, rtol=0)
    assert out[:, columns:].isnan().all()
    single = torch.empty(1, columns)
    native.few_rows(x[-1:].contiguous(), weight, single)
    assert torch.equal(single[0], out[-1, :columns])


@needs_kernels
def test_tensors_that_few_rows_does_not_support():
    x, weight = torch.randn(3, 8), torch.randn(5, 8)
    assert native.supports_few(x, weight)
    assert not native.supports_few(torch.randn(MANY + 1, 8), weight)
    assert not native.supports_few(x, weight[:3])
    assert native.supports_few(x.bfloat16(), weight.bfloat16())
    assert not native.supports_few(x, weight.bfloat16())
    assert not native.supports_few(x.double(), weight.double())
    assert not native.supports_few(x.T.contiguous().T, weight)
    assert not native.supports_few(x, weight.clone().requires_grad_())


@pytest.mark.parametrize("bias", [False, True])
def test_layers_are_replaced_only_on_request(bias, kernels):
    layer = nn.Linear(96, 40, bias=bias)
    linears, x = Linears(nn.Sequential(layer)), torch.randn(1, 5, 96)
    own = nn.functional.linear(x, layer.weight, layer.bias)
    with torch.inference_mode():
        few, same = linears.by(fastest, lambda: layer(x)), linears.by(same_bits, lambda: layer(x))
    with torch.inference_mode(), SameBits():
        assert torch.equal(same, layer(x))
    torch.testing.assert_close(few, own, atol=1e-5, rtol=0)
    assert torch.equal(layer(x), own)
    (layer(x).sum()).backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, MANY, MANY + 1, 70])
@pytest.mark.parametrize("bias", [False, True])
def test_narrow_layers_are_rounded_once(dtype, rows, bias, kernels):
    layer, x = nn.Linear(96, 40, bias=bias).to(dtype), torch.randn(2, rows, 96)[:1].to(dtype)
    wide = copy.deepcopy(layer).double()
    with torch.inference_mode():
        found = Linears(nn.Sequential(layer)).by(fastest, lambda: layer(x))
        exact = wide(x.double())
    assert (found.dtype, found.shape) == (dtype, (1, rows, 40))
    unit = 2.0 ** exact.abs().log2().floor() * torch.finfo(dtype).eps
    assert ((found.double() - exact).abs() <= unit + 1e-5).all()


@needs_kernels
def test_another_thread_keeps_its_own_products():
    """A text is scored while another is generated: layers are replaced for both threads, their product for one."""
    layer = nn.Linear(96, 40, bias=False)
    linears, x, outputs = Linears(nn.Sequential(layer)), torch.randn(1, 96), []
    with torch.inference_mode():
        own = layer(x)

        def run() -> torch.Tensor:
            thread = threading.Thread(target=lambda: outputs.append(layer(x)))
            thread.start()
            thread.join()
            return layer(x)

        assert not linears.by(lambda x, weight, bias: x.new_zeros(1, 40), run).any()
    assert torch.equal(outputs[0], own)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt_neox"])
def test_few_rows_have_the_bits_of_the_mode(name, kernels):
    """With replaced layers, or within the mode where other functions would have to change too (GPT-2's products)."""
    model = copy.deepcopy(tiny(name).lm.model)
    x, positions = model.embed(torch.arange(11)), torch.arange(11)[None]
    with torch.inference_mode():
        with SameBits():
            wanted = model.trunk(inputs_embeds=x[None], use_cache=False, position_ids=positions)[0]
        for _ in range(3):
            assert torch.equal(model.hidden(x[None], position_ids=positions), wanted)
    assert model.linears._sufficient == {
        kernels == "native" and bool(native.status()): kernels == "native" and name in ("llama", "gemma2")
    }
