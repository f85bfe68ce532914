"""Whether Triton kernels can run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chainrule.ops import gpu
from chainrule.ops.gpu import takes_triton

HERE: Any = SimpleNamespace(is_cuda=False)
THERE: Any = SimpleNamespace(is_cuda=True)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("interpreter", [None, "0", "1"])
def test_triton_runs_on_a_gpu_or_in_its_interpreter(monkeypatch: pytest.MonkeyPatch, installed: bool, interpreter: str | None):
    names: list[str] = []
    monkeypatch.setattr(gpu, "find_spec", lambda name: names.append(name) or (object() if installed else None))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if interpreter is not None:
        monkeypatch.setenv("TRITON_INTERPRET", interpreter)
    assert takes_triton(THERE) is installed
    assert takes_triton(HERE) is (installed and interpreter == "1")
    assert set(names) == {"triton"}
