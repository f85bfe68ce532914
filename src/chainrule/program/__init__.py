"""The chainrule program: the commands of cli/, and those of the other surfaces"""

from chainrule.cli.main import app, main
from chainrule.program import corpus, lm_eval, serve  # noqa: F401 (they register commands)

__all__ = ["app", "main"]
