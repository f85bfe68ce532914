"""Where Triton's kernels can run."""

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
def test_on_a_gpu_or_in_the_interpreter_where_there_is_triton(
    monkeypatch: pytest.MonkeyPatch, installed: bool, interpreter: str | None
):
    asked: list[str] = []
    monkeypatch.setattr(gpu, "find_spec", lambda name: asked.append(name) or (object() if installed else None))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if interpreter is not None:
        monkeypatch.setenv("TRITON_INTERPRET", interpreter)
    assert takes_triton(THERE) is installed
    assert takes_triton(HERE) is (installed and interpreter == "1")
    assert set(asked) == {"triton"}
