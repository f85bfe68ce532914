"""dtype="auto" is bfloat16 only on hardware with bfloat16 arithmetic, and the reason is reported."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import chainrule
from chainrule import ModelError
from chainrule.engine.predictors.registry import network_class, wrap
from chainrule.models import dtype as precision
from chainrule.models.dtype import bfloat16_arithmetic, choose_dtype, cpu_capabilities
from chainrule.models.load import load_model

Cpu = Callable[..., None]


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Cpu:
    """A function that simulates a CPU with these capabilities."""

    def make(*names: str, onednn: bool = True) -> None:
        monkeypatch.setattr(precision, "cpu_capabilities", lambda: {"avx2", *names})
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)

    return make


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16"])
def test_auto_with_arithmetic(cpu: Cpu, name: str):
    cpu(name)
    assert choose_dtype("auto", "cpu") == ("bfloat16", f"bfloat16, because this CPU has bfloat16 arithmetic ({name})")


def test_auto_without_arithmetic(cpu: Cpu):
    cpu("avx512_vnni")
    dtype, reason = choose_dtype("auto", "cpu")
    assert dtype == "float32"
    assert reason.startswith("float32, because this CPU has no bfloat16 arithmetic (neither AVX512-BF16 ")


def test_auto_without_support_in_pytorch(cpu: Cpu):
    cpu("bf16", onednn=False)
    dtype, reason = choose_dtype("auto", "cpu")
    assert (dtype, "it has no oneDNN" in reason) == ("float32", True)


def test_bfloat16_without_arithmetic_warns(cpu: Cpu):
    cpu()
    with pytest.warns(
        UserWarning, match=r"slower here than float32, .* this CPU has no bfloat16 .*dtype='auto' chooses"
    ) as caught:
        dtype, reason = choose_dtype("bfloat16", "cpu")
    assert caught[0].filename == __file__
    assert dtype == "bfloat16"
    assert reason.startswith("bfloat16, as given, although this CPU has no bfloat16 arithmetic")


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_other_dtypes_are_unchanged(cpu: Cpu, dtype: str):
    cpu()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_dtype(dtype, "cpu") == (dtype, f"{dtype}, as given")


def test_an_unknown_dtype():
    with pytest.raises(ModelError, match="dtype 'int8' is not one of float32, bfloat16, float16, float64, auto"):
        choose_dtype("int8", "cpu")


@pytest.mark.parametrize(("has", "want"), [(True, "bfloat16"), (False, "float32")])
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_is_queried_for_bfloat16(monkeypatch: pytest.MonkeyPatch, has: bool, want: str, device: str):
    def supported(including_emulation: bool = True) -> bool:
        return has or including_emulation

    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_dtype("auto", device)[0] == want
    assert bfloat16_arithmetic(device)[1] == f"this GPU has {'' if has else 'no '}bfloat16 arithmetic"


def test_a_missing_gpu(monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object) -> Any:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "current_device", missing)
    assert choose_dtype("auto", "cuda") == ("float32", "float32, because there is no device cuda")


def test_an_unknown_device():
    assert choose_dtype("auto", "xpu") == ("float32", "float32, because it is not known whether xpu has bfloat16 arithmetic")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\nprocessor\t: 1\n", {"fpu", "avx2", "avx512_bf16"}),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("nothing\n", set()),
    ],
)
def test_an_older_pytorch_falls_back_to_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, want: set[str]):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_capabilities(tmp_path / "cpuinfo") == want
    assert cpu_capabilities(tmp_path / "missing") == set()


def test_this_cpu():
    """PyTorch and Linux report the same capabilities of this CPU."""
    linux = Path("/proc/cpuinfo")
    if linux.exists():
        words = set(linux.read_text().split())
        assert cpu_capabilities() & {"avx512_bf16", "amx_bf16", "bf16"} == words & {"avx512_bf16", "amx_bf16", "bf16"}


@pytest.mark.parametrize(("names", "want"), [(("amx_bf16",), torch.bfloat16), ((), torch.float32)])
def test_a_model_reports_its_dtype_reason(cpu: Cpu, tiny_folder: Path, names: tuple[str, ...], want: torch.dtype):
    cpu(*names)
    model, _ = load_model(tiny_folder, network_class, wrap, dtype="auto")
    assert model.dtype == want
    assert model.dtype_reason.startswith(f"{str(want).removeprefix('torch.')}, because this CPU has ")
    assert load_model(tiny_folder, network_class, wrap)[0].dtype_reason == "float32, as given"


def test_the_warning_points_at_the_users_line(cpu: Cpu, tiny_folder: Path):
    cpu()
    with pytest.warns(UserWarning, match="bfloat16") as caught:
        chainrule.load(tiny_folder, dtype="bfloat16")
    assert caught[0].filename == __file__
