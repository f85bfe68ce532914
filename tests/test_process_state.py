"""Numbers do not depend on the state of the process, and calls leave the state unchanged."""

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
ROUNDING = 1e-4  # nats, where a reason for other bits is reported
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
    """The results of all states, each tried in its own process, since some corrupt memory in unprotected code."""
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
    wrong = {kind: result for kind, result in outcomes[name].items() if not _right(result, loose, kernels)}
    assert not wrong, "\n".join(f"{kind}: {result}" for kind, result in wrong.items())


def _right(result: dict[str, Any], loose: bool, other_kernels: bool) -> bool:
    if "died" in result or result.get("changes"):
        return False
    if result.get("same"):
        return True
    return loose and (result["reported"] or other_kernels) and result.get("difference", 0.0) <= ROUNDING


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


def test_fake_tensors_are_refused():
    lm = tiny("llama").lm
    before = lm.score([5, 9]).logprobs
    with FakeTensorMode(), pytest.raises(ModelError, match="within FakeTensorMode tensors hold no numbers"):
        lm.score([5, 9])
    assert np.array_equal(lm.score([5, 9]).logprobs, before)


def test_new_tensors_have_an_explicit_dtype_and_device():
    """Torch's defaults may have been changed by other code, even in another thread."""
    problems = [
        f"{module.relative_to(SOURCE)}:{call.lineno} torch.{name} names no {' and no '.join(missing)}"
        for module, call, name in _torch_calls()
        if name in FACTORIES and (missing := sorted({"dtype", "device"} - {k.arg for k in call.keywords if k.arg}))
    ]
    assert not problems, "\n".join(problems)


def test_no_code_changes_settings_of_the_process():
    problems = [
        f"{module.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node)[:90]}"
        for module, node in _nodes()
        if (setting := _setting(node)) and (module.relative_to(SOURCE).as_posix(), setting) not in ALLOWED
    ]
    assert not problems, "\n".join(problems)


def _nodes() -> Iterator[tuple[Path, Any]]:
    for module in sorted(SOURCE.rglob("*.py")):
        yield from ((module, node) for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))))


def _torch_calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Calls of functions of torch itself."""
    for module, node in _nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "torch":
            yield module, node, node.func.attr


def _setting(node: Any) -> str:
    """The setting of the process that a call, an assignment or a context changes; empty for other nodes."""
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
