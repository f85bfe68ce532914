"""The methods that score texts: one, many, and one with its factors explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, overload

from chainrule.engine.inputs.embeddings import embedded
from chainrule.engine.predictors.in_order import EMBEDDINGS
from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError, of_one_text, raise_unless
from chainrule.forest.permutations import names_several_orders
from chainrule.language.foundation import Foundation
from chainrule.results import Explanation, Mixture, Mixtures, Score, Scores
from chainrule.scoring.asked import target_lists
from chainrule.text.arguments import as_list, contexts_for
from chainrule.text.reading import Reading, Special
from chainrule.text.types import (
    Context,
    Contexts,
    Embeddings,
    OneOrder,
    Order,
    Orders,
    StartPolicy,
    Targets,
    TargetsOfTexts,
    Text,
    Texts,
)

if TYPE_CHECKING:
    from chainrule.pages import Page


class Scoring(Foundation):
    """`score`, `score_batch` and `explain`."""

    # fmt: off
    @overload
    def score(
        self, text: Text | None = None, *, context: Context | None = None, embeddings: Embeddings | None = None,
        order: OneOrder | None = None, seed: int = 0, start: StartPolicy | int | None = None, end: bool | int | None = None,
        top: int = 0, targets: Targets | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Score: ...
    @overload
    def score(
        self, text: Text | None = None, *, context: Context | None = None, embeddings: None = None,
        order: Orders, seed: int = 0, start: StartPolicy | int | None = None, end: bool | int | None = None,
        top: int = 0, targets: Targets | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Mixture: ...
    @overload
    def score(
        self, text: Text | None = None, *, context: Context | None = None, embeddings: Embeddings | None = None,
        order: Order | None = None, seed: int = 0, start: StartPolicy | int | None = None, end: bool | int | None = None,
        top: int = 0, targets: Targets | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Score | Mixture: ...
    def score(
        self, text: Text | None = None, *, context: Context | None = None, embeddings: Embeddings | None = None,
        order: Order | None = None, seed: int = 0, start: StartPolicy | int | None = None, end: bool | int | None = None,
        top: int = 0, targets: Targets | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Score | Mixture:
        # fmt: on
        """log Pr of one text with every factor; in several orders, the `Mixture` of its scores.

        text: a text, a pair of texts (a, b), or token ids: a list, tuple, array, tensor, or the output of a tokenizer.
        context: a text or token ids before the text, for Pr(text | context).
        embeddings: T × D, used in place of the embeddings of the token ids. The ids may be left out if every row is a row
            of the model's embedding table. The model adds positions itself.
        order: the order in which the tokens are predicted: a permutation of their positions 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and the context comes first. "random:8", or a list of
            orders: several.
        seed: of random orders, and of draws.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        top: the number of alternatives to keep at each position.
        targets: ids whose log probability is wanted: one list of ids for each factor, in the order of the text. They are in
            `Score.target_logprobs`, and take no more rows of the network.
        draws: the number of random tokens to draw from the distribution of each factor, with `seed`: `Score.draw_ids` and
            `Score.draw_logprobs`. They depend on the seed and the text alone.
        last_n: score the last n tokens of the text only (and the end symbol), given those before. A shorter text is scored
            whole.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError for input that cannot be scored.
        """
        settings = Settings(top, window, stride, rows, progress, temperature, last_n=last_n, draws=draws)
        reading, of_text = Reading.of(special, context_special), () if targets is None else (targets,)
        if embeddings is None:
            if text is None:
                raise InputError("there is nothing to score: give a text, token ids, or embeddings")
            with of_one_text():
                return self.scorer.score_texts(
                    [text], [context], settings, reading, start=start, end=end, order=order, seed=seed, targets=of_text
                )[0]
        raise_unless(self.predictor.accepts.embeddings)
        if order is not None:
            raise InputError(EMBEDDINGS)
        with of_one_text():
            request = embedded(self.model, self.tokenizer, text, context, embeddings, reading)
            return self.scorer.score([request], settings, start=start, end=end, seed=seed, targets=of_text)[0]

    # fmt: off
    @overload
    def score_batch(
        self, texts: Texts, *, context: Contexts | None = None, order: OneOrder | None = None, seed: int = 0,
        start: StartPolicy | int | None = None, end: bool | int | None = None, top: int = 0,
        targets: TargetsOfTexts | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Scores: ...
    @overload
    def score_batch(
        self, texts: Texts, *, context: Contexts | None = None, order: Orders, seed: int = 0,
        start: StartPolicy | int | None = None, end: bool | int | None = None, top: int = 0,
        targets: TargetsOfTexts | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Mixtures: ...
    @overload
    def score_batch(
        self, texts: Texts, *, context: Contexts | None = None, order: Order | None = None, seed: int = 0,
        start: StartPolicy | int | None = None, end: bool | int | None = None, top: int = 0,
        targets: TargetsOfTexts | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Scores | Mixtures: ...
    def score_batch(
        self, texts: Texts, *, context: Contexts | None = None, order: Order | None = None, seed: int = 0,
        start: StartPolicy | int | None = None, end: bool | int | None = None, top: int = 0,
        targets: TargetsOfTexts | None = None, draws: int = 0, last_n: int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Scores | Mixtures:
        # fmt: on
        """Score many sequences, in input order. Shared prefixes are computed once. In several orders: `Mixtures`.

        texts: a list, tuple, generator, NumPy array, pandas or Polars Series, or Arrow array. Its items are texts, token ids
            (each a list, tuple, array or tensor), or pairs of texts.
        context: one context for all texts, or one for each; a missing value means no context.
        order: the order in which the tokens are predicted: a permutation of their positions 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and the context comes first. "random:8", or a list of
            orders: several.
        seed: of random orders, and of draws.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        top: the number of alternatives to keep at each position.
        targets: ids whose log probability is wanted: for each text, one list of ids for each factor, in the order of the text.
            They are in `Score.target_logprobs`, and take no more rows of the network.
        draws: the number of random tokens to draw from the distribution of each factor, with `seed`: `Score.draw_ids` and
            `Score.draw_logprobs`. They depend on the seed and the text alone.
        last_n: score the last n tokens of each text only (and the end symbol), given those before. A shorter text is scored
            whole.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
            A longer text is scored in overlapping windows, and every window begins with the start symbol. Every token is
            scored exactly once; `contexts` has the number of embeddings that each factor is conditioned on.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
            `Score.special` and `Score.context_special` record the choice for texts that contain such names.
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError, with the index of the item, for input that cannot be scored.
        """
        if isinstance(texts, str):
            raise InputError("score_batch takes a list of texts; for one text use score")
        items = as_list(texts)
        settings = Settings(top, window, stride, rows, progress, temperature, last_n=last_n, draws=draws)
        return self.scorer.score_texts(
            items, contexts_for(context, len(items)), settings, Reading.of(special, context_special), start=start, end=end,
            order=order, seed=seed, targets=() if targets is None else target_lists(targets, len(items)),
        )  # fmt: skip

    # fmt: off
    def explain(
        self, text: Text | Score | None = None, *, context: Context | None = None, embeddings: Embeddings | None = None,
        order: OneOrder | str | None = None, seed: int = 0, start: StartPolicy | int | None = None,
        end: bool | int | None = None, top: int = 0, temperature: float = 1.0, window: int | bool | None = None,
        stride: int | None = None, rows: int | None = None, special: Special | None = None,
        context_special: Special | None = None, progress: Progress | None = None,
    ) -> Explanation:
        # fmt: on
        """The factors of a text, or of a `Score`, in the order of prediction, with the running product.

        text: as in `score`, or a `Score`, which is explained as it is, without other options.
        context: a text or token ids before the text, for Pr(text | context).
        embeddings: T × D, used in place of the embeddings of the token ids.
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
        if isinstance(text, Mixture) or names_several_orders(order):
            raise InputError("explain takes one order; for a mixture, explain one of its scores: explain(mixture[0])")
        if isinstance(text, Score):
            options = (context, embeddings, order, start, end, window, stride, rows, special, context_special, progress)
            if top or seed or temperature != 1 or any(option is not None for option in options):
                raise InputError("a score is explained as it is: pass context=, order= and other options to score instead")
            return Explanation(text, self._page_of)
        score = self.score(
            text, context=context, embeddings=embeddings, order=order, seed=seed, start=start, end=end, top=top,
            temperature=temperature, window=window, stride=stride, rows=rows, special=special,
            context_special=context_special, progress=progress,
        )  # fmt: skip
        return Explanation(cast("Score", score), self._page_of)

    def _page_of(self, score: Score) -> Page:
        """The page of a score of this model."""
        from chainrule.pages import page_of

        return page_of(self, score)
