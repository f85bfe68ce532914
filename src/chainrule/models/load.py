"""Loading of models by name: a packaged model, a folder, a .gguf file, or a hub id. Only safetensors and GGUF, no code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainrule._warnings import quiet
from chainrule.errors import ModelError
from chainrule.models.adapter import CONFIG, Adapter, merged, read_adapter
from chainrule.models.checkpoint import Checkpoint, read, weight_names
from chainrule.models.conversion import converted
from chainrule.models.damage import first_line, refusing
from chainrule.models.dtype import choose_dtype
from chainrule.models.identify import identify
from chainrule.models.identity import WeightFile, digest_of, weight_files
from chainrule.models.instantiate import NetworkClass, build, read_gguf
from chainrule.models.locate import Located, locate
from chainrule.models.mapped import mapped
from chainrule.models.nan import refuse_nan
from chainrule.models.threads import choose as choose_threads

Wrap = Callable[[Any, str], Any]


def load_model(
    name: str | Path | None,
    network_class: NetworkClass,
    wrap: Wrap,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    adapter: str | Path | None = None,
    shared: Path | None = None,
) -> tuple[Any, Located]:
    """The model called `name`, and its location. Raises ModelError, with the remedy.

    `network_class` gives the class of the network for a config, and `wrap` makes a model of a network and its name; see
    `engine.predictors.registry`.

    `dtype` "auto" is bfloat16 if the device has arithmetic for it, else float32; `dtype_reason` of the model is the reason.
    `threads` is the number of threads of the network (None: see `chainrule.models.threads.choose`).
    `adapter` is the folder of a LoRA adapter, which is merged into the weights.
    `shared` is a folder in which processes that load the same model keep one copy of its weights; see
    `chainrule.models.mapped`.
    """
    located, lora = locate(name, revision, cache_dir), None if adapter is None else read_adapter(adapter)
    name = located.name
    dtype, reason = choose_dtype(dtype, device)
    choose_threads(threads)
    if located.kind == "gguf":
        located = replace(located, conversion=converted(located.path, dtype))
    files = _weight_files(located, lora)
    with quiet(), refusing(name):
        make = partial(_checked, name, located, dtype, network_class, lora)
        if shared is None or not str(device).startswith("cpu"):
            lm = make(None)
        else:
            lm = mapped(make, shared, _deciding(files, located, lora), dtype)
        model = wrap(_to_device(lm, device), name)
    model.dtype_reason, model.identity = (
        reason,
        identify(name, located.path, model.dtype, None if lora is None else lora.weights),
    )
    model.weights_digest = partial(digest_of, files)
    return model, located


def _weight_files(located: Located, adapter: Adapter | None) -> tuple[WeightFile, ...]:
    """The files that are read, in their present state; none if they cannot be listed, which loading reports."""
    folder = located.conversion or located.path
    with suppress(OSError, ValueError):
        names = [folder] if folder.is_file() else [folder / name for name in weight_names(folder)]
        return weight_files([*names, *([] if adapter is None else [adapter.weights])])
    return ()


def _checked(name: str, *arguments: Any) -> Any:
    """The network of `_network`. Raises ModelError if a weight is NaN."""
    lm = _network(*arguments)
    refuse_nan(lm, name)
    return lm


def _deciding(files: tuple[WeightFile, ...], located: Located, adapter: Adapter | None) -> list[Path]:
    """The files that decide the weights: those of the weights, and the configs; none if the weights cannot be listed."""
    folder = located.conversion or located.path
    configs = [] if folder.is_file() else [folder / "config.json"]
    configs += [] if adapter is None else [adapter.folder / CONFIG]
    return [*(file.path for file in files), *configs] if files else []


def _network(
    located: Located, dtype: str, network_class: NetworkClass, adapter: Adapter | None, tensors: dict[str, Tensor] | None
) -> Any:
    path = located.path
    if located.kind != "gguf":
        label = located.name if located.kind == "hub" else str(path)
        return build(_read(path, label, adapter, tensors), dtype, network_class)
    if located.conversion is None:
        if adapter is not None:
            raise ModelError(f"an adapter cannot be merged into {path}, which is not converted; convert the base model first")
        return read_gguf(path, dtype)
    lm = build(_read(located.conversion, str(path), adapter, tensors), dtype, network_class)
    lm.config._name_or_path = lm.name_or_path = path.stem  # as read_gguf
    return lm


def _read(folder: Path, label: str, adapter: Adapter | None, tensors: dict[str, Tensor] | None) -> Checkpoint:
    """The checkpoint in the folder with the adapter in its weights, or with the given tensors, which contain it."""
    checkpoint = read(folder, label)
    if tensors is not None:
        return replace(checkpoint, tensors=tensors)
    return checkpoint if adapter is None else merged(checkpoint, adapter)


def _to_device(lm: Any, device: str) -> Any:
    if str(device).startswith("mps"):
        raise ModelError("device 'mps' has no float64, which sums require; use device='cpu'")
    try:
        return lm.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot move the model to device {device!r}: {first_line(error)}") from error
