"""Temporary states, and computations isolated from the state of the process."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from chainrule import ModelError
from chainrule.ops import sealed as module
from chainrule.ops.sealed import (
    Plain,
    WeightsWritten,
    between,
    is_default,
    memory,
    sealed,
    unless_memory,
    with_variable,
    within,
)


class Halving(TorchFunctionMode):
    """A mode of other code, which changes all products."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found / 2 if func is torch.mm else found


@sealed
def squared(x: Tensor) -> tuple[Tensor, bool, bool, bool]:
    found = torch.mm(x, x)
    return found, found.requires_grad, torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")


def test_no_state_of_the_thread_has_an_effect():
    x = torch.randn(3, 3, requires_grad=True)
    want = x.detach() @ x.detach()
    for state in (Halving(), torch.autocast("cpu", torch.bfloat16), torch.enable_grad(), torch.device("meta")):
        with state:
            depth, autocast = torch._C._len_torch_function_stack(), torch.is_autocast_enabled("cpu")
            found, *states = squared(x)
            assert (torch._C._len_torch_function_stack(), torch.is_autocast_enabled("cpu")) == (depth, autocast)
        assert torch.equal(found, want), state
        assert states == [False, True, False]
    with Halving():
        assert torch.equal(torch.mm(x, x), want / 2)  # outside, the state is as before


def test_context_variables_end_with_the_call():
    variable: ContextVar[int] = ContextVar("a number", default=0)

    @sealed
    def call() -> int:
        variable.set(5)
        return variable.get()

    assert call() == 5
    assert variable.get() == 0
    assert with_variable(variable, 7, variable.get) == 7
    with pytest.raises(ZeroDivisionError):
        with_variable(variable, 7, lambda: 1 / 0)
    assert variable.get() == 0


def test_states_are_restored_after_any_exception():
    events: list[str] = []
    enter, leave = partial(events.append, "set"), partial(events.append, "restored")
    assert between(enter, leave, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        between(enter, leave, lambda: 1 / 0)
    assert events == ["set", "restored"] * 2
    depth = torch._C._len_torch_function_stack()
    with pytest.raises(ZeroDivisionError):
        within(Halving(), lambda: 1 / 0)
    assert torch._C._len_torch_function_stack() == depth


def writes() -> dict[str, Any]:
    return {
        "add_": lambda w: w.add_(1),
        "setitem": lambda w: w.__setitem__(0, 1.0),
        "iadd": lambda w: w.__iadd__(1),
        "out": lambda w: torch.add(w, 1, out=w),
        "data": lambda w: setattr(w, "data", w + 1),
        "foreach": lambda w: torch._foreach_add_([w], 1.0),
        "max_norm": lambda w: functional.embedding(torch.tensor([0]), w, max_norm=1.0),
    }


@pytest.mark.parametrize("name", writes())
def test_writing_to_weights_is_refused(name: str):
    weight, other = torch.ones(3, 2), torch.ones(3, 2)
    mode = partial(Plain, {memory(weight)})
    with pytest.raises(WeightsWritten, match="its forward changes its own weights"):
        within(mode(), partial(writes()[name], weight))
    if name != "data":
        with pytest.raises(WeightsWritten):
            within(mode(), partial(writes()[name], weight[:]))  # through a view
    assert torch.equal(weight, torch.ones(3, 2))  # refused before the write
    within(mode(), partial(writes()[name], other))


def test_reading_weights_is_allowed():
    weight = torch.ones(3, 2)
    kept = Plain({memory(weight)})
    found = within(kept, lambda: weight.t() @ weight + functional.embedding(torch.tensor([0, 1]), weight))
    assert torch.equal(found, 4 * torch.ones(2, 2))


def test_new_float_tensors_without_a_dtype_are_float32():
    factories = {
        "zeros": lambda **o: torch.zeros(2, **o),
        "arange": lambda **o: torch.arange(0.0, 3.0, **o),
        "tensor": lambda **o: torch.tensor([[1, 2.5]], **o),
        "full": lambda **o: torch.full((2,), 1.5, **o),
    }
    torch.set_default_dtype(torch.float64)
    try:
        for name, make in factories.items():
            assert make().dtype == torch.float64
            assert within(Plain(), make).dtype == torch.float32, name
            assert within(Plain(), partial(make, dtype=torch.float64)).dtype == torch.float64, name
    finally:
        torch.set_default_dtype(torch.float32)
    for whole in (lambda: torch.arange(3), lambda: torch.tensor([1, 2]), lambda: torch.full((2,), 1)):
        assert within(Plain(), whole).dtype == torch.int64
    assert not is_default(torch.arange, (3,), {})
    assert is_default(torch.arange, (3.0,), {})
    assert not is_default(torch.mm, (), {})


def test_only_errors_of_the_machine_are_raised_again():
    for error in (MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory: 5 bytes")):
        with pytest.raises(type(error)):
            unless_memory(error)
    unless_memory(RuntimeError("shapes do not fit"))


def test_products_in_a_narrower_type_are_refused(monkeypatch: pytest.MonkeyPatch):
    before = torch.backends.mkldnn.matmul.fp32_precision
    try:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        with pytest.raises(ModelError, match=r"computed in a narrower type in this process \(bf16\)"):
            squared(torch.ones(2, 2))
        torch.backends.mkldnn.matmul.fp32_precision = "tf32"
        monkeypatch.setattr(module, "_narrow", lambda setting: setting == "tf32")
        with pytest.raises(ModelError, match="tf32"):
            squared(torch.ones(2, 2))
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before
    squared(torch.ones(2, 2))
