"""Imports of torch and transformers on the command line, where this process is ours: a library may not arrange them.

transformers imports the compiler torch._dynamo for decorators of functions that scoring never calls, and pyarrow imports
pandas to find out that our lists are no Series. Here the compiler is imported when it is used, and pandas not for that
question. The garbage collector does not search modules that are being imported.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast

_COMPILER = "torch._dynamo"
_DECORATORS = ("allow_in_graph", "assume_constant_result", "disable")  # without effect unless code is being compiled
_ALONE = (f"{_COMPILER}._trace_wrapped_higher_order_op",)  # submodules that use nothing of the package

_ours = False  # whether this process runs our command line and nothing else


def claim() -> None:
    """Say that this process is ours. The collector is left out until a model has been loaded."""
    global _ours
    _ours = True
    gc.disable()


def release() -> None:
    """Leave imports to other code from now on."""
    global _ours
    if _ours:
        _ours = False
        gc.enable()


@contextmanager
def quick_imports() -> Iterator[None]:
    """Within the block, the compiler is left until it is used. The collector runs afterwards."""
    if not _ours:
        yield
        return
    if _COMPILER not in sys.modules:
        sys.meta_path.insert(0, cast("Any", _Finder()))
    try:
        yield
    finally:
        gc.freeze()  # modules stay, so the collector need not search them
        gc.enable()


def pyarrow_without_pandas() -> None:
    """Let pyarrow find no pandas. Lists and arrays of NumPy become columns all the same."""
    if not _ours or "pandas" in sys.modules:
        return
    import pyarrow

    finder: Any = _Without("pandas")
    sys.meta_path.insert(0, finder)
    try:
        pyarrow.array([0])  # it looks once
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds the compiler, as a module that is executed later, and executes it before its submodules are imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == _COMPILER and (spec := PathFinder.find_spec(name, path)) is not None and spec.loader is not None:
            spec.loader = cast("Any", _LaterLoader(spec.loader))
            return spec
        if name.startswith(f"{_COMPILER}.") and name not in _ALONE:
            execute(sys.modules.get(_COMPILER))
        return None


class _Without:
    """Finds that a module is not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _LaterLoader:
    """A loader that leaves the execution to the first use; as importlib.util.LazyLoader, which has no exceptions."""

    def __init__(self, loader: Any) -> None:
        self.own = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Later


class _Later(ModuleType):
    """A module that has not been executed. All but its decorators execute it."""

    def __getattr__(self, name: str) -> Any:
        if name in _DECORATORS:
            return partial(_decorated, self, name)
        if name.startswith("__"):  # of `inspect`, which looks at all modules
            raise AttributeError(name)
        execute(self)
        return getattr(self, name)


def execute(module: ModuleType | None) -> None:
    """Execute a module that was left until later."""
    if isinstance(module, _Later) and module.__spec__ is not None:
        loader: Any = module.__spec__.loader
        module.__class__ = ModuleType  # pyrefly: ignore[bad-argument-type]
        module.__spec__.loader = module.__loader__ = loader.own
        loader.own.exec_module(module)


def _decorated(module: ModuleType, name: str, function: Callable | None = None, *arguments: Any, **options: Any) -> Any:
    """A function that has this decorator once the module has been executed. Until then, nothing is compiled."""
    if function is None:
        return lambda later: _decorated(module, name, later, *arguments, **options)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(module, _Later):
            return function(*args, **kwargs)
        return getattr(module, name)(function, *arguments, **options)(*args, **kwargs)

    return call
