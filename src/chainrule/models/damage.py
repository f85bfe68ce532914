"""Limits to what a damaged or hostile checkpoint can do: one line for whatever it fails with, bounds on what it has built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module

from chainrule.errors import ChainruleError, ModelError

AGAIN = "fetch the checkpoint again"
_MOST = 1 << 26  # no size, count or number of places of a model is larger
_PADDED = re.compile(r"^(mamba_)?chunk_size$|attn_chunk_length$")  # texts are padded to it, and squares of it made
_LAYERS = re.compile(r"layer")
_BLOCKS = re.compile(r"block_count$")
_NO_SIZE = re.compile(r"theta|freq_base|seed|param|flop|token|_ids?$|max_\w*length|context_length|version|timestamp")
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Extent:
    """How much the files of a checkpoint hold."""

    tensors: int
    elements: int  # of all tensors together
    blocks: int | None = None  # layers, where the names of the tensors tell


@contextmanager
def refusing(label: str) -> Iterator[None]:
    """Whatever a checkpoint fails with becomes a ModelError of one line. Only interrupts and chainrule's own errors pass.

    transformers raises nearly anything, and Rust's panics are no Exception; the cause stays attached.
    """
    try:
        yield
    except (ChainruleError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise ModelError(f"cannot load {label}: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """One line for what transformers raises."""
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code that comes with the checkpoint, and chainrule never runs such code"
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "there is not enough memory for it"
    if "ignore_mismatched_sizes" in text:
        return f"its weights have other shapes than its config says; {AGAIN}"
    if "not a valid JSON file" in text:  # said of a .gguf file alone, since config.json has been read
        return f"its header holds text that is no UTF-8; {AGAIN}"
    if type(error).__name__.startswith("StrictDataclass"):
        return f"its config is damaged ({first_line(error.__cause__ or error)}); {AGAIN}"
    if isinstance(error, (OSError, ValueError, ImportError, RuntimeError)) and not isinstance(error, RecursionError):
        return first_line(error)
    return f"it is damaged, or no model that transformers knows ({type(error).__name__}: {first_line(error)})"


def first_line(error: BaseException) -> str:
    """The first line of a message, and the next where the first only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 1 + lines[0].endswith(":")])[:500]


def check_file(file: Path) -> None:
    """Raises ValueError for what is no regular file once links are followed, is empty, or is a git-lfs pointer.

    Links are allowed, for weights are linked from shared disks, and the hub's cache is made of links. A FIFO would hang.
    """
    if not file.exists():
        raise ValueError(f"{file.name} {'is a link to nothing' if file.is_symlink() else 'is missing'}; {AGAIN}")
    if not file.is_file():
        raise ValueError(f"{file.name} is a device, pipe or folder, and no file")
    check_pointer(file)
    if not file.stat().st_size:
        raise ValueError(f"{file.name} is empty; {AGAIN}")


def check_pointer(file: Path) -> None:
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise ValueError(
                f"{file.name} is a git-lfs pointer in place of the file itself; run git lfs pull where it was cloned"
            )


def check_numbers(config: Mapping[str, Any], extent: Extent) -> None:
    """Raises ValueError for numbers that no model has, before a list of so many things is made of one."""
    values: list[tuple[str, Any]] = list(config.items())
    while values:
        key, value = values.pop()
        if isinstance(value, Mapping):
            values.extend((str(name), inner) for name, inner in value.items())
        elif isinstance(value, list):
            values.extend((key, inner) for inner in value)
        elif isinstance(value, int) and value > (most := _most(key, extent)):
            raise ValueError(f"its config says {key} = {value}, and with its weights {most:,} is the most; {AGAIN}")


def _most(key: str, extent: Extent) -> float:
    """Layers have tensors of their own, but for the few models that use one several times."""
    if extent.blocks is not None and _BLOCKS.search(key):
        return extent.blocks
    if _LAYERS.search(key):
        return max(1000, extent.tensors)
    if _PADDED.search(key):
        return 4096
    return float("inf") if _NO_SIZE.search(key) else _MOST


@contextmanager
def bounded(extent: Extent, packed: bool = False) -> Iterator[None]:
    """While this thread builds a network: ValueError as soon as it has far more of anything than the files can fill.

    transformers builds without memory (on the meta device) and makes room afterwards, also for what the files lack. Heads
    that are tied are built apart, so a few times the files' elements are in order; packed ones hold several weights each.
    """
    here, modules, elements, bytes_ = get_ident(), 0, 0, 0
    most_modules = 20_000 + 16 * extent.tensors
    most_elements = (1 << 24) + extent.elements * (64 if packed else 4)
    most_bytes = (1 << 30) + extent.elements * 8  # of tables that are computed

    def check(what: str, asked: int, most: int) -> None:
        if asked > most:
            raise ValueError(f"its config asks for more {what} than its weights can fill (over {most:,}); {AGAIN}")

    def on_module(owner: nn.Module, name: str, made: nn.Module | None) -> None:
        nonlocal modules
        if get_ident() == here:
            modules += 1
            check("layers and parts", modules, most_modules)

    def on_parameter(owner: nn.Module, name: str, made: nn.Parameter | None) -> None:
        nonlocal elements
        if get_ident() == here and made is not None:
            elements += made.numel()
            check("numbers", elements, most_elements)

    def on_buffer(owner: nn.Module, name: str, made: Tensor | None) -> None:
        nonlocal bytes_
        if get_ident() == here and made is not None:
            bytes_ += made.numel() * made.element_size()
            check("bytes of tables", bytes_, most_bytes)

    with ExitStack() as hooks:
        hooks.enter_context(module.register_module_module_registration_hook(on_module))
        hooks.enter_context(module.register_module_parameter_registration_hook(on_parameter))
        hooks.enter_context(module.register_module_buffer_registration_hook(on_buffer))
        yield
