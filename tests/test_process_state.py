"""The state of the process is not the model's: numbers are the same under all of it, and all of it is left as it was."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import state_trial
import torch
from model_zoo import tiny
from torch._subclasses.fake_tensor import FakeTensorMode

from chainrule import ModelError

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "chainrule"
ROUNDING = 1e-4  # nats, where the reason for other bits is told
FACTORIES = {"empty", "zeros", "ones", "full", "tensor", "as_tensor", "asarray", "scalar_tensor", "arange", "range", "linspace",
             "logspace", "eye", "rand", "randn", "randint", "randperm", "normal", "empty_strided", "tril_indices",
             "triu_indices", "hann_window", "complex", "vander", "cartesian_prod"}  # fmt: skip
SETTERS = {"set_default_dtype", "set_default_device", "set_default_tensor_type", "set_num_threads", "set_num_interop_threads",
           "set_float32_matmul_precision", "set_flush_denormal", "use_deterministic_algorithms", "set_autocast_enabled",
           "set_autocast_dtype", "set_grad_enabled", "set_warn_always", "setlocale", "seterr", "setrecursionlimit",
           "setswitchinterval"}  # fmt: skip
ALLOWED = {("models/threads.py", "set_num_threads"), ("ops/sealed.py", "set_autocast_enabled")}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """Every state, tried in processes of their own: some make code that lets them in write over memory."""
    command, source = [sys.executable, str(HERE / "state_trial.py")], str(SOURCE.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each state needs a fork")
@pytest.mark.parametrize("name", state_trial.trials())
def test_numbers_do_not_depend_on(outcomes: dict[str, dict[str, Any]], name: str):
    loose = state_trial.loose(name)
    kernels = name.startswith(state_trial.OTHER_KERNELS)
    wrong = {kind: found for kind, found in outcomes[name].items() if not _right(found, loose, kernels)}
    assert not wrong, "\n".join(f"{kind}: {found}" for kind, found in wrong.items())


def _right(found: dict[str, Any], loose: bool, other_kernels: bool) -> bool:
    if "died" in found or found.get("left"):
        return False
    if found.get("same"):
        return True
    return loose and (found["told"] or other_kernels) and found.get("off", 0.0) <= ROUNDING


def test_tf32_is_refused_once_a_gpu_is_used(monkeypatch: pytest.MonkeyPatch):
    lm, before = tiny("llama").lm, torch.backends.cuda.matmul.fp32_precision
    want = lm.score([1, 2, 3]).logprobs
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert np.array_equal(lm.score([1, 2, 3]).logprobs, want)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        with pytest.raises(ModelError, match=r"in a narrower type in this process \(tf32\).*set_float32_matmul_precision"):
            lm.score([1, 2, 3])
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        assert np.array_equal(lm.score([1, 2, 3]).logprobs, want)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_where_tensors_hold_no_numbers():
    lm = tiny("llama").lm
    before = lm.score([5, 9]).logprobs
    with FakeTensorMode(), pytest.raises(ModelError, match="within FakeTensorMode tensors hold no numbers"):
        lm.score([5, 9])
    assert np.array_equal(lm.score([5, 9]).logprobs, before)


def test_new_tensors_name_their_type_and_their_device():
    """What is left to torch's defaults is what other code, in another thread even, has set them to."""
    found = [
        f"{module.relative_to(SOURCE)}:{call.lineno} torch.{name} names no {' and no '.join(missing)}"
        for module, call, name in _torch_calls()
        if name in FACTORIES and (missing := sorted({"dtype", "device"} - {k.arg for k in call.keywords if k.arg}))
    ]
    assert not found, "\n".join(found)


def test_nothing_sets_what_is_the_whole_process_s():
    found = [
        f"{module.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node)[:90]}"
        for module, node in _nodes()
        if (what := _set(node)) and (module.relative_to(SOURCE).as_posix(), what) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def _nodes() -> Iterator[tuple[Path, Any]]:
    for module in sorted(SOURCE.rglob("*.py")):
        yield from ((module, node) for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))))


def _torch_calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Calls of torch's own functions."""
    for module, node in _nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "torch":
            yield module, node, node.func.attr


def _set(node: Any) -> str:
    """The process-wide setting that a call, an assignment or a context sets; "" for others."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if name in SETTERS:
            return name
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if name in ("manual_seed", "seed") and owner in ("torch", "torch.random", "np.random", "numpy.random", "random"):
            return name
        return f"{owner}.{name}" if name == "flags" and ".backends" in owner else ""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return next((name for name in map(ast.unparse, targets) if name.startswith("torch.")), "")
