"""The dtype of the weights: float32, unless another is requested. "auto" is bfloat16 on hardware with bfloat16 arithmetic."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule._warnings import outside
from chainrule.errors import ModelError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16", "float64")
_CPU_NAMES = ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16")  # the last two are Arm


def check_dtype(dtype: str) -> None:
    """Raises ModelError for an unknown dtype."""
    if dtype not in (*DTYPES, "auto"):
        raise ModelError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}, auto")


def choose_dtype(dtype: str, device: str) -> tuple[str, str]:
    """The dtype to load, and the reason in one clause.

    "auto" is bfloat16 if the device has arithmetic for it, else float32. Without it, bfloat16 only saves memory, so an
    explicit "bfloat16" gives a warning. Raises ModelError for an unknown dtype.
    """
    check_dtype(dtype)
    if dtype not in ("auto", "bfloat16"):
        return dtype, f"{dtype}, as given"
    has, why = bfloat16_arithmetic(device)
    if dtype == "auto":
        return ("bfloat16", f"bfloat16, because {why}") if has else ("float32", f"float32, because {why}")
    if not has:
        warnings.warn(
            f"dtype='bfloat16' is slower here than float32, and less precise, because {why}; it only needs half the memory "
            "(dtype='auto' chooses)",
            stacklevel=outside(),
        )
    return "bfloat16", "bfloat16, as given" if has else f"bfloat16, as given, although {why}"


def name_of(dtype: torch.dtype | str) -> str:
    """The name without the prefix: "float32" for torch.float32. A str is a name already."""
    return dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")


def bfloat16_arithmetic(device: str) -> tuple[bool, str]:
    """Whether a device has bfloat16 arithmetic, and the reason as a clause."""
    kind = str(device).partition(":")[0]
    if kind == "cpu":
        return _of_cpu()
    if kind == "cuda":
        return _of_cuda(str(device))
    return False, f"it is not known whether {device} has bfloat16 arithmetic"


def _of_cpu() -> tuple[bool, str]:
    import torch

    names = [name for name in _CPU_NAMES if name in cpu_capabilities()]
    if not names:
        return False, "this CPU has no bfloat16 arithmetic (neither AVX512-BF16 nor AMX-BF16 nor Arm's BF16)"
    if not torch.backends.mkldnn.is_available():
        return False, f"this build of PyTorch does not use the CPU's bfloat16 arithmetic ({names[0]}): it has no oneDNN"
    return True, f"this CPU has bfloat16 arithmetic ({names[0]})"


def _of_cuda(device: str) -> tuple[bool, str]:
    import torch

    try:
        with torch.cuda.device(device if ":" in device else torch.cuda.current_device()):
            has = torch.cuda.is_bf16_supported(including_emulation=False)
    except (RuntimeError, AssertionError):  # no such device: moving the model to it raises the error
        return False, f"there is no device {device}"
    return has, f"this GPU has {'' if has else 'no '}bfloat16 arithmetic"


def cpu_capabilities(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The names of the CPU's capabilities, from PyTorch, or from Linux if PyTorch is too old to report them."""
    import torch

    get_capabilities: Any = getattr(torch.cpu, "get_capabilities", None)
    if get_capabilities is not None:
        return {name for name, present in get_capabilities().items() if present is True}
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    flags = next((line for line in lines if re.match(r"(flags|Features)\s*:", line)), "")
    return set(flags.partition(":")[2].split())
