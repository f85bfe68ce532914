"""Which engine, or which chain, goes with which model."""

from __future__ import annotations

from typing import Any

from chainrule.engine.engine import Engine
from chainrule.engine.predictors.any_order import AnyOrderChain
from chainrule.engine.predictors.base import Chain, Orderless
from chainrule.engine.predictors.marginal import MarginalChain
from chainrule.engine.predictors.masked import MaskedChain
from chainrule.engine.predictors.two_stream import TwoStreamChain
from chainrule.engine.selfcheck.probe import choose
from chainrule.errors import InputError
from chainrule.models.any_order import AnyOrderModel
from chainrule.models.causal import PretrainedModel
from chainrule.models.masked import MaskedModel
from chainrule.models.two_stream import TwoStreamModel
from chainrule.text.mask_template import resolve_frame
from chainrule.text.tokenizer import Tokenizes


def engine_of(model: Any) -> Engine | None:
    """The engine of a model with a next token: a network is probed; a table is run as it is. None for other models."""
    if isinstance(model, MaskedModel | TwoStreamModel):
        return None
    return choose(model) if isinstance(model, PretrainedModel) else Engine(model, "batch")


def chain_of(model: Any, tokenizer: Tokenizes | None, engine: Engine | None) -> Chain | None:
    """The chain of a model that predicts in any order by itself; None for a causal one, which has its engine alone.

    Raises ModelError for a masked model whose symbols nobody names, and for one that does not agree with its own forward.
    """
    if isinstance(model, MaskedModel):
        sizes = {"vocab_size": model.head.size, "embeddings": model.embeddings}
        return MaskedChain(model, resolve_frame(tokenizer, model.symbols, **sizes, model=model.name))
    if isinstance(model, AnyOrderModel) and engine is not None:
        return AnyOrderChain(engine)
    return TwoStreamChain(model) if isinstance(model, TwoStreamModel) else None


def chain_for(given: Chain | Engine) -> Chain:
    """Any order: a model's own chain as it is; a causal model by sums over all texts, where these are few."""
    return MarginalChain(given) if isinstance(given, Engine) else given


def orderless(chain: Chain) -> Orderless:
    """The same chain, where its conditionals depend on what is seen alone. Raises InputError for others, with the reason."""
    if isinstance(chain, MaskedChain | MarginalChain):
        return chain
    raise InputError(
        f"{chain.model.name} ({chain.path}) has no one probability of a token given all others: it depends on the order in "
        "which these are fed; a pseudo-log-likelihood takes a masked model, or a causal one on a tiny vocabulary"
    )
