"""Probe, don't assume: which way through this network gives the numbers of its own forward?

A few random sequences with shared prefixes are scored every way, in float32, and held against the model's own unpadded
forward, one sequence at a time. The fastest way that agrees is taken; a model that agrees on none is refused. The
reference itself is checked too: what a model says of a prefix must not depend on what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule.engine.attention import NAME
from chainrule.engine.engine import Engine, Question
from chainrule.errors import ModelError
from chainrule.forest import Forest
from chainrule.models.network import Network
from chainrule.models.pretrained import PretrainedModel, Way
from chainrule.models.sealed import sealed

TOLERANCE = 1e-3  # nats; agreement is 1e-5 and better, a wrong mask or position moves factors by 0.1 and more
LENGTH = 23  # tokens of the first sequence
BRANCHES = ((9, 17), (16, 5))  # of the others: tokens shared with the first, tokens of their own
ROWS = {"forest": 16, "batch": 4 * LENGTH, "single": 1}  # so that paths are carried over chunks, and batches are padded
WINDOW = 7  # places, to which sliding windows are cut for a while, so that these sequences see beyond them


@sealed
def choose(model: PretrainedModel) -> Engine:
    """The engine for `model`, by the fastest way that agrees with its own forward. Raises ModelError where none does.

    The engine runs a model of its own on the same network: nothing is set on one that an engine runs already.
    """
    trial = model.trial()
    sequences, before, tried = _sequences(trial), settings(trial), []
    reference = [_own(trial, ids) for ids in sequences]
    _check_causal(trial, sequences, reference)
    check_settled(trial, before)
    way, error = next(_agreeing(trial, sequences, reference, tried), (None, 0.0))
    if way is None:
        raise ModelError(
            f"{model.name} ({type(model.lm).__name__}) cannot be scored exactly here: no way of running it agrees with its "
            f"own forward ({'; '.join(tried)})"
        )
    found = model.by(way)
    found.set_attention(NAME if way.path == "forest" else found.own_attention)
    return Engine(found, way.path, reason="; ".join(tried) or f"agrees with the model's own forward to {error:.1e} nats")


def _agreeing(
    trial: PretrainedModel, sequences: list[NDArray[np.int64]], reference: list[NDArray[np.float64]], tried: list[str]
) -> Iterator[tuple[Way, float]]:
    """The ways that agree and how well, fastest first; why others do not.

    Fed with embeddings, by the linear head and then the model's own; and the same fed with token ids, for networks that look
    tokens up in more than one table (Gemma 3n).
    """
    heads = (True,) if trial.way.own_head else (False, True)
    paths = [(path, first) for path in ROWS for first in (trial.first_positions if path == "forest" else (0,))]
    for by_ids, own_head, (path, first) in product((False, True), heads, paths):
        way = Way(path, by_ids, own_head, first)
        error, why = _error(trial.by(way), sequences, reference)
        if error <= TOLERANCE and path == "forest":
            error, why = max((error, why), _error_beyond_windows(trial.by(way), sequences))
        if error <= TOLERANCE:
            yield way, error
        tried.append(f"{path}{' by ids' if by_ids else ''}: {why}")


def _sequences(model: PretrainedModel) -> list[NDArray[np.int64]]:
    draw = np.random.default_rng(0)
    most = min(LENGTH, model.max_rows or LENGTH)
    ids = np.setdiff1d(np.arange(model.head.size), [-1 if model.pad_id is None else model.pad_id])  # padding is no text
    trunk = draw.choice(ids, most)
    branches = [np.append(trunk[:shared], draw.choice(ids, own)) for shared, own in BRANCHES]
    return [trunk, *(branch[:most] for branch in branches)]


def _own(model: PretrainedModel, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """log Pr(· | ids[:i + 1]) at every place i, by the model's own forward."""
    try:
        logits = model.own_logits(torch.from_numpy(ids))
    except Exception as error:  # what an architecture asks for besides token ids, it says in its own way
        raise ModelError(
            f"{model.name} ({type(model.lm).__name__}) does not run on token ids alone: {type(error).__name__}: {error}"
        ) from error
    logprob = logits.double().log_softmax(-1).cpu().numpy()
    if np.isnan(logprob).any():
        raise ModelError(
            f"{model.name} ({type(model.lm).__name__}) gives NaN in its own forward, in float32 at that: its weights are "
            "damaged, or far too large"
        )
    return logprob


def _check_causal(model: PretrainedModel, sequences: list[NDArray[np.int64]], reference: list[NDArray[np.float64]]) -> None:
    """What the model says of the prefix that two sequences share must not depend on how they go on."""
    shared = min(BRANCHES[0][0], len(sequences[1]) - 1)
    error = distance(reference[0][:shared], reference[1][:shared])
    if not error <= TOLERANCE:
        raise ModelError(
            f"{model.name} ({type(model.lm).__name__}) is not causal: what it says of a prefix changes by {error:.2g} nats "
            "with the tokens after it, so its factors are no conditional probabilities"
        )


def settings(model: PretrainedModel | Network) -> dict[tuple[str, str], str]:
    """What the parts of the copies that run are set to, by name: kinds of activation …"""
    return {
        (f"{copy}.{name}", key): value
        for copy, network in (("reference", model.reference), ("runner", model.runner))
        for name, part in network.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, str)
    }


def check_settled(model: PretrainedModel | Network, before: dict[tuple[str, str], str]) -> None:
    """What a model gives that sets itself to something else on a short text (BigBird) depends on what ran before."""
    changed = [(at[1], before.get(at), now) for at, now in settings(model).items() if before.get(at) != now]
    if changed:
        key, then, now = changed[0]
        raise ModelError(
            f"{model.name} ({type(model.lm).__name__}) changes itself as it runs ({key} from {then!r} to {now!r}), so what it "
            "says of a text depends on what it ran on before; set it in the checkpoint's config.json"
        )


def _error(
    trial: PretrainedModel, sequences: list[NDArray[np.int64]], reference: list[NDArray[np.float64]]
) -> tuple[float, str]:
    """The largest difference of any factor from the reference, and what to say of it."""
    forest, path = Forest.build(sequences), trial.way.path
    question = Question(forest, forest.depth_N > 0)
    try:
        if not trial.set_attention(NAME if path == "forest" else trial.own_attention):
            return np.inf, "its attention cannot be replaced"
        answer = Engine(trial, path).answer(question, rows=ROWS[path])
    except Exception as error:  # whatever an architecture does with arguments it does not know
        return np.inf, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120]
    worst = 0.0
    for s, (ids, logprob) in enumerate(zip(sequences, reference, strict=True)):
        own = logprob[np.arange(len(ids) - 1), ids[1:]]
        worst = max(worst, distance(answer.logprob_N[forest.path(s)[1:]], own))
    return worst, f"off by {worst:.2g} nats"


def _error_beyond_windows(trial: PretrainedModel, sequences: list[NDArray[np.int64]]) -> tuple[float, str]:
    """The same with short sliding windows: a layer may leave the window to a mask that this path does not ask for."""
    with trial.windows_of(WINDOW) as any_windows:
        if not any_windows:
            return 0.0, ""
        error, why = _error(trial, sequences, [_own(trial, ids) for ids in sequences])
        return error, f"{why} beyond its sliding window"


def distance(a: Any, b: Any) -> float:
    """The largest difference of two arrays; equal infinities agree, and NaN agrees with nothing."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))
    return float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0))
