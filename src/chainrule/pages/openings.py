"""A factor opened: x → e → h → z. The embeddings and their neighbours, the hidden states, the logits and their log-sum-exp.

Shapes: N inputs, U distinct tokens among them, D width of an embedding, T factors, V rows of the table of embeddings.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Ints
from chainrule.engine.head.most_probable import most_probable
from chainrule.engine.head.opened import Opened
from chainrule.ops.sealed import sealed
from chainrule.pages.language import Language
from chainrule.pages.numbers import shortest, total, wide
from chainrule.pages.positions import position_part
from chainrule.pages.recomputed import sequence_of
from chainrule.pages.tokens import Tokens
from chainrule.results.score import Score

NEAREST = 5  # tokens with the most similar embeddings
FIRST = 6  # numbers of an embedding that are shown
_TILE = 8192  # rows of the table compared at a time

NO_TABLE = (
    "This model looks each token up in more than one table, so a token has no single embedding to show: take a model with one "
    "table of embeddings."
)


def openings(lm: Language, tokens: Tokens, score: Score, main: Opened) -> tuple[dict[str, Any], dict[str, str]]:
    """The openings of a score, as plain data, and the sentences for what is missing. main: its factors, opened.

    At a temperature T other than 1, the logits are (z − m) / T with the largest logit m of the row: see `Opened`. So the
    logit of a token minus the log-sum-exp is its log Pr at every temperature, bit for bit if the model is row-invariant.
    """
    inputs, table = _inputs(lm, tokens, score)
    data = {
        "shapes": {"e": [lm.model.width], "h": list(main.hidden_width), "z": [lm.model.head.size]},
        "table": table,
        "position": position_part(lm.model, len(inputs["t"])),
        "inputs": inputs,
        "hidden_norm": main.hidden_norms.tolist(),
        **logit_lists(tokens, main),
        "raw_sum": total(main.logits.tolist()),
        "wrong": None,
    }
    return data, {} if table else {"inputs": NO_TABLE}


def logit_lists(tokens: Tokens, of_factors: Opened) -> dict[str, Any]:
    """The logits of factors, their log-sum-exps, and the largest logits."""
    pairs = zip(of_factors.top_ids.tolist(), of_factors.top_logits.tolist(), strict=True)
    return {
        "logit": of_factors.logits.tolist(),
        "logsumexp": of_factors.logsumexps.tolist(),
        "top_logits": [[[tokens.add(id), logit] for id, logit in zip(ids, logits, strict=True)] for ids, logits in pairs],
    }


def _inputs(lm: Language, tokens: Tokens, score: Score) -> tuple[dict[str, Any], list[int] | None]:
    """The inputs, the start symbol first, and the shape of the table of embeddings; no numbers if there is no single table."""
    start = [] if score.start.id is None else [score.start.id]
    ids = [*start, *sequence_of(score).tolist()]
    if lm.model.by_ids:
        return {"t": tokens.all(ids), "norm": None, "nearest": None, "first": None}, None
    e_ND = _embeddings(lm, score, np.array(ids, np.int64))
    neighbours = nearest(lm.model, ids)
    data = {
        "t": tokens.all(ids),
        "norm": shortest(torch.linalg.vector_norm(wide(e_ND), dim=-1)),
        "nearest": [[[tokens.add(id), cosine] for id, cosine in neighbours[own]] for own in ids],
        "first": shortest(e_ND[:, :FIRST]),
    }
    return data, [lm.model.embeddings, lm.model.width]


@sealed
def _embeddings(lm: Language, score: Score, ids_N: Ints) -> Tensor:
    """The embeddings of the inputs, N × D: those of the table, or those that the text was scored with."""
    e_ND = lm.model.embed(torch.from_numpy(ids_N).to(lm.model.device))
    own = score.request.embeddings
    if own is None:
        return e_ND
    e_ND, fed = e_ND.clone(), len(own) - (score.end is not None)
    first = len(ids_N) - len(own)
    e_ND[first : first + fed] = own[:fed].to(e_ND)
    return e_ND


@sealed
def nearest(model: Any, ids: list[int], count: int = NEAREST) -> dict[int, list[tuple[int, float]]]:
    """For each token the `count` others whose embeddings have the largest cosine with its own, with the cosine.

    Those with equal cosines are ordered by id. The table is read a tile at a time.
    """
    id_U = torch.tensor(sorted(set(ids)), dtype=torch.int64, device=model.device)
    e_UD = _unit(model.embed(id_U))
    best_U, of_U = e_UD.new_empty(len(id_U), 0), id_U.new_empty(len(id_U), 0)
    for first in range(0, model.embeddings, _TILE):
        tile = torch.arange(first, min(first + _TILE, model.embeddings), dtype=torch.int64, device=model.device)
        cosine_UV = e_UD @ _unit(model.embed(tile)).T
        cosine_UV[id_U[:, None] == tile] = -torch.inf  # a token is no neighbour of itself
        both, ids_both = torch.cat([best_U, cosine_UV], 1), torch.cat([of_U, tile.expand(len(id_U), -1)], 1)
        at_Uk = most_probable(both, count)
        best_U, of_U = both.gather(1, at_Uk), ids_both.gather(1, at_Uk)
    rows = zip(id_U.tolist(), of_U.tolist(), shortest(best_U), strict=True)
    return {own: [pair for pair in zip(of, cosines, strict=True) if pair[1] > -math.inf] for own, of, cosines in rows}


def _unit(e_ND: Tensor) -> Tensor:
    """The embeddings, of length 1 in float32 or float64; zeros stay zeros."""
    return torch.nn.functional.normalize(wide(e_ND), dim=-1)
