"""Protection from damaged or hostile checkpoints: one-line errors for all failures, and checks of files and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.errors import ChainruleError, ModelError

AGAIN = "download the checkpoint again"
_MOST = 1 << 26  # no size, count or number of positions of a model is larger
_PADDED = re.compile(r"^(mamba_)?chunk_size$|attn_chunk_length$")  # texts are padded to it, and it is squared
_LAYERS = re.compile(r"layer")
_BLOCKS = re.compile(r"block_count$")
_NO_SIZE = re.compile(r"theta|freq_base|seed|param|flop|token|_ids?$|max_\w*length|context_length|version|timestamp")
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Extent:
    """The amount of data in the files of a checkpoint."""

    tensors: int
    elements: int  # of all tensors together
    blocks: int | None = None  # layers, if the tensor names show them


@contextmanager
def refusing(label: str) -> Iterator[None]:
    """Convert any failure of a checkpoint to a one-line ModelError. Interrupts and chainrule's own errors are not converted.

    transformers raises nearly any type, and Rust panics do not derive from Exception. The cause is kept.
    """
    try:
        yield
    except (ChainruleError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise ModelError(f"cannot load {label}: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """A one-line description of an error raised by transformers."""
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code from the checkpoint, but chainrule never runs such code"
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "there is not enough memory for it"
    if "ignore_mismatched_sizes" in text:
        return f"its weights do not have the shapes in its config; {AGAIN}"
    if "not a valid JSON file" in text:  # of a .gguf file only: config.json is already parsed
        return f"its header contains text that is not UTF-8; {AGAIN}"
    if type(error).__name__.startswith("StrictDataclass"):
        return f"its config is damaged ({first_line(error.__cause__ or error)}); {AGAIN}"
    if isinstance(error, (OSError, ValueError, ImportError, RuntimeError)) and not isinstance(error, RecursionError):
        return first_line(error)
    return f"it is damaged, or not a model that transformers supports ({type(error).__name__}: {first_line(error)})"


def first_line(error: BaseException) -> str:
    """The first line of a message, with the second if the first ends in a colon; at most 500 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 1 + lines[0].endswith(":")])[:500]


def check_file(file: Path) -> None:
    """Raises ValueError unless the file, with links resolved, is a regular, non-empty file and not a git-lfs pointer.

    Links are allowed: weights are linked from shared disks, and the hub's cache consists of links. A FIFO would block.
    """
    if not file.exists():
        raise ValueError(f"{file.name} {'is a dangling link' if file.is_symlink() else 'is missing'}; {AGAIN}")
    if not file.is_file():
        raise ValueError(f"{file.name} is a device, pipe or folder, not a file")
    check_pointer(file)
    if not file.stat().st_size:
        raise ValueError(f"{file.name} is empty; {AGAIN}")


def check_pointer(file: Path) -> None:
    """Raises ValueError for a git-lfs pointer."""
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise ValueError(
                f"{file.name} is a git-lfs pointer in place of the file itself; run git lfs pull where it was cloned"
            )


def check_numbers(config: Mapping[str, Any], extent: Extent) -> None:
    """Raises ValueError for numbers that no model has, before transformers allocates a list of that length."""
    values: list[tuple[str, Any]] = list(config.items())
    while values:
        key, value = values.pop()
        if isinstance(value, Mapping):
            values.extend((str(name), inner) for name, inner in value.items())
        elif isinstance(value, list):
            values.extend((key, inner) for inner in value)
        elif isinstance(value, int) and value > (most := _most(key, extent)):
            raise ValueError(f"its config says {key} = {value}, but with its weights it can be {most:,} at most; {AGAIN}")


def _most(key: str, extent: Extent) -> float:
    """The largest plausible value. Layers have their own tensors, except in the few models that share them."""
    if extent.blocks is not None and _BLOCKS.search(key):
        return extent.blocks
    if _LAYERS.search(key):
        return max(1000, extent.tensors)
    if _PADDED.search(key):
        return 4096
    return float("inf") if _NO_SIZE.search(key) else _MOST
