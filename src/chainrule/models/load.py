"""Loading of models by name: a packaged model, a folder, a .gguf file, or a hub id. Only safetensors and GGUF, no code."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from chainrule._warnings import quiet
from chainrule.errors import ModelError
from chainrule.models.checkpoint import Checkpoint, read, weight_names
from chainrule.models.damage import first_line, refusing
from chainrule.models.dtype import choose_dtype
from chainrule.models.instantiate import build, read_gguf
from chainrule.models.packaged import DEFAULT, PACKAGED, fault, folder
from chainrule.models.threads import choose as choose_threads

Wrap = Callable[[Any, str], Any]

_TEXTS = ("*.json", "*.model", "*.txt", "*.tiktoken", "*.spm", "*.jinja")  # files of a hub repository other than weights


def load_model(
    name: str | Path | None, wrap: Wrap, *, dtype: str = "float32", device: str = "cpu", threads: int | None = None
) -> tuple[Any, Path]:
    """The model called `name`, and the folder or file of its tokenizer. Raises ModelError, with the remedy.

    `wrap` creates a model from a network of transformers and its name (see `engine.predictors.registry`).

    `dtype` "auto" is bfloat16 if the device has arithmetic for it, else float32; `dtype_reason` of the model is the reason.
    `threads` is the number of threads of the network (None: see `chainrule.models.threads.choose`).
    """
    name = DEFAULT if name is None else str(name)
    dtype, reason = choose_dtype(dtype, device)
    choose_threads(threads)
    with quiet(), refusing(name):
        source = _find(name)
        if isinstance(source, Path) and source.is_file():
            lm = read_gguf(source, dtype)
        else:
            checkpoint = read(source, str(source)) if isinstance(source, Path) else _from_hub(source)
            source, lm = checkpoint.folder, build(checkpoint, dtype)
        _refuse_nan(lm, name)
        model = wrap(_to_device(lm, device), name)
    model.dtype_reason = reason
    return model, source


def _is_gguf(source: Path | str) -> bool:
    return str(source).lower().endswith(".gguf")


def _find(name: str) -> Path | str:
    """The path of a packaged model, folder or file; else the name as a hub id. Raises ModelError if it can be neither."""
    if name in PACKAGED:
        if reason := fault(name):
            raise ModelError(f"{name} {reason}; run: chainrule pull {name}")
        return folder(name)
    if not name.strip():
        raise ModelError(f"{name!r} is not the name of a model folder or file; give one, or a hub id")
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        if not _is_gguf(path):
            raise ModelError(f"{name} is a file, but not a .gguf file; give a model folder, a .gguf file or a hub id")
        return path
    if _is_gguf(name) or name.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ModelError(f"there is no model folder or file {name!r}; check the path")
    return name


def _from_hub(name: str) -> Checkpoint:
    """The checkpoint of a hub model, from the hub's cache, or from the network, since the user has named it."""
    with suppress(Exception):  # missing from the cache, or incomplete there
        return read(_snapshot(name, local=True), name)
    try:
        return read(_snapshot(name, local=False), name)  # without a network, the hub's client returns the cached files
    except ModelError:
        raise
    except Exception as error:  # of the network, the name, or writing to the cache
        raise ModelError(
            f"{name!r} is not a folder or packaged model here, is not in the hub's cache, and could not be fetched from the "
            f"hub ({first_line(error)}); check the name and the network, or give a model folder or a .gguf file, or run "
            f"chainrule pull {DEFAULT} and use that"
        ) from error


def _snapshot(name: str, local: bool) -> Path:
    """The folder with the files of a hub model: the config and tokenizer first, then only the weights that they name."""
    from huggingface_hub import snapshot_download

    texts = Path(snapshot_download(name, allow_patterns=[*_TEXTS], ignore_patterns="*/*", local_files_only=local))
    with refusing(name):
        weights = weight_names(texts)
    return Path(snapshot_download(name, allow_patterns=weights, local_files_only=local))


def _refuse_nan(lm: Any, name: str) -> None:
    bad = [key for key, p in lm.named_parameters() if torch.isnan(p.sum()) and torch.isnan(p).any()]
    if bad:
        raise ModelError(f"{name} has NaN in its weights ({bad[0]}{' and others' if len(bad) > 1 else ''}): it is damaged")


def _to_device(lm: Any, device: str) -> Any:
    if str(device).startswith("mps"):
        raise ModelError("device 'mps' has no float64, which sums require; use device='cpu'")
    try:
        return lm.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot move the model to device {device!r}: {first_line(error)}") from error
