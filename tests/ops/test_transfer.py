"""Transfers to the device of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chainrule.ops import transfer
from chainrule.ops.transfer import fetched, on, returning, sent, together

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64, np.bool_])
def test_an_array_keeps_its_type_and_values(dtype: type):
    array = np.array([[3, 0, 1], [0, 2, 5]]).astype(dtype)
    found = sent(array, CPU)
    assert found.numpy().dtype == array.dtype
    assert found.tolist() == array.tolist()
    array[0, 0] = 0
    assert found[0, 0] == 0  # the two share memory


def test_a_tensor_is_copied_only_to_another_device():
    tensor = torch.arange(3)
    assert on(tensor, CPU) is tensor
    there = on(tensor, torch.device("meta"))
    assert (there.device.type, there.shape, there.dtype) == ("meta", tensor.shape, tensor.dtype)


@pytest.fixture(params=["without copies", "packed"])
def packing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """On the CPU as it is, and packed as for another device."""
    if request.param == "packed":
        monkeypatch.setattr(transfer, "on_cpu", lambda device: False)
    return request.param


MIXED = {
    "bytes": torch.tensor([1, 2, 255], dtype=torch.uint8),
    "none": torch.empty(4, 0, dtype=torch.float64),
    "floats": torch.tensor([[1.5, -torch.inf], [torch.nan, 0.0]], dtype=torch.float64),
    "strided": torch.arange(12, dtype=torch.int32).view(3, 4).T,
    "flags": torch.tensor([True, False, True]),
    "one": torch.tensor(7),
}


def test_tensors_keep_types_shapes_and_values(packing: str, monkeypatch: pytest.MonkeyPatch):
    copies: list[torch.Tensor] = []
    monkeypatch.setattr(transfer, "on", lambda x, device: copies.append(x) or x.to(device))
    moved = together(list(MIXED.values()), CPU)
    assert len(copies) == (packing == "packed")
    for found, want in zip(moved, MIXED.values(), strict=True):
        assert (found.dtype, found.shape) == (want.dtype, want.shape)
        assert torch.equal(found.nan_to_num(9.0), want.nan_to_num(9.0))
    assert packing != "packed" or not any(x.data_ptr() % 16 for x in moved if x.numel())


def test_returned_arrays_keep_types_shapes_and_values(packing: str):
    wait = returning(MIXED)
    for found in (wait(), fetched(MIXED)):
        assert list(found) == list(MIXED)
        for name, want in MIXED.items():
            assert (found[name].dtype, found[name].shape) == (want.numpy().dtype, tuple(want.shape))
            assert np.array_equal(found[name], want.numpy(), equal_nan=name == "floats")
