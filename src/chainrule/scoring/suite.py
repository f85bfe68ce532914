"""Suites: all sentences scored as one batch, the surprisal of each region, and whether the predictions hold."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np

from chainrule.engine.question import Settings
from chainrule.errors import InputError
from chainrule.results.batch import Scores
from chainrule.results.suite import Outcome, RegionScore, Suite
from chainrule.results.units import bits
from chainrule.scoring import formula
from chainrule.scoring.regions import given_tokens, token_characters
from chainrule.scoring.scorer import Scorer
from chainrule.scoring.suite_file import SuiteFile
from chainrule.text.base import token_formatter
from chainrule.text.reading import Reading
from chainrule.text.regions import tokens_of_regions


def score_suite(scorer: Scorer, suite: SuiteFile, settings: Settings, reading: Reading, *, start: str | int | None) -> Suite:
    """Score all sentences of a suite. Raises InputError, with the item and the condition, for one that cannot be scored."""
    texts = [sentence.text for sentence in suite.sentences]
    try:
        requests = scorer.requests(texts, [None] * len(texts), reading)
        scores = scorer.score(requests, settings, start=start, end=None)
    except InputError as error:
        if error.item is None:
            raise
        raise InputError(f"{suite.sentences[error.item].where}: {error.reason}") from None
    by_sentence = _regions(scores, suite)
    outcomes = list[Outcome]()
    pairs = zip(suite.sentences, by_sentence, strict=True)
    for item, group in groupby(pairs, key=lambda pair: pair[0].item):
        conditions = {sentence.condition: regions for sentence, regions in group}
        for number, prediction in enumerate(suite.predictions, 1):
            outcomes.append(Outcome(item, number, prediction.text, _holds(prediction, number, item, conditions)))
    regions = [region for own in by_sentence for region in own]
    sentence_R = np.repeat(np.arange(len(texts)), [len(own) for own in by_sentence])
    return Suite(suite.name, scores, regions, sentence_R, outcomes)


def _regions(scores: Scores, suite: SuiteFile) -> list[list[RegionScore]]:
    """The regions of each sentence."""
    by_sentence, name = [], token_formatter(scores.tokenizer)
    for s, ((begin_T, stop_T), sentence) in enumerate(zip(token_characters(scores), suite.sentences, strict=True)):
        score, given = scores[s], given_tokens(scores, s)
        regions = []
        spelled = tokens_of_regions(sentence.text, begin_T, stop_T, sentence.regions)
        for number, content, tokens in zip(sentence.numbers, sentence.contents, spelled, strict=True):
            known = tokens.first >= given or not tokens.stop
            factors = score.logprobs[tokens.first - given : tokens.stop - given].tolist() if known and tokens.stop else []
            regions.append(
                RegionScore(
                    sentence.item, sentence.condition, number, suite.region_names.get(number), content,
                    bits(math.fsum(factors)) if known else None, tokens.stop - tokens.first,
                    [name(int(scores.requests[s].ids[i])) for i in tokens.crossing],
                )
            )  # fmt: skip
        by_sentence.append(regions)
    return by_sentence


def _holds(prediction: formula.Formula, number: int, item: int, conditions: dict[str, list[RegionScore]]) -> bool:
    """Whether a prediction holds for an item. conditions: its regions in each condition."""

    def surprisal(region: formula.Region) -> float:
        own = [each for each in conditions[region.condition] if region.number in (None, each.region)]
        if any(each.surprisal_bits is None for each in own):
            raise InputError(
                f"prediction {number}, character {region.character}: the first token of item {item}, condition "
                f"{region.condition!r} is given and has no surprisal: choose a start symbol with start="
            )
        return math.fsum(each.surprisal_bits or 0.0 for each in own)

    return prediction.holds(surprisal)
