"""What comes back: sums along paths in float64, units, tables and views."""

from chainrule.scores.conditional import Conditional
from chainrule.scores.explanation import Explanation
from chainrule.scores.mixture import Mixture, Mixtures
from chainrule.scores.ordering import Ordering
from chainrule.scores.pseudo import PseudoScore
from chainrule.scores.score import Score
from chainrule.scores.scores import Ranked, Scores

__all__ = ["Conditional", "Explanation", "Mixture", "Mixtures", "Ordering", "PseudoScore", "Ranked", "Score", "Scores"]
