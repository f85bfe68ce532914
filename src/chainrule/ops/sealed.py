"""Computations isolated from the state of the process, which they leave unchanged.

    thread     autocast, gradient mode, function and dispatch modes of other code: off for the duration of the call
    process    torch's default dtype: tensors name theirs; reduced precision of float32 products: refused
    context    values that a call passes to modules and attention: context variables, in a copy of the context

An exception may come at any time; Ctrl-C between any two bytecodes. So each state is set and restored by one call into C,
within `try` and `finally` (`between`), and a copied context ends with its call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar, copy_context
from functools import cache, partial, wraps
from traceback import clear_frames
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch._C import _InferenceMode  # the guard of torch.inference_mode, which enters it by two calls into C
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from chainrule.errors import ModelError
from chainrule.ops.bounds import BOUNDED
from chainrule.ops.convolution import CONVOLUTIONS

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")

FLOAT = torch.float32  # the dtype of tensors made without one: torch's default, unless the process has set another
SIDE = 512  # of the matrices of a trial: small products are always computed in full precision
_IN_PLACE = re.compile(  # names of functions that write in place
    r"(?!requires_grad_|_)\w+_|_foreach_\w+_|__(setitem|i(add|sub|mul|div|truediv|pow))__"
)
_DEVICES = ("cpu", "cuda")  # autocast is on or off for each of them


def sealed(function: Callable[P, T]) -> Callable[P, T]:
    """`function` in inference mode, unaffected by autocast and by the function modes of other code.

    Raises ModelError if the process computes float32 products in a narrower type.
    """

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> T:
        return copy_context().run(_sealed, partial(function, *args, **options))

    return call


def _sealed(run: Callable[[], T]) -> T:
    _refuse_fakes()
    _refuse_narrow_products()
    run = partial(guarded, partial(_InferenceMode, True), run)
    for device in _DEVICES:
        if torch.is_autocast_enabled(device):
            switch = partial(partial, torch.set_autocast_enabled, device)
            run = partial(between, switch(False), switch(True), run)
    if torch._C._len_torch_function_stack():
        run = partial(within, _Shield(), run)
    if torch._C._len_torch_dispatch_stack():
        run = partial(guarded, torch._C._DisableTorchDispatch, run)
    result = run()
    _refuse_narrow_products()  # another thread may have changed it during the call
    return result


def between(enter: Callable[[], object], leave: Callable[[], object], run: Callable[[], T]) -> T:
    """The result of `run` between two calls into C. The second call is always made.

    Python checks for interrupts after calls and on backward jumps: never between entering `try` and the call of `enter`, or
    between `run` and the call of `leave`. So both must be written in C; a Python function could be interrupted inside.
    """
    try:
        enter()
        return run()
    finally:
        leave()


def with_variable(variable: ContextVar[V], value: V, run: Callable[[], T]) -> T:
    """The result of `run` with a context variable set, which modules and attention read."""
    token = variable.set(value)
    try:
        return run()
    finally:
        variable.reset(token)


def guarded(make: Callable[[], Any], run: Callable[[], T]) -> T:
    """The result of `run` under one of torch's guards written in C. Some of them take effect on construction.

    A guard whose assignment is interrupted is destroyed at once, which undoes its effect.
    """
    guard = None
    try:
        guard = make()
        guard.__enter__()
        return run()
    finally:
        if guard is not None:
            guard.__exit__(None, None, None)


def within(mode: TorchFunctionMode, run: Callable[[], T]) -> T:
    """The result of `run` within a function mode. `with` would enter it by a Python function, which can be interrupted."""
    depth = torch._C._len_torch_function_stack()
    try:
        torch._C._push_on_torch_function_stack(mode)
        result = run()
    except BaseException as error:
        try:
            _unwind(depth, error)
        finally:
            _unwind(depth, error)  # an interrupt may come during the first attempt
        raise
    torch._C._pop_torch_function_stack()
    return result


def _unwind(depth: int, error: BaseException) -> None:
    """Remove function modes down to the given depth.

    For functions written in Python, torch takes a mode off the stack in a generator, and an interrupt may come before the
    generator has put it back. That would happen when the exception is freed, so its frames are cleared first.
    """
    if torch._C._len_torch_function_stack() != depth + 1:
        current: BaseException | None = error
        while current is not None:
            clear_frames(current.__traceback__)
            current = current.__context__
    while torch._C._len_torch_function_stack() > depth:
        torch._C._pop_torch_function_stack()


class _Shield(TorchFunctionMode):
    """Keeps functions from the modes that other code has entered in this thread (`torch.device("meta")` is one)."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        with torch._C.DisableTorchFunction():
            return func(*args, **(kwargs or {}))


class WeightsWritten(ModelError):
    """A forward was about to change weights, which the copies of a network share."""


