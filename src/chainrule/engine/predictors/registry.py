"""The kinds of models: for each, how its configs and networks are recognised, its wrapper and its predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chainrule.engine.engine import Engine
from chainrule.engine.predictors.any_order import AnyOrderPredictor
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.predictors.causal import CausalPredictor
from chainrule.engine.predictors.masked import MaskedPredictor
from chainrule.engine.predictors.two_stream import TwoStreamPredictor
from chainrule.engine.selfcheck.probe import choose
from chainrule.models.any_order import AnyOrderForCausalLM, AnyOrderModel
from chainrule.models.causal import PretrainedModel
from chainrule.models.masked import MaskedModel, is_masked
from chainrule.models.table import TableModel
from chainrule.models.two_stream import TwoStreamModel, is_two_stream
from chainrule.text.base import TokenizerLike
from chainrule.text.table_tokenizer import Vocabulary

Predict = Callable[[Any, "TokenizerLike | None", "Engine | None"], Predictor]


@dataclass(frozen=True)
class Kind:
    """One kind of model. The first kind in KINDS that matches is taken; the last one matches any object."""

    name: str
    model: type
    predict: Predict  # the predictor of a model, with its tokenizer and an already chosen engine, if any
    recognises: Callable[[Any], bool] = lambda lm: False  # whether a network of transformers is of this kind
    # The classes of networks by type of config; None if this config is of another kind
    classes: Callable[[Any], Any] = lambda config: None
    network: bool = True  # whether it runs a network, so that compiled kernels matter
    own_tokenizer: Callable[[Any], TokenizerLike | None] = lambda model: None


def _causal(model: Any, tokenizer: TokenizerLike | None, engine: Engine | None) -> Predictor:
    return CausalPredictor(engine or choose(model))


def _without_probe(model: Any, tokenizer: TokenizerLike | None, engine: Engine | None) -> Predictor:
    return CausalPredictor(engine or Engine(model, "batch"))


def _causal_classes(config: Any) -> Any:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return MODEL_FOR_CAUSAL_LM_MAPPING


def _masked_classes(config: Any) -> Any:
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    return MODEL_FOR_MASKED_LM_MAPPING if is_masked(config) else None


KINDS = [
    Kind(
        "any-order",
        AnyOrderModel,
        lambda model, tokenizer, engine: AnyOrderPredictor(engine or choose(model)),
        lambda lm: isinstance(lm, AnyOrderForCausalLM),
    ),
    Kind("two-stream", TwoStreamModel, lambda model, tokenizer, engine: TwoStreamPredictor(model), is_two_stream),
    Kind(
        "masked",
        MaskedModel,
        lambda model, tokenizer, engine: MaskedPredictor.of(model, tokenizer),
        lambda lm: is_masked(lm.config, type(lm).__name__),
        _masked_classes,
    ),
    Kind("causal", PretrainedModel, _causal, lambda lm: True, _causal_classes),
    Kind("table", TableModel, _without_probe, network=False, own_tokenizer=lambda model: Vocabulary(model.vocabulary)),
    Kind("own", object, _without_probe),  # any other class with the interface of `models.base.Model`
]


def network_class(config: Any) -> type | None:
    """The class of transformers that computes distributions for this config; None if there is none."""
    classes = next(classes for kind in KINDS if (classes := kind.classes(config)) is not None)
    return classes.get(type(config), None)


def wrap(lm: Any, name: str) -> Any:
    """A network of transformers as a model, chosen by its class, its config and its forward."""
    return next(kind for kind in KINDS if kind.recognises(lm)).model(lm, name)


def kind_of(model: Any) -> Kind:
    """The kind of a model."""
    return next(kind for kind in KINDS if isinstance(model, kind.model))


def predictor_of(model: Any, tokenizer: TokenizerLike | None, engine: Engine | None = None) -> Predictor:
    """The predictor of a model. A network is probed, unless an engine has been chosen for it.

    Raises ModelError for a model that does not agree with its own forward, and for a masked one with unknown symbols.
    """
    return kind_of(model).predict(model, tokenizer, engine)
