"""The method that measures words."""

from __future__ import annotations

from typing import Any, Literal

from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError, of_one_text
from chainrule.language.foundation import Foundation
from chainrule.results import Words
from chainrule.scoring.words import word_scores
from chainrule.text.arguments import as_list, contexts_for
from chainrule.text.reading import Reading, Special
from chainrule.text.types import Contexts, StartPolicy, Texts
from chainrule.text.words import Units


class Wording(Foundation):
    """`words`."""

    # fmt: off
    def words(
        self, texts: str | Texts, units: Units = "whitespace", *, correction: Literal["full", "none"] = "full",
        previous: int = 0, context: Contexts | None = None, start: StartPolicy | int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Words:
        # fmt: on
        """The words of a text, or of many texts, each with its log probability and its surprisal.

        log Pr(word) is the sum of the factors of its tokens, corrected for the probability that the word begins and ends
        where it does (Pimentel and Meister 2024, arXiv 2406.14561; Oh and Schuler 2024, arXiv 2406.10851).

        texts: a text, or many as in `score_batch`.
        units: "whitespace": words between white space; "unicode": the words and punctuation marks of Unicode Standard Annex
            29; a function from a text to its words, or to their spans (begin, stop) in characters; or, for one text, a list
            of its words or of spans, for many texts a list of such lists. A unit may have several words.
        correction: "none" leaves the correction out: log Pr is the sum of the factors.
        previous: the number of columns in tables with the surprisals of the words before: surprisal_bits_prev1, 2 …
        context: one context for all texts, or one for each; a missing value means no context. Texts only.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError, with the index of the item, for input that has no words or cannot be scored.
        """
        settings = Settings(0, window, stride, rows, progress, temperature)
        options: dict[str, Any] = {"start": start, "correction": correction, "previous": previous}
        reading = Reading.of(special, context_special)
        if isinstance(texts, str):
            own: Any = units if isinstance(units, str) or callable(units) else [units]
            with of_one_text():
                return word_scores(self.scorer, [texts], contexts_for(context, 1), own, settings, reading, **options)
        items = as_list(texts)
        if not items:
            raise InputError("there are no texts, so there are no words: pass one text at least")
        return word_scores(self.scorer, items, contexts_for(context, len(items)), units, settings, reading, **options)
