"""States that calls must not change: of the process, of this thread, and of every part of a network."""

from __future__ import annotations

import locale
import logging
import random
import re
import signal
import sys
import warnings
from contextvars import copy_context
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from transformers.utils import logging as talk

State = dict[str, Any]
LEAST = sys.float_info.min  # half of it is a denormal number


def process() -> State:
    """The state of the process and of this thread that a call could change, or that could change a number."""
    return {
        "function modes": [id(torch._C._get_function_stack_at(i)) for i in range(torch._C._len_torch_function_stack())],
        "function modes in force": torch._C._is_torch_function_mode_enabled(),
        "dispatch modes": list(map(id, _get_current_dispatch_mode_stack())),
        "inference mode": torch.is_inference_mode_enabled(),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast dtype": torch.get_autocast_dtype("cpu"),
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "precision of products": torch.backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]
        "precision of matmul": _matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "denormals": LEAST / 2 > 0,
        "threads": torch.get_num_threads(),
        "random state of torch": torch.get_rng_state().numpy().tobytes(),
        "random state of numpy": _numpy_state(),
        "random state of Python": random.getstate(),
        "locale": locale.setlocale(locale.LC_ALL),
        "context variables": {var.name: id(value) for var, value in copy_context().items() if not _library_own(var.name)},
        "warnings": [(f[0], str(f[1]), f[2].__name__, str(f[3]), f[4]) for f in warnings.filters],
        "showing warnings": id(warnings.showwarning),
        "verbosity": (talk.get_verbosity(), talk.is_progress_bar_enabled(), logging.root.manager.disable),
        "standard streams": (id(sys.stdout), id(sys.stderr)),
        "interrupts": id(signal.getsignal(signal.SIGINT)),
    }


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError as error:  # two settings that disagree
        return str(error)[:60]


def _numpy_state() -> Any:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return kind, keys.tobytes(), *rest  # type: ignore[union-attr]


def _library_own(name: str) -> bool:
    return name.startswith(("decimal", "ContextVar", "numpy"))


def restore(state: State) -> None:
    """Restore a state of the process, as far as possible, so that a trial can continue after a failure."""
    while torch._C._len_torch_function_stack() > len(state["function modes"]):
        torch._C._pop_torch_function_stack()
    if torch.is_inference_mode_enabled() != state["inference mode"]:
        _kept.append(torch._C._InferenceMode(state["inference mode"]))
        _kept[-1].__enter__()
    torch.set_grad_enabled(state["gradients"])
    torch.set_autocast_enabled("cpu", state["autocast"])
    torch.set_default_dtype(state["default dtype"])
    torch.backends.mkldnn.matmul.fp32_precision = state["precision of products"]  # type: ignore[attr-defined]
    talk.set_verbosity(state["verbosity"][0])


_kept: list[Any] = []


def network(own: Any) -> State:
    """Every module by name: its type, its attributes, and its parameters and buffers with the addresses of their memory."""
    if own is None:
        return {}
    state: State = {"attention": own.config._attn_implementation}
    modules = [("", own)]
    while modules:
        name, module = modules.pop()
        values = vars(module)
        state[name] = {"": type(module), "attributes": frozenset(values)} | {k: _identity(v) for k, v in values.items()}
        modules += [
            (f"{name}.{child}" if name else child, part) for child, part in values["_modules"].items() if part is not None
        ]
    return state


def _identity(value: Any) -> Any:
    """A plain value of an attribute as it is; the identity of any other object."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return id(value), value.dtype, value.data_ptr(), value.requires_grad, value.is_inference()
    if isinstance(value, dict):
        return {key: _identity(each) if isinstance(each, torch.Tensor) else id(each) for key, each in value.items()}
    return id(value)


def config(own: Any) -> State:
    """The config of a network, with its parts."""
    return {} if own is None else {"config": repr(own.config.to_dict())}


def differences(before: State, now: State) -> list[str]:
    """The changes, one line each."""
    lines = []
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            lines += [f"{key}{'.' * bool(key)}{line}" for line in differences(old, new)]
        else:
            lines.append(f"{key}: {_change(old, new)}")
    return lines


def _change(before: Any, now: Any) -> str:
    if isinstance(before, frozenset) and isinstance(now, frozenset):
        return f"{sorted(now - before)} added, {sorted(before - now)} removed"
    return f"{_plain(before)} → {_plain(now)}"


def _plain(value: Any) -> str:
    """A short text, the same for all objects that differ only in their address."""
    return re.sub(r"\d{9,}", "…", repr(value))[:50]
