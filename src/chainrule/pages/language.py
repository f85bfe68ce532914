"""The parts of `chainrule.LanguageModel` that a page is made from."""

from __future__ import annotations

from typing import Any, Protocol

from chainrule.engine.engine import Engine
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.predictors.registry import kind_of
from chainrule.errors import InputError, short
from chainrule.models.identity import Identity, identity_of
from chainrule.results.score import Score
from chainrule.scoring.scorer import Scorer
from chainrule.text.base import TokenizerLike
from chainrule.text.start_end import Start


class Language(Protocol):
    """A model with its tokenizer and start symbol."""

    tokenizer: TokenizerLike | None
    predictor: Predictor
    start: Start

    @property
    def model(self) -> Any: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def scorer(self) -> Scorer: ...


def is_causal(lm: Language) -> bool:
    """Whether the model predicts from left to right only."""
    return bool(lm.predictor.accepts.left_to_right)


def model_part(lm: Language) -> dict[str, Any]:
    """The member "model" of the data of a page."""
    kind = kind_of(lm.model).name
    return described(identity_of(lm.model), "causal" if kind == "own" else kind, lm.model.head.size)


def title_of(lm: Language) -> str:
    """The name of the model for readers of a page. Its own may be a path of this machine."""
    return identity_of(lm.model).title


def described(identity: Identity, kind: str, vocabulary: int | None) -> dict[str, Any]:
    """The member "model" for a model with this identity."""
    return {
        "name": identity.title,
        "title": f"{identity.weights} · {identity.dtype}",
        "kind": kind,
        "vocabulary": vocabulary,
        "revision": identity.revision,
    }


def check_score(lm: Language, score: Any) -> None:
    """Raises InputError unless this is a score of the model."""
    if not isinstance(score, Score):
        raise InputError(f"a page is made from one text, or from its Score, not from {short(score)}")
    if score.identity != identity_of(lm.model):
        raise InputError(
            f"the score comes from another model ({score.identity.describe()}): make its page with that one, or pass the text"
        )
