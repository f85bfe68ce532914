"""A network cut to its first layers, up to the first of each kind: much faster, and running the same code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, torch.dtype, type(None))
_FEW = 64  # numbers, up to which the values of a buffer are compared: it may hold settings rather than weights


def shorten(lm: Any, trunk: nn.Module) -> bool:
    """Remove all layers after the first of each kind from a network that belongs to the caller. Whether any were removed."""
    depth, removed = getattr(lm.config.get_text_config(), "num_hidden_layers", None), False
    for layers in list(_lists(trunk, depth)):
        kinds = _kinds(layers)
        keep = 1 + max(map(kinds.index, kinds), default=-1)
        removed |= keep < len(layers)
        del layers[keep:]
    return removed


def _lists(part: nn.Module, depth: int | None) -> Iterator[nn.ModuleList]:
    """The lists of `depth` modules, without those nested in one of them, which may be experts."""
    for child in part.children():
        if isinstance(child, nn.ModuleList) and len(child) == depth:
            yield child
        else:
            yield from _lists(child, depth)


def _kinds(layers: nn.ModuleList) -> list[dict[Any, Any]]:
    """The parts and settings of each layer, without settings that only number the layers."""
    all_set = [dict(_settings(layer)) for layer in layers]
    counts = {
        key
        for key in set().union(*all_set)
        if any(all(key not in each or each[key] == n + first for n, each in enumerate(all_set)) for first in (0, 1))
    }
    return [{key: value for key, value in each.items() if key not in counts} for each in all_set]


def _settings(layer: nn.Module) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, part in layer.named_modules():
        yield (name, "class"), type(part)
        for key, weight in part.named_parameters(recurse=False):
            yield (name, key), (weight.shape, weight.dtype)
        for key, value in [*vars(part).items(), *part.named_buffers(recurse=False)]:
            if isinstance(value, Tensor):
                yield (name, key), (value.shape, value.dtype, repr(value.tolist()) if value.numel() <= _FEW else "")
            elif key[0] != "_" and (isinstance(value, _PLAIN) or type(value) in (list, tuple, dict)):
                yield (name, key), value if isinstance(value, _PLAIN) else repr(value)
