"""Which chain goes with which model."""

from __future__ import annotations

from typing import Any

from chainrule.engine.chain import Chain
from chainrule.engine.engine import Engine
from chainrule.engine.marginal import MarginalChain
from chainrule.engine.masked import MaskedChain
from chainrule.engine.two_stream import TwoStreamChain
from chainrule.models.masked import MaskedModel
from chainrule.models.two_stream import TwoStreamModel
from chainrule.text.frame import resolve_frame
from chainrule.text.tokenizer import Tokenizes


def chain_of(model: Any, tokenizer: Tokenizes | None) -> Chain | None:
    """The chain of a model that predicts in any order by itself; None for a causal one, which has an engine instead.

    Raises ModelError for a masked model whose symbols nobody names, and for one that does not agree with its own forward.
    """
    if isinstance(model, MaskedModel):
        sizes = {"vocab_size": model.head.size, "embeddings": model.embeddings}
        return MaskedChain(model, resolve_frame(tokenizer, model.symbols, **sizes, model=model.name))
    return TwoStreamChain(model) if isinstance(model, TwoStreamModel) else None


def chain_for(given: Chain | Engine) -> Chain:
    """Any order: a model's own chain as it is; a causal model by sums over all texts, where these are few."""
    return MarginalChain(given) if isinstance(given, Engine) else given
