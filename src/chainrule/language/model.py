"""`LanguageModel`: all methods together, verification, and the comparison with a user's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.errors import raise_unless
from chainrule.language.choosing import Choosing
from chainrule.language.generating import Generating
from chainrule.language.measuring import Measuring
from chainrule.language.tables import Tables
from chainrule.language.words import Wording
from chainrule.text.arguments import as_list
from chainrule.text.reading import Special
from chainrule.text.types import Context, StartPolicy, Text, Texts, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from chainrule.results import Comparison
    from chainrule.verify.report import Report


class LanguageModel(Tables, Wording, Measuring, Choosing, Generating):
    """A model with its tokenizer and start symbol. Log probabilities are in nats unless a name gives another unit."""

    def verify(self, texts: str | Texts | None = None, *, progress: Callable[[str, int, int], None] | None = None) -> Report:
        """Check the numbers on this model and machine, one property at a time. Print the report, or read its `passed`.

        texts: texts to check (default: six short texts in several scripts); at most 48 tokens of each are used.
        progress: called with (name of the next property, done, total).
        The references are the model's own forward passes: unpadded, one sequence at a time, in its own dtype, in float32
        and, if memory allows, in float64. Raises InputError for texts that are empty.
        """
        from chainrule.verify.checks import verify

        raise_unless(self.predictor.accepts.left_to_right)
        self._probe_again()
        return verify(self, texts if texts is None or isinstance(texts, str) else as_list(texts), progress)

    # fmt: off
    def compare_with(
        self, numbers: Values, text: Text, *, context: Context | None = None, start: StartPolicy | int | None = None,
        end: bool | int | None = None, special: Special | None = None, context_special: Special | None = None,
    ) -> Comparison:
        # fmt: on
        """Your own log probabilities of a text beside those of `score`, with the likely cause of a difference.

        numbers: one for each token, in a list, tuple, array, Series or tensor, with None or NaN for a token without a number;
            or one total. Any unit and sign: those are among the causes.
        text: as in `score`.
        context: a text or token ids before the text, for Pr(text | context).
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        Each known cause is computed (another start symbol, logits that are not shifted, another unit …), alone and with one
        other. `Comparison.causes` are the fewest that give the numbers up to rounding; `remedy` says how to get ours. Numbers
        without a known cause take the longest, about a minute for a sentence. Raises InputError for numbers that cannot be
        read, and as `score`.
        """
        from chainrule.comparison import ScoreCall, compare

        return compare(self, numbers, ScoreCall(text, context, start, end, special, context_special))
