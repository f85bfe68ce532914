"""Growing a sequence, factor by factor: greedy, sampling, beam search, exact search, and choice among a closed set."""

from chainrule.growing.generated import Generated, Step
from chainrule.growing.options import Options

__all__ = ["Generated", "Options", "Step"]
