"""How a network learns the position of a token: the part of a page that says what is added to the embedding.

Shapes: N inputs, P rows of a table of positions, D width of an embedding.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from chainrule.models.any_order import AnyOrderModel
from chainrule.models.table import TableModel
from chainrule.models.trunk import trunk_of
from chainrule.pages.numbers import shortest, wide

_NAMES = re.compile(r"(^|[._])(wpe|pos\w*)|position", re.IGNORECASE)

_DESCRIPTIONS = {
    "none": "A table has no positions: it looks up the tokens before the one to predict.",
    "rotary": "The position is not added to e: each layer rotates its queries and keys by an angle that grows with the "
    "position (rotary).",
    "added": "A vector for the position, from a table of {rows:,} learned rows, is added to e before the first layer.",
    "other": "No table of positions is added to e: the network learns of positions in another way, such as a penalty on "
    "distant tokens in its attention.",
}


def position_part(model: Any, count: int) -> dict[str, Any]:
    """The member "position" of openings. count: the inputs, whose positions are 0, 1 …, start symbol included.

    norms: those of the rows that are added to the inputs; of inputs without a row None.
    """
    kind, table, first = _found(model)
    norms = None if table is None else _norms(table, first, count)
    rows = 0 if table is None else table.num_embeddings
    return {"kind": kind, "description": _DESCRIPTIONS[kind].format(rows=rows), "norms": norms}


def _found(model: Any) -> tuple[str, nn.Embedding | None, int]:
    """The kind, the table of positions, and the row of the first position."""
    if isinstance(model, TableModel):
        return "none", None, 0
    if isinstance(model, AnyOrderModel):
        return "added", model.own.position, -1  # the start symbol has no position
    lm = getattr(model, "lm", None)
    if lm is None:
        return "other", None, 0
    trunk = trunk_of(lm)
    if (table := _table(model, trunk)) is not None:
        padding = -1 if table.padding_idx is None else table.padding_idx
        return "added", table, int(getattr(table, "offset", padding + 1))
    return ("rotary" if _is_rotary(lm.config.get_text_config(), trunk) else "other"), None, 0


def _table(model: Any, trunk: nn.Module) -> nn.Embedding | None:
    """The learned table of positions: an embedding whose name says so, of the width and the length of the model."""
    own = model.lm.get_input_embeddings()
    for name, part in trunk.named_modules():
        if isinstance(part, nn.Embedding) and part is not own and _NAMES.search(name):
            fits = part.embedding_dim == model.width and part.num_embeddings >= (model.max_rows or 1)
            if fits:
                return part
    return None


def _is_rotary(config: Any, trunk: nn.Module) -> bool:
    named = getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None)
    return bool(named) or any("rotary" in type(part).__name__.lower() for part in trunk.modules())


def _norms(table: nn.Embedding, first: int, count: int) -> list[float | None]:
    """The norms of the rows first, first + 1 …; None where there is no row."""
    begin, stop = max(0, first), max(0, min(table.num_embeddings, first + count))
    norm_P = torch.linalg.vector_norm(wide(table.weight.detach()[begin:stop]), dim=-1)
    norms = shortest(norm_P)
    return [None] * (begin - first) + norms + [None] * (count - (begin - first) - len(norms))
