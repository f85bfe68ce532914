"""Bounds checks on indices before they are used, for networks on a GPU.

On the CPU an index out of range raises an ordinary error, which means that a network does not accept the input it is tried on.
On a GPU it stops the kernel and makes the device unusable for the rest of the process. So within `Plain`, indices of a network
on a GPU are checked first. Each check waits for the GPU: once or twice per text, and a few times per layer with experts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Bound = tuple[Any, int, int]  # an index, its least value, and one past its greatest


def bounded(function: Callable[..., Any], bounds: Callable[..., Iterable[Bound]]) -> Callable[..., Any]:
    """`function` with a check of its arguments: raises IndexError before it runs if an index is out of range."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        for index, least, end in bounds(*args, **options):
            refuse_outside(index, least, end)
        return function(*args, **options)

    return call


def refuse_outside(index: Any, least: int, end: int) -> None:
    """Raises IndexError if a number in `index` is less than `least` or at least `end`."""
    if not _is_index(index) or not index.numel():
        return
    low, high = torch.stack(torch.aminmax(index)).tolist()
    if low < least or high >= end:
        raise IndexError(f"index {low if low < least else high} is out of range: there are {end}")


def looks_up(function: Any, args: tuple, options: Mapping[str, Any]) -> bool:
    """Whether a call uses tensors as indices, so that they would be checked."""
    return function in BOUNDS and any(_is_index(index) for index, _, _ in BOUNDS[function](*args, **options))


def _is_index(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype != torch.bool


def _embedding(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> Iterator[Bound]:
    yield input, 0, weight.shape[0]


def _along(input: Tensor, dim: int, index: Any, *_: Any, **__: Any) -> Iterator[Bound]:
    yield index, 0, input.shape[dim] if input.ndim else 1


def _fill(input: Tensor, dim: int, index: Any, *_: Any, **__: Any) -> Iterator[Bound]:
    yield index, -input.shape[dim], input.shape[dim]


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Iterator[Bound]:
    yield tensor, 0, num_classes if num_classes >= 0 else 1 << 62


def _items(input: Tensor, key: Any, *_: Any, **__: Any) -> Iterator[Bound]:
    """For x[key]. A slice or an index takes one dimension of x, a mask as many as it has, None takes none."""
    keys = key if isinstance(key, tuple) else (key,)
    taken = [_dimensions(each) for each in keys]
    dim = 0
    for each, dims in zip(keys, taken, strict=True):
        if each is Ellipsis:
            dim += input.ndim - sum(taken)
        elif isinstance(each, Tensor) and not each.is_floating_point() and each.dtype not in (torch.bool, torch.uint8):
            yield each, -input.shape[dim], input.shape[dim]
        dim += dims


def _dimensions(key: Any) -> int:
    if key is None or key is Ellipsis or isinstance(key, bool):
        return 0
    return key.ndim if isinstance(key, Tensor) and key.dtype in (torch.bool, torch.uint8) else 1


def _put(input: Tensor, indices: Any, *_: Any, **__: Any) -> Iterator[Bound]:
    yield from _items(input, tuple(indices))


_ALONG = ("gather", "index_select", "scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy")
BOUNDS: dict[Any, Callable[..., Iterable[Bound]]] = {
    function: bounds
    for functions, bounds in (
        ((functional.embedding,), _embedding),
        ((functional.one_hot,), _one_hot),
        ((torch.index_fill, Tensor.index_fill, Tensor.index_fill_), _fill),
        ((Tensor.__getitem__, Tensor.__setitem__), _items),
        ((Tensor.index_put, Tensor.index_put_, torch.index_put, torch.index_put_), _put),
        ([getattr(owner, name) for name in _ALONG for owner in (torch, Tensor)], _along),
        ([getattr(Tensor, f"{name}_") for name in _ALONG[2:]], _along),
    )
    for function in functions
}
BOUNDED = {function: bounded(function, bounds) for function, bounds in BOUNDS.items()}
