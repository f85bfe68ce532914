"""The probe: tries the strategies for a network, and chooses the fastest that agrees with the network's own forward.

Each strategy scores a few random sequences with shared prefixes in float32. The results are compared with the model's own
unpadded forward, one sequence at a time (`engine.selfcheck.reference`). A model for which no strategy agrees is refused. The
reference is checked as well: the conditionals over a prefix must not depend on the tokens after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from chainrule.engine.engine import Engine
from chainrule.engine.selfcheck.kept import Findings, engine_of
from chainrule.engine.selfcheck.reference import REACH, ROWS, TOLERANCE, Standard, largest_error
from chainrule.errors import ModelError
from chainrule.models.causal import PretrainedModel, RunConfig
from chainrule.models.head import same_logits
from chainrule.models.transformer import Network
from chainrule.ops.sealed import WeightsWritten, sealed, unless_memory


@sealed
def choose(model: PretrainedModel) -> Engine:
    """The engine for `model`, with the fastest strategy that agrees with its own forward. Raises ModelError if none agrees.

    The engine runs a new model on the same network, so a model that another engine runs is not changed. The finding about a
    model of files is kept in the cache (`selfcheck.kept`).
    """
    kept = Findings.about(model)
    if kept is not None and (engine := kept.engine(model)) is not None:
        return engine
    try:
        before, standard = _start(model)
    except WeightsWritten:
        kept, model = None, model.warmed_up()  # a run before each finding
        before, standard = _start(model)
    try:
        engine = _select(model, standard, before)
    finally:
        standard.release(model)
    if kept is not None:
        engine.findings = kept
        kept.keep(engine)
    return engine


def _select(model: PretrainedModel, standard: Standard, before: dict[tuple[str, str], str]) -> Engine:
    trial, failures = standard.trial, []
    standard.check_causal()
    check_unchanged(trial, before)
    candidate, off = next(_agreeing(trial, standard, failures), (None, 0.0))
    if candidate is None:
        raise ModelError(
            f"{model.title} cannot be scored exactly here: no strategy agrees with its own forward ({'; '.join(failures)})"
        )
    config = replace(candidate.run_config, unfit=_unfit(candidate, standard))
    reason = "; ".join(failures) or f"agrees with the model's own forward to {off:.1e} nats"
    return engine_of(model, config, reason)


def _start(model: PretrainedModel) -> tuple[dict[tuple[str, str], str], Standard]:
    """The settings of a trial of a model before it runs, and its reference results."""
    trial = model.trial()
    try:
        return settings(trial), Standard(trial)
    except BaseException:
        trial.release(model)
        raise


def _agreeing(trial: PretrainedModel, standard: Standard, failures: list[str]) -> Iterator[tuple[PretrainedModel, float]]:
    """The models with configurations that agree and their errors, fastest first. The others are described in `failures`.

    The input is embeddings, then token ids, for networks that look tokens up in more than one table (Gemma 3n). The head is
    the linear head or the model's own.
    """
    strategies = [(name, first) for name in ROWS for first in (trial.first_positions if name == "forest" else (0,))]
    for by_ids, own_head, (strategy, first) in product((False, True), _heads(trial), strategies):
        candidate = trial.with_config(RunConfig(strategy, by_ids, own_head, first))
        off, why = _difference(candidate, standard)
        if not why:
            yield candidate, off
        failures.append(f"{strategy}{' by ids' if by_ids else ''}: {why}")


def _heads(trial: PretrainedModel) -> tuple[bool, ...]:
    """The values of `own_head` to try, in order.

    The linear head comes first if its logits equal those of the model's own head for hidden states of all sizes, or if the
    own head cannot run alone.
    """
    if trial.run_config.own_head:
        return (True,)
    return (False, True) if _same_heads(trial) else (True, False)


def _same_heads(trial: PretrainedModel) -> bool:
    output: Any = trial.tables[1]
    own = partial(trial.own_head_logits, same_bits=False)
    try:
        return same_logits(trial.head, own, output.in_features, output.weight)
    except Exception as error:  # a head that requires more than hidden states, or wider ones
        unless_memory(error)
        return True


def _unfit(candidate: PretrainedModel, standard: Standard) -> tuple[int, ...]:
    """The ids that the network does not treat as tokens within a text: padding, or symbols of images."""
    ids = standard.symbols()
    if not ids or standard.agrees(candidate, standard.text_with(ids)):
        return ()
    return tuple(id for id in ids if not standard.agrees(candidate, standard.text_with([id])))


def _difference(candidate: PretrainedModel, standard: Standard) -> tuple[float, str]:
    """The difference from the model's own forward, and the reason to reject the candidate; "" if it agrees.

    Float64, if available, decides where rounding may or may not be the explanation.
    """
    errors: list[tuple[float, str, float]] = []
    for off, why, limit in _comparisons(candidate, standard):
        if not off <= max(limit, TOLERANCE):
            return off, why
        errors.append((off, why, limit))
    worst = errors[0][0]
    if all(off <= standard.safe for off, _, _ in errors):
        return worst, ""
    if double := standard.double:
        for off, why, limit in _comparisons(double.trial.with_config(candidate.run_config), double):
            if not off <= limit:
                return max(worst, off), f"{why} in float64"
        return worst, ""
    return worst, next((why for off, why, limit in errors if not off <= limit), "")


def _comparisons(candidate: PretrainedModel, standard: Standard) -> Iterator[tuple[float, str, float]]:
    """The error on each set of texts, its description, and the largest error allowed.

    The texts are the sequences and a long text. In the forest strategy, where the rows of a chunk are no text, the sequences
    are also compared beyond each threshold.
    """
    yield *largest_error(candidate, standard.sequences, standard.logprobs), standard.tolerance
    for name, logprobs in standard.lowered if candidate.run_config.strategy == "forest" else ():
        with candidate.lowered(name, REACH):
            off, why = largest_error(candidate, standard.sequences, logprobs)
        yield off, f"{why} beyond its {name.replace('_', ' ')}", standard.tolerance
    if standard.long is not None:
        trial, texts, logprobs = standard.long
        model = candidate if trial is standard.trial else trial.with_config(candidate.run_config)
        off, why = largest_error(model, texts, logprobs, larger=4)
        yield off, f"{why} on a long text", standard.loose


def settings(model: PretrainedModel | Network) -> dict[tuple[str, str], str]:
    """The strings that the modules of both copies of the network are set to, such as a kind of attention, by name."""
    return {
        (f"{copy}.{name}", key): value
        for copy, network in (("reference", model.reference), ("runner", model.runner))
        for name, part in network.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, str)
    }


def check_unchanged(model: PretrainedModel | Network, before: dict[tuple[str, str], str]) -> None:
    """Raises ModelError if a run has changed settings (BigBird on a short text): results would depend on earlier runs."""
    changed = [(key[1], before.get(key), now) for key, now in settings(model).items() if before.get(key) != now]
    if changed:
        key, then, now = changed[0]
        raise ModelError(
            f"{model.title} changes itself as it runs ({key} from {then!r} to {now!r}), so its results for a text "
            "depend on earlier runs; set it in the checkpoint's config.json"
        )
