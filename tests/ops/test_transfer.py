"""Transfers to the device of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chainrule.ops.transfer import on, sent

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
