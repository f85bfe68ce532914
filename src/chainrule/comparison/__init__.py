"""Why a user's numbers differ from ours: each known cause is computed, and the simplest that gives their numbers is named."""

from chainrule.comparison.compare import compare
from chainrule.comparison.score_call import ScoreCall

__all__ = ["ScoreCall", "compare"]
