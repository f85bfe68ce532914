"""A network with the first layers only, up to the first of each kind: much quicker, and made of the same code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, torch.dtype, type(None))
_FEW = 64  # numbers of a tensor that may set something, and are no weights


def shorten(lm: Any, trunk: nn.Module) -> bool:
    """Drop layers of a network that nobody else runs, up to the first of each kind; whether there were any to drop."""
    depth, found = getattr(lm.config.get_text_config(), "num_hidden_layers", None), False
    for layers in list(_lists(trunk, depth)):
        kinds = _kinds(layers)
        keep = 1 + max(map(kinds.index, kinds), default=-1)
        found |= keep < len(layers)
        del layers[keep:]
    return found


def _lists(part: nn.Module, depth: int | None) -> Iterator[nn.ModuleList]:
    """The lists of so many modules; not those within one of them, which may be as many experts."""
    for child in part.children():
        if isinstance(child, nn.ModuleList) and len(child) == depth:
            yield child
        else:
            yield from _lists(child, depth)


def _kinds(layers: nn.ModuleList) -> list[dict[Any, Any]]:
    """What each layer is made of, and what its parts are set to; but for what only counts the layers."""
    all_set = [dict(_settings(layer)) for layer in layers]
    counts = {
        key
        for key in set().union(*all_set)
        if any(all(key not in found or found[key] == n + first for n, found in enumerate(all_set)) for first in (0, 1))
    }
    return [{key: value for key, value in found.items() if key not in counts} for found in all_set]


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
