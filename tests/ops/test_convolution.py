"""Convolutions on a GPU are computed in float64 and rounded once. Tested on the CPU, with the same function."""

from __future__ import annotations

import torch
from torch.nn import functional

from chainrule.ops.convolution import CONVOLUTIONS
from chainrule.ops.sealed import Plain, within

GPU = torch.device("cuda")  # a name only: nothing is put on it


def test_float32_is_rounded_once():
    layer = torch.nn.Conv1d(6, 4, 3, padding=1)
    x = torch.randn(2, 6, 50, generator=torch.Generator().manual_seed(0))
    want = functional.conv1d(x.double(), layer.weight.double(), layer.bias.double(), padding=1)
    with torch.no_grad():
        output = within(Plain(device=GPU), lambda: layer(x))
    assert output.dtype == torch.float32
    assert torch.equal(output, want.float())


def test_by_name_and_in_other_types():
    draw = torch.Generator().manual_seed(1)
    weight, x = torch.randn(4, 1, 3, generator=draw), torch.randn(2, 4, 20, generator=draw)
    by_name = CONVOLUTIONS[torch.conv1d](input=x, weight=weight, bias=None, groups=4)
    assert torch.equal(by_name, torch.conv1d(x.double(), weight.double(), groups=4).float())
    half = CONVOLUTIONS[torch.conv1d](x.bfloat16(), weight.bfloat16(), groups=4)
    assert torch.equal(half, torch.conv1d(x.bfloat16(), weight.bfloat16(), groups=4))
