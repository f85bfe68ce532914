"""Models of transformers that are in memory already: never changed and never run (see `chainrule.models.transformer`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from chainrule.errors import ModelError, short
from chainrule.models.damage import refusing
from chainrule.models.dtype import name_of
from chainrule.models.nan import refuse_nan
from chainrule.models.threads import choose as choose_threads


def take(
    network: Any,
    wrap: Callable[[Any, str], Any],
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    threads: int | None = None,
) -> Any:
    """The model of a network in memory. dtype, device: None, or those of the network. Raises ModelError otherwise."""
    lm = _network(network)
    name = getattr(lm, "name_or_path", "") or type(lm).__name__
    _check_memory(lm, name)
    choose_threads(threads)
    with refusing(name):
        refuse_nan(lm, name)
        model = wrap(lm, name)
    own = name_of(model.dtype)
    if dtype is not None and name_of(dtype) != own:
        raise ModelError(
            f"dtype={name_of(dtype)!r} was given, but the model in memory is {own}; convert it first, or omit dtype"
        )
    if device is not None and not _same(device, model.device):
        raise ModelError(
            f"device={str(device)!r} was given, but the model in memory is on {model.device}; move it first, or omit device"
        )
    model.dtype_reason = f"{own}, that of the model in memory"
    return model


def _network(given: Any) -> Any:
    """The model of transformers: the given one, or the one inside the result of torch.compile. Raises ModelError."""
    from transformers import PreTrainedModel

    lm = getattr(given, "_orig_mod", given)
    if hasattr(lm, "merge_and_unload") or hasattr(lm, "get_base_model"):
        raise ModelError(
            f"{type(lm).__name__} is a model with adapters, but chainrule scores whole models: merge them first, with "
            "merge_and_unload(), which changes the model"
        )
    if not isinstance(lm, PreTrainedModel):
        raise ModelError(
            f"load takes the name of a model or a model of transformers, not {type(given).__name__} ({short(given)}); a model "
            "of another kind is passed to LanguageModel(model, tokenizer)"
        )
    return lm


def _check_memory(lm: Any, name: str) -> None:
    """Raises ModelError unless all weights are in the memory of one device."""
    devices = sorted({str(tensor.device) for tensor in [*lm.parameters(), *lm.buffers()]})
    if "meta" in devices:
        raise ModelError(f"{name} ({type(lm).__name__}) has weights without values (on the device 'meta'): load them first")
    if len(devices) > 1:
        raise ModelError(f"{name} ({type(lm).__name__}) is on several devices ({', '.join(devices)}): move it to one")


def _same(device: str | torch.device, own: torch.device) -> bool:
    """Whether a device is the model's. "cuda" is any GPU."""
    try:
        asked = torch.device(device)
    except RuntimeError:
        return False
    return asked.type == own.type and asked.index in (None, own.index or 0)
