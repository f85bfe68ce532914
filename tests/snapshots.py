"""What calls must leave as it was: the state of the process and of this thread, and every part of a network."""

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
    """All of the process, and of this thread, that a call could change, or that could change a number."""
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
    except RuntimeError as error:  # it was set in two ways that do not agree
        return str(error)[:60]


def _numpy_state() -> Any:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return kind, keys.tobytes(), *rest  # type: ignore[union-attr]


def _library_own(name: str) -> bool:
    return name.startswith(("decimal", "ContextVar", "numpy"))


def restore(state: State) -> None:
    """As far as that can be had from outside, so that a trial can go on after something has stayed in place."""
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
    """Every module by name: which one it is, what is set on it, its parameters and buffers, and where their numbers lie."""
    if own is None:
        return {}
    found: State = {"attention": own.config._attn_implementation}
    to_see = [("", own)]
    while to_see:
        name, module = to_see.pop()
        held = vars(module)
        found[name] = {"": type(module), "attributes": frozenset(held)} | {key: _seen(value) for key, value in held.items()}
        to_see += [(f"{name}.{child}" if name else child, part) for child, part in held["_modules"].items() if part is not None]
    return found


def _seen(value: Any) -> Any:
    """What a module's attribute is seen to be: a plain value itself, of other things which one it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return id(value), value.dtype, value.data_ptr(), value.requires_grad, value.is_inference()
    if isinstance(value, dict):
        return {key: _seen(each) if isinstance(each, torch.Tensor) else id(each) for key, each in value.items()}
    return id(value)


def config(own: Any) -> State:
    """What the configs of a network say."""
    return {} if own is None else {"config": repr(own.config.to_dict())}


def differences(before: State, now: State) -> list[str]:
    """What is no longer as it was, one line each."""
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{key}{'.' * bool(key)}{line}" for line in differences(old, new)]
        else:
            found.append(f"{key}: {_change(old, new)}")
    return found


def _change(before: Any, now: Any) -> str:
    if isinstance(before, frozenset) and isinstance(now, frozenset):
        return f"{sorted(now - before)} came, {sorted(before - now)} went"
    return f"{_plain(before)} → {_plain(now)}"


def _plain(value: Any) -> str:
    """In few words, and the same ones for all objects in its place."""
    return re.sub(r"\d{9,}", "…", repr(value))[:50]
