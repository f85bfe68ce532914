"""Generation, token by token: greedy, sampling, beam search, exact search, and choice among a closed set of texts."""

from chainrule.generation.options import Options
from chainrule.generation.result import Generated, Step
from chainrule.generation.stream import Stream

__all__ = ["Generated", "Options", "Step", "Stream"]