class Plain(TorchFunctionMode):
    """Functions as they are with torch's own default dtype: float tensors made without a dtype are float32.

    Raises WeightsWritten before a function writes to a tensor whose memory is in `kept`, and, on a GPU, IndexError before one
    reads an index that is out of range.
    """

    def __init__(self, kept: Collection[int] = (), device: torch.device | None = None) -> None:
        super().__init__()
        self.kept, self.functions = kept, FACTORIES if device is None or device.type == "cpu" else _ON_GPU

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if self.kept and any(memory(x) in self.kept for x in _written(func, args, kwargs or {})):
            how = f"{func.__name__} with max_norm" if func in _RENORMALISING else func.__name__
            raise WeightsWritten(f"its forward changes its own weights ({how})")
        return self.functions.get(func, func)(*args, **(kwargs or {}))


def memory(x: Any) -> int:
    """The address of a tensor's memory, the same for each view of it; 0 if it has none."""
    try:
        return x.untyped_storage().data_ptr() if isinstance(x, Tensor) else 0
    except (RuntimeError, NotImplementedError):  # a subclass that stores its numbers in another way
        return 0


def _written(func: Callable, args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """The tensors that a function writes to."""
    name = getattr(func, "__name__", "")
    if func in _RENORMALISING:  # writes to the rows that are looked up
        options = {**dict(zip(("input", "weight", "padding_idx", "max_norm"), args, strict=False)), **kwargs}
        return [options["weight"]] if options.get("max_norm") is not None else []
    if name == "__set__":
        return [args[0]] if getattr(getattr(func, "__self__", None), "__name__", "") == "data" else []
    target = args[0] if args and _IN_PLACE.fullmatch(name) else []
    out = kwargs.get("out")
    return [
        *(target if isinstance(target, list | tuple) else [target]),
        *(out if isinstance(out, list | tuple) else [] if out is None else [out]),
    ]


_RENORMALISING = (functional.embedding, functional.embedding_bag)


def is_default(func: Any, args: tuple, kwargs: Mapping[str, Any] | None) -> bool:
    """Whether this call makes a tensor of torch's default dtype: of floats, and without a dtype."""
    floats, options = _FLOATS.get(func), kwargs or {}
    return floats is not None and options.get("dtype") is None and floats(*args, **options)


def _float32(factory: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(factory)
    def make(*args: Any, **options: Any) -> Tensor:
        return factory(*args, **(options | {"dtype": FLOAT} if is_default(factory, args, options) else options))

    return make


def _always(*_args: Any, **_options: Any) -> bool:
    return True


def _any_float(*args: Any, **_options: Any) -> bool:
    """Whether any of the numbers is a float: only then is the result of the default dtype."""
    return any(isinstance(number, float) for number in args)


def _holds_floats(data: Any, **_options: Any) -> bool:
    return isinstance(data, float) or (isinstance(data, list | tuple) and any(map(_holds_floats, data)))


def _filled_with_float(size: Any, fill_value: Any = None, **_options: Any) -> bool:
    return isinstance(fill_value, float)


_OF_FLOATS = (torch.zeros, torch.ones, torch.empty, torch.rand, torch.randn, torch.eye, torch.linspace, torch.logspace)
_FLOATS: dict[Any, Callable[..., bool]] = {
    **dict.fromkeys((*_OF_FLOATS, torch.scalar_tensor), _always),
    **dict.fromkeys((torch.tensor, torch.as_tensor), _holds_floats),
    torch.arange: _any_float,
    torch.full: _filled_with_float,
}
FACTORIES: dict[Any, Callable] = {factory: _float32(factory) for factory in _FLOATS}
_ON_GPU = FACTORIES | BOUNDED | CONVOLUTIONS


def unless_memory(error: Exception) -> None:
    """Raises the error again if memory ran out or a GPU has stopped: it then says nothing about the module that was tried."""
    of_the_machine = MemoryError | torch.OutOfMemoryError | torch.AcceleratorError
    if isinstance(error, of_the_machine) or "can't allocate memory" in str(error):
        raise error


def _refuse_fakes() -> None:
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
        raise ModelError("within FakeTensorMode tensors hold no numbers, so nothing can be scored; leave that mode first")


def _refuse_narrow_products() -> None:
    setting = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    narrow = setting == "bf16" or (setting not in ("none", "ieee") and _narrow(setting))
    if not narrow and torch.cuda.is_initialized():  # a GPU does use tf32
        setting = torch.backends.cuda.matmul.fp32_precision
        narrow = setting not in ("none", "ieee")
    if narrow:
        raise ModelError(
            f"products of float32 numbers may be computed in a narrower type in this process ({setting}), which moves factors; "
            "set it back while scoring: torch.set_float32_matmul_precision('highest')"
        )


@cache
def _narrow(setting: str) -> bool:
    """Whether this machine computes in a narrower type under this setting. Most ignore tf32, which has 10 bits."""
    x = torch.full((SIDE, SIDE), 1 + 2.0**-12, dtype=torch.float32, device="cpu")
    return not torch.equal(torch.mm(x, torch.eye(SIDE, dtype=torch.float32, device="cpu")), x)
