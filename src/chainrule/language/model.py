"""`LanguageModel`: all methods together, verification, and the comparison with a user's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from chainrule.engine.question import Progress
from chainrule.errors import InputError, raise_unless
from chainrule.forest.permutations import names_several_orders
from chainrule.language.choosing import Choosing
from chainrule.language.generating import Generating
from chainrule.language.measuring import Measuring
from chainrule.language.tables import Tables
from chainrule.language.words import Wording
from chainrule.results import Mixture, Score
from chainrule.text.arguments import as_list
from chainrule.text.reading import Special
from chainrule.text.types import Context, OneOrder, StartPolicy, Text, Texts, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from chainrule.pages import Page
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
    def page(
        self, text: Text | Score, *, context: Context | None = None, compare: Text | Score | None = None,
        order: OneOrder | str | None = None, seed: int = 0, start: StartPolicy | int | None = None,
        end: bool | int | None = None, temperature: float = 1.0, window: int | bool | None = None, stride: int | None = None,
        max_tokens: int = 8, special: Special | None = None, context_special: Special | None = None,
        progress: Progress | None = None,
    ) -> Page:
        # fmt: on
        """The page of a text: one HTML file that shows the chain rule at work on it, and needs no other file.

        It shows every factor, and each opened (embeddings, hidden state, logits), what-ifs, generation step by step, and a
        second text beside the first. All numbers are those of `score` and `generate`.

        text: as in `score`, or a `Score`, which is shown as it is, without other options.
        context: a text or token ids before the text, for Pr(text | context).
        compare: a second text, token ids or a `Score`, after the same context (default: the text with its most surprising
            token replaced by the most probable other token).
        order: the order in which the tokens are predicted: a permutation of their positions 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and the context comes first.
        seed: of random orders.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        max_tokens: the most tokens by which the text is continued, 1 to 1,000; fewer if its context is then full.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts. First for the text, then twice for the what-ifs.
        Raises InputError for input that cannot be scored.
        """
        from chainrule.pages import page_of

        if isinstance(text, Mixture) or names_several_orders(order):
            raise InputError("a page takes one order; for a mixture, pass one of its scores: page(mixture[0])")
        if isinstance(text, Score):
            options = (context, order, start, end, window, stride, special, context_special)
            if seed or temperature != 1 or any(option is not None for option in options):
                raise InputError("a score is shown as it is: pass context=, order= and other options to score instead")
            score = text
        else:
            score = cast("Score", self.score(
                text, context=context, order=order, seed=seed, start=start, end=end, temperature=temperature, window=window,
                top=min(10, self.model.head.size), stride=stride, special=special, context_special=context_special,
                progress=progress,
            ))  # fmt: skip
        return page_of(self, score, compare=compare, max_tokens=max_tokens, progress=progress)

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
