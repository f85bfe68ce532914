"""The findings of the probe about a model whose weights were loaded from files, kept in the cache folder.

They are recalled only for the same weights, config, code, versions, kernels, processor, threads and settings. Models in memory
and on GPUs are probed each time: the former have no digest, and the latter may change with drivers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from chainrule.engine.attention.layout import NAME
from chainrule.engine.engine import STRATEGIES, Engine
from chainrule.models.causal import PretrainedModel, RunConfig
from chainrule.ops.conditions import code_of, conditions, thread_state
from chainrule.ops.findings import digest, forget, recall, remember
from chainrule.verdict import Verdict


class Findings:
    """What the probe found about one model, under the present conditions."""

    def __init__(self, model: PretrainedModel, weights: str) -> None:
        self._model = {
            "weights": weights,
            "model": [type(model).__name__, type(model.lm).__name__],
            "config": digest(_config(model.lm.config)),
            "attention": model.own_attention,
            "network": code_of({type(module) for module in model.lm.modules()}),
            "dtype": sorted({str(parameter.dtype) for parameter in model.lm.parameters()}),
        }
        self._conditions = self._now()
        self.recalled = False

    @classmethod
    def about(cls, model: PretrainedModel) -> Findings | None:
        """Of a model on the CPU with a digest of its weights; None for others."""
        weights = model.weights_digest() if model.device.type == "cpu" else None
        return None if weights is None else cls(model, weights)

    def engine(self, model: PretrainedModel) -> Engine | None:
        """The engine that was found for this model; None if nothing is kept."""
        kept = recall(self._conditions)
        found = None if kept is None else _read(kept)
        if found is None:
            return None
        engine = engine_of(model, *found[:2])
        if found[2] is not None:
            engine.invariances[thread_state()] = found[2]
        engine.findings, self.recalled = self, True
        return engine

    def keep(self, engine: Engine) -> None:
        """Keep the present findings about an engine."""
        if self._now() == self._conditions:  # the number of threads may have been changed since
            remember(self._conditions, _written(engine, engine.invariances.get(thread_state())))

    def forget(self) -> None:
        """Remove what is kept."""
        forget(self._conditions)

    def _now(self) -> dict[str, Any]:
        return conditions() | self._model


def engine_of(model: PretrainedModel, config: RunConfig, reason: str) -> Engine:
    """The engine that runs a model in this configuration."""
    configured = model.with_config(config)
    configured.set_attention(NAME if config.strategy == "forest" else configured.own_attention)
    return Engine(configured, config.strategy, reason=reason)


def _config(config: Any) -> str:
    """A config without the folder that it was read from."""
    values = json.loads(config.to_json_string(use_diff=False))
    return json.dumps({name: value for name, value in values.items() if name != "_name_or_path"}, sort_keys=True)


def _written(engine: Engine, invariance: Verdict | None) -> dict[str, Any]:
    config: Any = engine.model
    verdict = None if invariance is None else [invariance.holds, invariance.reason]
    return {"config": asdict(config.run_config), "reason": engine.reason, "invariance": verdict}


def _read(kept: dict[str, Any]) -> tuple[RunConfig, str, Verdict | None] | None:
    """The finding of an entry; None if it has another form."""
    match kept:
        case {"config": dict(config), "reason": str(reason), "invariance": None | [bool(), str()] as verdict}:
            pass
        case _:
            return None
    kinds = {field.name: type(field.default) for field in fields(RunConfig)} | {"unfit": list}
    if {name: type(value) for name, value in config.items()} != kinds or config["strategy"] not in STRATEGIES:
        return None
    return RunConfig(**config | {"unfit": tuple(config["unfit"])}), reason, None if verdict is None else Verdict(*verdict)
