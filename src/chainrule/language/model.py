"""`LanguageModel`: all methods together, and verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.errors import raise_unless
from chainrule.language.generating import Generating
from chainrule.language.scoring import Scoring
from chainrule.text.arguments import as_list
from chainrule.text.types import Texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from chainrule.verify import Report


class LanguageModel(Scoring, Generating):
    """A model with its tokenizer and start symbol. Log probabilities are in nats unless a name gives another unit."""

    def verify(self, texts: str | Texts | None = None, *, progress: Callable[[str, int, int], None] | None = None) -> Report:
        """Check the numbers on this model and machine, one property at a time. Print the report, or read its `passed`.

        texts: texts to check (default: six short texts in several scripts); at most 48 tokens of each are used.
        progress: called with (name of the next property, done, total).
        The references are the model's own forward passes: unpadded, one sequence at a time, in its own dtype, in float32
        and, if memory allows, in float64. Raises InputError for texts that are empty.
        """
        from chainrule.verify import verify

        raise_unless(self.predictor.accepts.left_to_right)
        return verify(self, texts if texts is None or isinstance(texts, str) else as_list(texts), progress)
