"""The exact probability of token sequences under neural language models.

    log Pr(x) = Σ log Pr(x_i | e_0 … e_{i−1})

Each factor is conditioned on the embeddings of the tokens before it. `load` returns a `LanguageModel`. Its `score` returns the
sum and every factor, from left to right or, if the model can, in any order. Its `generate` generates a text, one factor at a
time. The modules correspond to the terms of the equation: `text` (x), `models` (x → e → h → z), `forest` (the set of distinct
factors), `engine` (computes each once), `scoring` and `results` (Σ), `generation` (the next factor, repeatedly).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from chainrule.corpus.result import Corpus, Estimate
    from chainrule.corpus.score import estimate_corpus, score_corpus
    from chainrule.corpus.tables import TableScorer
    from chainrule.display.plots.saving import save_plot
    from chainrule.errors import ChainruleError, InputError, ModelError, OutputError
    from chainrule.generation import Generated, Step, Stream
    from chainrule.language import LanguageModel
    from chainrule.loading import load
    from chainrule.models.any_order import AnyOrderConfig, AnyOrderForCausalLM
    from chainrule.models.packaged import pull
    from chainrule.models.table import TableModel
    from chainrule.pages.page import Page
    from chainrule.results import (
        Acceptability,
        Accuracy,
        Bin,
        Calibration,
        ChoiceAccuracy,
        Choices,
        Comparison,
        Conditional,
        Detected,
        Detectors,
        Explanation,
        Measures,
        Mixture,
        Mixtures,
        Ordering,
        Pair,
        Pairs,
        Prediction,
        PseudoScore,
        QuestionScore,
        Ranked,
        Score,
        Scores,
        Suite,
        Word,
        Words,
    )
    from chainrule.scoring.unigram import Unigram

# Names are imported when they are first used: torch and transformers take seconds, and `chainrule --help` needs neither.
_HOMES = {
    "Acceptability": "results",
    "Accuracy": "results",
    "AnyOrderConfig": "models.any_order",
    "AnyOrderForCausalLM": "models.any_order",
    "Bin": "results",
    "Calibration": "results",
    "ChainruleError": "errors",
    "ChoiceAccuracy": "results",
    "Choices": "results",
    "Comparison": "results",
    "Conditional": "results",
    "Detected": "results",
    "Detectors": "results",
    "Explanation": "results",
    "Generated": "generation",
    "InputError": "errors",
    "LanguageModel": "language",
    "Measures": "results",
    "ModelError": "errors",
    "Mixture": "results",
    "Mixtures": "results",
    "Ordering": "results",
    "OutputError": "errors",
    "Page": "pages.page",
    "Pair": "results",
    "Pairs": "results",
    "Prediction": "results",
    "PseudoScore": "results",
    "QuestionScore": "results",
    "Ranked": "results",
    "Score": "results",
    "Scores": "results",
    "Step": "generation",
    "Stream": "generation",
    "Suite": "results",
    "Word": "results",
    "Words": "results",
    "TableModel": "models.table",
    "Unigram": "scoring.unigram",
    "score_corpus": "corpus.score",
    "estimate_corpus": "corpus.score",
    "TableScorer": "corpus.tables",
    "Corpus": "corpus.result",
    "Estimate": "corpus.result",
    "load": "loading",
    "pull": "models.packaged",
    "save_plot": "display.plots.saving",
}

__all__ = [
    "Acceptability",
    "Accuracy",
    "AnyOrderConfig",
    "AnyOrderForCausalLM",
    "Bin",
    "Calibration",
    "ChainruleError",
    "ChoiceAccuracy",
    "Choices",
    "Comparison",
    "Conditional",
    "Corpus",
    "Detected",
    "Detectors",
    "Estimate",
    "Explanation",
    "Generated",
    "InputError",
    "LanguageModel",
    "Measures",
    "Mixture",
    "Mixtures",
    "ModelError",
    "Ordering",
    "OutputError",
    "Page",
    "Pair",
    "Pairs",
    "Prediction",
    "PseudoScore",
    "QuestionScore",
    "Ranked",
    "Score",
    "Scores",
    "Step",
    "Stream",
    "Suite",
    "TableModel",
    "TableScorer",
    "Unigram",
    "Word",
    "Words",
    "estimate_corpus",
    "load",
    "pull",
    "save_plot",
    "score_corpus",
]


if not TYPE_CHECKING:  # a checker would take any name that it gives for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
        return getattr(import_module(f"chainrule.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
