"""The methods that compare texts in pairs and suites, and the measures of acceptability."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from chainrule.engine.question import Progress, Settings
from chainrule.errors import InputError
from chainrule.language.foundation import Foundation
from chainrule.results import Acceptability, Pairs, Suite
from chainrule.scoring.acceptability import score_acceptability
from chainrule.scoring.pairs import score_pairs
from chainrule.scoring.suite import score_suite
from chainrule.scoring.suite_file import read_suite
from chainrule.scoring.unigram import Unigram, unigram_of
from chainrule.text.arguments import as_list, contexts_for
from chainrule.text.reading import Reading, Special
from chainrule.text.types import Column, Contexts, StartPolicy, Texts

SuiteSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
UnigramSource: TypeAlias = Unigram | str | os.PathLike[str] | Mapping[Any, float] | Column[str] | Column[float]


class Measuring(Foundation):
    """`pairs`, `suite` and `acceptability`."""

    # fmt: off
    def pairs(
        self, good: Texts, bad: Texts, *, context: Contexts | None = None, phenomenon: Column[str] | None = None,
        marked: bool = False, good_region: Column[str] | None = None, bad_region: Column[str] | None = None,
        start: StartPolicy | int | None = None, end: bool | int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Pairs:
        # fmt: on
        """Minimal pairs: which text of each pair is more probable, and how often it is the good one.

        The texts are compared by log Pr, by log Pr per token and by log Pr per byte. `Pairs.accuracy` has the share of pairs
        whose good text is more probable, with its 95 % Wilson interval: of all pairs, and of each phenomenon. All texts are
        scored at once, and shared prefixes are computed once.

        good: the good text of each pair, as in `score_batch`.
        bad: the bad text of each pair, in the same order.
        context: one context for all pairs, or one for each; a missing value means no context.
        phenomenon: the phenomenon of each pair, to group by.
        marked: whether the texts mark their critical region, as in "The keys to the cabinet |are| here.". Only the factors
            of its tokens are compared then, each conditioned on all tokens before it. The marks are not scored.
        good_region: in place of marks, the critical region of each good text: a part of it that occurs exactly once.
        bad_region: the same of each bad text (default: as `good_region`).
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        A token that holds characters inside and outside of a region counts as part of it, and the pair says so:
        `Pairs.boundary`. Raises InputError, with the number of the pair, for input that cannot be scored.
        """
        for name, texts in (("good", good), ("bad", bad)):
            if isinstance(texts, str):
                raise InputError(f"pairs takes lists of texts, but {name} is one text: put it into a list")
        if good_region is None and bad_region is not None:
            raise InputError("bad_region= needs good_region=, the regions of the good texts")
        texts = as_list(good, "good texts"), as_list(bad, "bad texts")
        regions = None
        if good_region is not None:
            own = as_list(good_region, "good_region")
            regions = own, own if bad_region is None else as_list(bad_region, "bad_region")
        return score_pairs(
            self.scorer, texts, contexts_for(context, len(texts[0])),
            None if phenomenon is None else as_list(phenomenon, "phenomenon"), regions, marked,
            Settings(0, window, stride, rows, progress, temperature), Reading.of(special, context_special),
            start=start, end=end,
        )  # fmt: skip

    # fmt: off
    def suite(
        self, source: SuiteSource, *, no_space_before: str = ",.;:!?", start: StartPolicy | int | None = None,
        temperature: float = 1.0, window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, progress: Progress | None = None,
    ) -> Suite:
        # fmt: on
        """Score a suite of sentences in SyntaxGym's JSON: the surprisal of each region, and whether the predictions hold.

        `Suite.predictions` has the share of items for which each prediction holds, with its 95 % Wilson interval. The
        surprisal of a region is the sum of the surprisals of its tokens, in bits. A token belongs to the region of its first
        character that is no space; a region whose last token crosses into the next region says so: `RegionScore.boundary`.

        source: a file, or a dictionary of the same form: `meta`, `region_meta`, `predictions` and `items`.
        no_space_before: the regions of a sentence are joined by spaces, but not before a region that begins with one of these
            characters. "" gives SyntaxGym's own sentences, with a space before each region.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        progress: called with (done, total), in contexts.
        Raises InputError, which names the item, the condition and the region, or the prediction and the character.
        """
        settings = Settings(0, window, stride, rows, progress, temperature)
        return score_suite(self.scorer, read_suite(source, no_space_before), settings, Reading.of(special), start=start)

    # fmt: off
    def acceptability(
        self, texts: Texts, *, context: Contexts | None = None, unigram: UnigramSource | None = None,
        start: StartPolicy | int | None = None, end: bool | int | None = None, temperature: float = 1.0,
        window: int | bool | None = None, stride: int | None = None, rows: int | None = None,
        special: Special | None = None, context_special: Special | None = None, progress: Progress | None = None,
    ) -> Acceptability:
        # fmt: on
        """Measures of the acceptability of sentences: MeanLP and PenLP, with unigram= NormLP and SLOR, with contexts PMI.

        MeanLP = LP / |s|, PenLP = LP / ((5 + |s|) / 6)^0.8, NormLP = −LP / LPu, SLOR = (LP − LPu) / |s|,
        PMI = LP(s | c) − LP(s). LP is log Pr, LPu that of the tokens one by one, |s| the number of tokens. Sources: Lau, Clark
        and Lappin (2017); SLOR: Pauls and Klein (2012).

        texts: as in `score_batch`.
        context: one context for all texts, or one for each; a missing value means no context. For PMI, the same tokens are
            scored without it too.
        unigram: a distribution of single tokens: a corpus, counts or probabilities, as in `unigram`, or its result.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        Raises InputError, with the index of the item, for input that cannot be scored.
        """
        if isinstance(texts, str):
            raise InputError("acceptability takes a list of texts: put the text into a list")
        items, scorer = as_list(texts), self.scorer
        distribution = None if unigram is None else self.unigram(unigram, end=end)
        return score_acceptability(
            scorer, items, contexts_for(context, len(items)), distribution,
            Settings(0, window, stride, rows, progress, temperature), Reading.of(special, context_special),
            start=start, end=end,
        )  # fmt: skip

    def unigram(self, source: UnigramSource, *, end: bool | int | None = None) -> Unigram:
        """A distribution of single tokens of this model, for `acceptability`.

        source: a corpus: a .txt file with one text per line, or a list of texts, whose tokens are counted. Or counts or
            probabilities: a mapping from tokens (as results name them) or ids, one number per id, a .json object, or a .csv
            or .tsv file with columns `token` or `id`, and `count` or `probability`.
        end: True, or the id of an end symbol: count it once after every text of a corpus.
        Counts, which are whole numbers, are smoothed by adding 1 to each id of the model, so that no token has probability 0:
        (count + 1) / (total + number of ids). Probabilities, which sum to 1, are used as they are. Raises InputError for a
        source that cannot be read.
        """
        scorer = self.scorer
        return unigram_of(source, self.tokenizer, scorer.vocab_size, scorer.end(end))
