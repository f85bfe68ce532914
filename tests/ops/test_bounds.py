"""Indices are refused exactly where PyTorch refuses them on the CPU. On a GPU they would make the device unusable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import CONFIGS, untouched
from torch import Tensor
from torch.nn import functional

from chainrule.models import transformer
from chainrule.models.causal import PretrainedModel
from chainrule.ops.bounds import BOUNDED, BOUNDS, bounded
from chainrule.ops.sealed import Plain, within

GPU = torch.device("cuda")  # a name only: nothing is put on it
NUMBERS = st.integers(-6, 6)
X = torch.arange(24.0).view(4, 3, 2)


def indices(*shape: int) -> st.SearchStrategy[Tensor]:
    """Indices mostly in range for sizes of 4, 3 and 2."""
    count = torch.Size(shape).numel()
    return st.lists(st.integers(0, 1) | NUMBERS, min_size=count, max_size=count).map(lambda n: torch.tensor(n).view(shape))


def raised(function: Any, *args: Any) -> bool:
    """Whether the call refuses an index; other errors do not count."""
    copies = [arg.clone() if isinstance(arg, Tensor) else arg for arg in args]
    try:
        function(*copies)
    except (IndexError, RuntimeError) as error:
        return "range" in str(error) or "bound" in str(error) or "class values" in str(error).lower()
    return False


def check(function: Any, *args: Any) -> None:
    """The bounds are checked before the function runs, and refuse the same indices."""
    ran: list[int] = []
    guarded = bounded(lambda *a: ran.append(1), BOUNDS[function])
    assert raised(guarded, *args) == raised(function, *args), (function, args)
    assert bool(ran) != raised(guarded, *args)


@given(indices(5))
def test_embeddings(index: Tensor):
    check(functional.embedding, index, torch.ones(4, 2))


@given(indices(5))
def test_one_hot(index: Tensor):
    check(functional.one_hot, index, 3)


@given(st.integers(-3, 2), indices(2, 3, 2))
def test_gather_and_scatter(dim: int, index: Tensor):
    for gather in (torch.gather, Tensor.gather):
        check(gather, X, dim, index)
    for scatter in (torch.scatter, Tensor.scatter_, torch.scatter_add, Tensor.scatter_add_):
        check(scatter, X, dim, index, torch.zeros(2, 3, 2))


@given(st.integers(-3, 2), indices(2))
def test_indices_of_a_dimension(dim: int, index: Tensor):
    source = torch.ones(4, 3, 2).index_select(dim, torch.zeros(2, dtype=torch.int64))
    check(torch.index_select, X, dim, index)
    check(Tensor.index_add_, X, dim, index, source)
    check(Tensor.index_fill_, X, dim, index, 1.0)


KEYS = st.one_of(
    indices(2), indices(1), st.just(slice(None)), st.just(slice(0, 1)), st.just(None), st.just(Ellipsis), st.just(0),
)  # fmt: skip


@given(st.lists(KEYS, min_size=1, max_size=4), st.booleans())
def test_items(keys: list[Any], single: bool):
    if sum(key is Ellipsis for key in keys) > 1 or sum(key is not None and key is not Ellipsis for key in keys) > 3:
        return
    key = keys[0] if single else tuple(keys)
    check(Tensor.__getitem__, X, key)
    check(Tensor.__setitem__, X, key, 0.0)


@given(indices(2), st.booleans())
def test_masks_with_indices(index: Tensor, whole: bool):
    mask = torch.tensor([True, False, True, False])
    check(Tensor.__getitem__, X, (mask, index))
    check(Tensor.__getitem__, X, (mask[:, None].expand(4, 3), index[:1]) if whole else (..., index))
    check(Tensor.index_put_, X, (index,), torch.tensor(0.0))


def test_the_indices_of_a_network_on_a_gpu_are_checked(monkeypatch: pytest.MonkeyPatch):
    """With a device that is named as a GPU: ids beyond the table do not reach the kernel."""
    calls: list[str] = []

    def checked(*args: Any, **options: Any) -> Tensor:
        calls.append("embedding")
        return BOUNDED[functional.embedding](*args, **options)

    model = PretrainedModel(untouched(CONFIGS["llama"]()), "tiny")
    monkeypatch.setattr(model, "device", GPU)
    monkeypatch.setattr(Plain, "functions", {functional.embedding: checked}, raising=False)
    mode = model.mode(same_bits=False)
    assert mode.functions[functional.embedding] is BOUNDED[functional.embedding]
    assert model.mode().functions[functional.embedding] is BOUNDED[functional.embedding]
    with pytest.raises(IndexError, match="index 61 is out of range: there are 61"):
        within(mode, lambda: model.reference(torch.tensor([[1, 61]])))
    monkeypatch.undo()
    assert type(model.mode()) is transformer.SameBits
    assert functional.embedding not in model.mode(same_bits=False).functions
