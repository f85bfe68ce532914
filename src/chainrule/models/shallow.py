"""A network with the first layers only, up to the first of each kind: much quicker, and made of the same code."""

from __future__ import annotations

from typing import Any

from torch import nn

_OF_ITS_PLACE = {"layer_idx", "layer_index", "layer_id", "layer_num", "layer_number"}  # what tells layers of one kind apart


def shorten(lm: Any, trunk: nn.Module) -> bool:
    """Drop layers of a network that nobody else runs, up to the first of each kind; whether there were any to drop."""
    depth, found = getattr(lm.config.get_text_config(), "num_hidden_layers", None), False
    for part in trunk.modules():
        if isinstance(part, nn.ModuleList) and len(part) == depth:
            kinds = [_kind(layer) for layer in part]
            keep = 1 + max(kinds.index(kind) for kind in set(kinds))
            found |= keep < len(part)
            del part[keep:]
    return found


def _kind(layer: nn.Module) -> tuple[Any, ...]:
    """What a layer is made of, and what its parts are set to."""
    return tuple(
        (name, type(part), tuple(sorted((key, value) for key, value in vars(part).items() if _sets(key, value))))
        for name, part in layer.named_modules()
    )


def _sets(key: str, value: Any) -> bool:
    return type(value) in (bool, int, str) and key not in _OF_ITS_PLACE
