"""The methods that compare continuations: candidates, next tokens, and pseudo-log-likelihoods."""

from __future__ import annotations

from typing import cast

import numpy as np

from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError, of_one_text
from chainrule.forest.permutations import names_several_orders
from chainrule.language.foundation import Foundation
from chainrule.results import Conditional, PseudoScore, Ranked, Scores
from chainrule.results.batch import logprobs_within_set
from chainrule.text.arguments import as_list, contexts_for
from chainrule.text.reading import Reading, Special
from chainrule.text.types import Context, Contexts, OneOrder, StartPolicy, Text, Texts


class Comparing(Foundation):
    """`rank`, `conditional` and `pseudo_log_likelihood`."""

    # fmt: off
    def rank(
        self, context: Context | None, candidates: Texts, *, order: OneOrder | str | None = None, seed: int = 0,
        start: StartPolicy | int | None = None, end: bool | int | None = None, top: int = 0, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> list[Ranked]:
        # fmt: on
        """The candidates after `context`, most probable first, each with log Pr(candidate | context).

        `logprob_within_set` is the log probability normalised over the candidates.

        context: a text or token ids before the candidates; None: none.
        candidates: texts, as in `score_batch`.
        order: the order in which the tokens are predicted: a permutation of their positions 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and the context comes first.
        seed: of random orders.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        top: the number of alternatives to keep at each position.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError for input that cannot be scored.
        """
        if isinstance(candidates, str):
            raise InputError("rank takes a list of candidates; a single text is scored with score(text, context=...)")
        if names_several_orders(order):
            raise InputError("rank takes one order; in several, score the candidates with score_batch(..., context=...)")
        texts = as_list(candidates, "candidates")
        settings, reading = Settings(top, window, stride, rows, progress, temperature), Reading.of(special, context_special)
        scores = cast("Scores", self.scorer.score_texts(
            texts, [context] * len(texts), settings, reading, start=start, end=end, order=order, seed=seed
        ))  # fmt: skip
        best_first, share = np.argsort(-scores.logprob, kind="stable").tolist(), logprobs_within_set(scores)
        return [Ranked(i, texts[i], float(scores.logprob[i]), scores[i], float(share[i])) for i in best_first]

    def conditional(
        self,
        context: Context | None = None,
        *,
        start: StartPolicy | int | None = None,
        temperature: float = 1.0,
        special: Special | None = None,
    ) -> Conditional:
        """The distribution of the next token after `context`.

        context: a text or token ids; None: the distribution of the first token.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        Raises InputError for a context that cannot be used.
        """
        return self.scorer.conditional(context, start, special, temperature)

    # fmt: off
    def pseudo_log_likelihood(
        self, text: Text, *, context: Context | None = None, within_words: bool = False, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> PseudoScore:
        # fmt: on
        """Σ log Pr(x_i | all other tokens) of one text: a score, not a probability. See `pseudo_log_likelihoods`.

        text: a text, or token ids.
        context: a text or token ids before the text. Every term is conditioned on it, and it has no terms.
        within_words: also hide the tokens to the right within the same word.
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError for input that cannot be scored, and for models other than those of `pseudo_log_likelihoods`.
        """
        settings, reading = Settings(rows=rows, progress=progress), Reading.of(special, context_special)
        with of_one_text():
            return self.scorer.pseudo([text], [context], settings, reading, within_words=within_words)[0]

    # fmt: off
    def pseudo_log_likelihoods(
        self, texts: Texts, *, context: Contexts | None = None, within_words: bool = False, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> list[PseudoScore]:
        # fmt: on
        """The pseudo-log-likelihoods of many texts, under a masked model, or a causal model with a tiny vocabulary.

        texts: as in `score_batch`.
        context: one context for all texts, or one for each; a missing value means no context. Every term is conditioned
            on it, and it has no terms.
        within_words: also hide the tokens to the right within the same word.
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError, with the index of the item, for input that cannot be scored, and for other models.
        """
        if isinstance(texts, str):
            raise InputError("pseudo_log_likelihoods takes a list of texts; for one text use pseudo_log_likelihood")
        items = as_list(texts)
        settings, reading = Settings(rows=rows, progress=progress), Reading.of(special, context_special)
        return self.scorer.pseudo(items, contexts_for(context, len(items)), settings, reading, within_words=within_words)
