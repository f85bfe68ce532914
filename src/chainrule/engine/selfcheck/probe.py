"""Probe, don't assume: which way through this network gives the numbers of its own forward?

A few random sequences with shared prefixes are scored every way, in float32, and held against the model's own unpadded
forward, one sequence at a time (`engine.selfcheck.reference`). The fastest way that agrees is taken; a model that agrees on
none is refused. The reference itself is checked too: what a model says of a prefix must not depend on what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from chainrule.engine.attention.layout import NAME
from chainrule.engine.engine import Engine
from chainrule.engine.selfcheck.reference import REACH, ROWS, TOLERANCE, Standard, largest_error
from chainrule.errors import ModelError
from chainrule.models.causal import PretrainedModel, Way
from chainrule.models.head import same_logits
from chainrule.models.transformer import Network
from chainrule.ops.sealed import WeightsWritten, sealed, unless_memory


@sealed
def choose(model: PretrainedModel) -> Engine:
    """The engine for `model`, by the fastest way that agrees with its own forward. Raises ModelError where none does.

    The engine runs a model of its own on the same network: nothing is set on one that an engine runs already.
    """
    try:
        before, standard = _tried(model)
    except WeightsWritten:
        model = model.warmed_up()
        before, standard = _tried(model)
    try:
        return _chosen(model, standard, before)
    finally:
        standard.let_go(model)


def _chosen(model: PretrainedModel, standard: Standard, before: dict[tuple[str, str], str]) -> Engine:
    trial, tried = standard.trial, []
    standard.check_causal()
    check_settled(trial, before)
    run, off = next(_agreeing(trial, standard, tried), (None, 0.0))
    if run is None:
        raise ModelError(
            f"{model.title} cannot be scored exactly here: no way of running it agrees with its "
            f"own forward ({'; '.join(tried)})"
        )
    way = replace(run.way, unfit=_unfit(run, standard))
    found = model.by(way)
    found.set_attention(NAME if way.strategy == "forest" else found.own_attention)
    return Engine(found, way.strategy, reason="; ".join(tried) or f"agrees with the model's own forward to {off:.1e} nats")


def _tried(model: PretrainedModel) -> tuple[dict[tuple[str, str], str], Standard]:
    """What a trial of a model is set to before it runs, and what it gives."""
    trial = model.trial()
    try:
        return settings(trial), Standard(trial)
    except BaseException:
        trial.let_go(model)
        raise


def _agreeing(trial: PretrainedModel, standard: Standard, tried: list[str]) -> Iterator[tuple[PretrainedModel, float]]:
    """The ways that agree and how well, fastest first; why others do not.

    Fed with embeddings, by the linear head and the model's own; and the same fed with token ids, for networks that look
    tokens up in more than one table (Gemma 3n).
    """
    paths = [(path, first) for path in ROWS for first in (trial.first_positions if path == "forest" else (0,))]
    for by_ids, own_head, (path, first) in product((False, True), _heads(trial), paths):
        run = trial.by(Way(path, by_ids, own_head, first))
        off, why = _difference(run, standard)
        if not why:
            yield run, off
        tried.append(f"{path}{' by ids' if by_ids else ''}: {why}")


def _heads(trial: PretrainedModel) -> tuple[bool, ...]:
    """Whether the model's own head runs: the order to try them in.

    The linear head comes first where it makes the same logits as the model's own on hidden states of all sizes, not only on
    those of a few texts; and where the own one cannot be tried by itself.
    """
    if trial.way.own_head:
        return (True,)
    return (False, True) if _same_heads(trial) else (True, False)


def _same_heads(trial: PretrainedModel) -> bool:
    output: Any = trial.tables[1]
    own = partial(trial.own_head_logits, same_bits=False)
    try:
        return same_logits(trial.head, own, output.in_features, output.weight)
    except Exception as error:  # a head that asks for more than hidden states, or for wider ones
        unless_memory(error)
        return True


def _unfit(run: PretrainedModel, standard: Standard) -> tuple[int, ...]:
    """Ids that a network does something else with within a text than with its other tokens (padding, symbols of images)."""
    ids = standard.symbols()
    if not ids or standard.agrees(run, standard.around(ids)):
        return ()
    return tuple(id for id in ids if not standard.agrees(run, standard.around([id])))


def _difference(run: PretrainedModel, standard: Standard) -> tuple[float, str]:
    """How far this way is off the model's own forward; and, where that is too far, why, or else nothing.

    Between what rounding explains and what is wrong in any case, float64 decides, where the model takes it.
    """
    found: list[tuple[float, str, float]] = []
    for off, why, most in _compared(run, standard):
        if not off <= max(most, TOLERANCE):
            return off, why
        found.append((off, why, most))
    worst = found[0][0]
    if all(off <= standard.sure for off, _, _ in found):
        return worst, ""
    if double := standard.double:
        for off, why, most in _compared(double.trial.by(run.way), double):
            if not off <= most:
                return max(worst, off), f"{why} in float64"
        return worst, ""
    return worst, next((why for off, why, most in found if not off <= most), "")


def _compared(run: PretrainedModel, standard: Standard) -> Iterator[tuple[float, str, float]]:
    """How far off it is, what to say of that, and how far roundings may take it.

    On the sequences, and on a long text; on the forest path, where rows of a chunk are no text, also where the sequences come
    up to thresholds.
    """
    yield *largest_error(run, standard.sequences, standard.logprobs), standard.tolerance
    for name, logprobs in standard.lowered if run.way.strategy == "forest" else ():
        with run.lowered(name, REACH):
            off, why = largest_error(run, standard.sequences, logprobs)
        yield off, f"{why} beyond its {name.replace('_', ' ')}", standard.tolerance
    if standard.long is not None:
        trial, texts, logprobs = standard.long
        off, why = largest_error(run if trial is standard.trial else trial.by(run.way), texts, logprobs, larger=4)
        yield off, f"{why} on a long text", standard.loose


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
            f"{model.title} changes itself as it runs ({key} from {then!r} to {now!r}), so what it "
            "says of a text depends on what it ran on before; set it in the checkpoint's config.json"
        )
