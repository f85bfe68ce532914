"""A computation that the state of the process does not reach, and that leaves none of its own.

    thread     autocast, gradient mode, function and dispatch modes of others: off for the time of the call
    process    torch's default dtype: tensors name theirs; the types that float32 products are computed in: refused
    context    what a call hands down to modules and attention: context variables, in a copy of the context

An exception may come at any time, Ctrl-C between any two bytecodes. So each state that is set for a while is set and set back
by one call into C, within `try` and `finally` (`between`); and a copied context ends with its call.
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
from torch._C import _InferenceMode  # what torch.inference_mode enters, by two calls into C
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from chainrule.errors import ModelError
from chainrule.ops.bounds import BOUNDED
from chainrule.ops.convolution import CONVOLUTIONS

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")

FLOAT = torch.float32  # of a tensor of floats whose type nobody names: torch's default, unless the process has set another
SIDE = 512  # of the matrices of a trial: small products are always computed in full
_IN_PLACE = re.compile(  # functions that write
    r"(?!requires_grad_|_)\w+_|_foreach_\w+_|__(setitem|i(add|sub|mul|div|truediv|pow))__"
)
_DEVICES = ("cpu", "cuda")  # for each of which autocast is on or off


def sealed(function: Callable[P, T]) -> Callable[P, T]:
    """`function` in inference mode, out of reach of autocast and of the function modes of others.

    Raises ModelError where float32 products are computed in a narrower type in this process.
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
    found = run()
    _refuse_narrow_products()  # another thread may have set it meanwhile
    return found


def between(enter: Callable[[], object], leave: Callable[[], object], run: Callable[[], T]) -> T:
    """`run` between two calls into C, the second of which always comes.

    Python looks for interrupts after calls and on jumps backwards: never between entering `try` and the call of `enter`, nor
    between `run` and the call of `leave`. So both must be written in C; a function of Python could be interrupted within.
    """
    try:
        enter()
        return run()
    finally:
        leave()


def handed_down(variable: ContextVar[V], value: V, run: Callable[[], T]) -> T:
    """`run` with a context variable set, for modules and attention to ask for."""
    token = variable.set(value)
    try:
        return run()
    finally:
        variable.reset(token)


def guarded(make: Callable[[], Any], run: Callable[[], T]) -> T:
    """`run` under a guard of torch's written in C, some of which are in force as soon as they are made.

    One that an interrupt keeps from getting a name is gone at once, and what it did with it.
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
    """`run` within a function mode; `with` enters one by a function of Python, which an interrupt may leave half done."""
    depth = torch._C._len_torch_function_stack()
    try:
        torch._C._push_on_torch_function_stack(mode)
        found = run()
    except BaseException as error:
        try:
            _unwind(depth, error)
        finally:
            _unwind(depth, error)  # an interrupt may come while another exception is unwound
        raise
    torch._C._pop_torch_function_stack()
    return found


def _unwind(depth: int, error: BaseException) -> None:
    """Leave as many function modes as there were.

    For functions written in Python torch takes a mode off the stack by a generator, and an interrupt may come before that has
    put it back. It would do so whenever the exception is forgotten, so its frames are cleared first.
    """
    if torch._C._len_torch_function_stack() != depth + 1:
        held: BaseException | None = error
        while held is not None:
            clear_frames(held.__traceback__)
            held = held.__context__
    while torch._C._len_torch_function_stack() > depth:
        torch._C._pop_torch_function_stack()


class _Shield(TorchFunctionMode):
    """Keeps functions from the modes that others have entered in this thread (`torch.device("meta")` is one)."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        with torch._C.DisableTorchFunction():
            return func(*args, **(kwargs or {}))


class WeightsWritten(ModelError):
    """A forward was about to change weights, which the copies of a network have in common."""


class Plain(TorchFunctionMode):
    """Functions as they are where no default dtype was set: tensors of floats whose type nobody names are float32.

    Raises WeightsWritten for those that would change a tensor whose memory is in `kept`, before they do; and on a GPU
    IndexError for those that would look up what is not there.
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
    """Where the numbers of a tensor lie; the same for each view of it, and 0 where it has none."""
    try:
        return x.untyped_storage().data_ptr() if isinstance(x, Tensor) else 0
    except (RuntimeError, NotImplementedError):  # a subclass that holds its numbers in some other way
        return 0


def _written(func: Callable, args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """What a function writes into."""
    name = getattr(func, "__name__", "")
    if func in _RENORMALISING:  # rows of the table that are looked up
        options = {**dict(zip(("input", "weight", "padding_idx", "max_norm"), args, strict=False)), **kwargs}
        return [options["weight"]] if options.get("max_norm") is not None else []
    if name == "__set__":
        return [args[0]] if getattr(getattr(func, "__self__", None), "__name__", "") == "data" else []
    found = args[0] if args and _IN_PLACE.fullmatch(name) else []
    out = kwargs.get("out")
    return [
        *(found if isinstance(found, list | tuple) else [found]),
        *(out if isinstance(out, list | tuple) else [] if out is None else [out]),
    ]


_RENORMALISING = (functional.embedding, functional.embedding_bag)


def is_default(func: Any, args: tuple, kwargs: Mapping[str, Any] | None) -> bool:
    """Whether this call makes a tensor of torch's default dtype: floats, and no type is named."""
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
    """Whether any of the numbers is one: only then the result is of the default dtype."""
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
    """Raises the error again where memory ran out, or a GPU has stopped: that says nothing of what was being tried."""
    of_the_machine = MemoryError | torch.OutOfMemoryError | torch.AcceleratorError
    if isinstance(error, of_the_machine) or "can't allocate memory" in str(error):
        raise error


def _refuse_fakes() -> None:
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
        raise ModelError("within FakeTensorMode tensors hold no numbers, so there are none to score with: leave it first")


def _refuse_narrow_products() -> None:
    setting = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    narrow = setting == "bf16" or (setting not in ("none", "ieee") and _narrow(setting))
    if not narrow and torch.cuda.is_initialized():  # a GPU takes tf32 at its word
        setting = torch.backends.cuda.matmul.fp32_precision
        narrow = setting not in ("none", "ieee")
    if narrow:
        raise ModelError(
            f"products of float32 numbers may be computed in a narrower type in this process ({setting}), which moves factors; "
            "set it back while scoring: torch.set_float32_matmul_precision('highest')"
        )


@cache
def _narrow(setting: str) -> bool:
    """Whether this machine computes them so under the setting at hand: most take no notice of tf32, which has 10 digits."""
    x = torch.full((SIDE, SIDE), 1 + 2.0**-12, dtype=torch.float32, device="cpu")
    return not torch.equal(torch.mm(x, torch.eye(SIDE, dtype=torch.float32, device="cpu")), x)
