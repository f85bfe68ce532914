"""Results: sums of log probabilities in float64, units, tables, and the hook to their views."""

from chainrule.results.acceptability import Acceptability, Measures
from chainrule.results.accuracy import Accuracy
from chainrule.results.batch import Ranked, Scores
from chainrule.results.choices import Choices, QuestionScore
from chainrule.results.comparison import Cause, Comparison
from chainrule.results.conditional import Conditional
from chainrule.results.detectors import Detected, Detectors
from chainrule.results.explanation import Explanation
from chainrule.results.mixture import Mixture, Mixtures
from chainrule.results.ordering import Ordering
from chainrule.results.pairs import Pair, Pairs
from chainrule.results.pseudo import PseudoScore
from chainrule.results.score import Score
from chainrule.results.suite import Prediction, Suite
from chainrule.results.tally import Bin, Calibration, ChoiceAccuracy
from chainrule.results.words import Word, Words

__all__ = [
    "Acceptability",
    "Accuracy",
    "Bin",
    "Calibration",
    "Cause",
    "ChoiceAccuracy",
    "Choices",
    "Comparison",
    "Conditional",
    "Detected",
    "Detectors",
    "Explanation",
    "Measures",
    "Mixture",
    "Mixtures",
    "Ordering",
    "Pair",
    "Pairs",
    "Prediction",
    "PseudoScore",
    "QuestionScore",
    "Ranked",
    "Score",
    "Scores",
    "Suite",
    "Word",
    "Words",
]
