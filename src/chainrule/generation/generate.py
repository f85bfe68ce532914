"""Generation of texts after a context, with the numbers that scoring gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.decoding.base import DecodingTree
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.predictors.in_order import NO_END
from chainrule.engine.question import Answer, Route, SequenceFactors, Settings
from chainrule.errors import InputError
from chainrule.forest.forest import ranges
from chainrule.generation.hypothesis import Hypothesis, Steps, StoppingCriteria, finished
from chainrule.generation.infill import generate_in_order
from chainrule.generation.options import Options
from chainrule.generation.result import Generated
from chainrule.generation.spelling import special_of, text_of
from chainrule.generation.strategies import reporter, run
from chainrule.results.batch import Scores
from chainrule.scoring.assemble import score_requests, scores_of
from chainrule.scoring.scorer import Scorer
from chainrule.statistics import Statistics
from chainrule.text.base import TokenizerLike
from chainrule.text.requests import Request
from chainrule.text.start_end import Start


def generate(
    scorer: Scorer,
    context: Request | None,
    start: Start,
    end: bool | int | None,
    order: Any,
    options: Options,
) -> list[Generated]:
    """`options.count` texts after the context (None: after the start symbol), or fewer if there are no more.

    end: see `LanguageModel.generate`. Raises InputError.
    """
    predictor, tokenizer = scorer.predictor, scorer.tokenizer
    if predictor.accepts.left_to_right and (order is None or (isinstance(order, str) and order == "left-to-right")):
        continuations = Continuations.of(scorer, context, start, end, options)
        return finished(continuations.steps(), reporter(options, tokenizer, continuations.before))
    if end is not None and end is not False:
        raise InputError(NO_END)
    return generate_in_order(predictor.any_order, tokenizer, context, start, order, options)


@dataclass(frozen=True)
class Continuations:
    """Texts after a context, to be generated from left to right."""

    predictor: Predictor
    tokenizer: TokenizerLike | None
    context: Request | None
    start: Start
    options: Options
    criteria: StoppingCriteria
    tree: DecodingTree
    before: int  # number of embeddings of the prefix: start symbol and context
    kept: bool  # whether the numbers of the steps are those of the texts

    @classmethod
    def of(
        cls, scorer: Scorer, context: Request | None, start: Start, end: bool | int | None, options: Options,
        *, kept: bool = False,
    ) -> Continuations:  # fmt: skip
        """Checked, before anything is computed. Raises InputError."""
        predictor, tokenizer, end_id = scorer.predictor, scorer.tokenizer, _end_id(scorer, end)
        before = context.ids if context is not None else np.zeros(0, np.int64)
        if start.id is None and not len(before):
            raise InputError("with start='given', generation needs a context of at least one token: pass context=")
        if options.stop and tokenizer is None:
            raise InputError("this model has no tokenizer, so it cannot stop at texts: leave stop= out")
        prefix = [*([] if start.id is None else [start.id]), *before.tolist()]
        limit = predictor.model.max_rows
        max_tokens = options.tokens(None if limit is None else limit - len(prefix) + 1)
        criteria = StoppingCriteria(max_tokens, end_id, options.stop, tokenizer)
        tree = predictor.tree(prefix, rows=options.count if options.method == "sample" else 1, same_bits=kept)
        return cls(predictor, tokenizer, context, start, options, criteria, tree, len(prefix), kept)

    def steps(self) -> Steps[list[Generated]]:
        """Yields each new token, and returns the texts. Raises InputError if all continuations are impossible."""
        outcome = yield from run(self.tree, self.criteria, self.options)
        if not outcome.hypotheses:
            raise InputError("every continuation of this context is impossible under this model")
        requests = [_request(hypothesis, self.context, self.tokenizer) for hypothesis in outcome.hypotheses]
        scores = self._scores(requests, outcome.hypotheses)
        return [
            Generated.of(
                score,
                end=self.criteria.end_id if hypothesis.finish == "end" else None,
                canonical=_is_canonical(request, hypothesis, self.tokenizer),
                **outcome.fields_of(hypothesis),
            )
            for score, request, hypothesis in zip(scores, requests, outcome.hypotheses, strict=True)
        ]

    def _scores(self, requests: list[Request], hypotheses: list[Hypothesis]) -> Scores:
        """The scores, computed again unless the numbers of the steps have the bits of scoring or are to be kept."""
        of_tree = all(hypothesis.statistics for hypothesis in hypotheses) and (self.kept or self.tree.exact)
        if of_tree:
            return _scores_of_tree(self.predictor, self.tokenizer, requests, self.start, hypotheses, self.before)
        settings, cached_prefix = Settings(top=self.options.top), self.tree.cached_prefix
        return score_requests(self.predictor, self.tokenizer, requests, self.start, None, settings, cached_prefix=cached_prefix)


def _end_id(scorer: Scorer, end: bool | int | None) -> int | None:
    """The end symbol to stop at. end: None: the model's own, if it has one. Raises InputError."""
    try:
        return scorer.end(True if end is None else end)
    except InputError:
        if end is None:
            return None
        raise


def _scores_of_tree(
    predictor: Predictor,
    tokenizer: TokenizerLike | None,
    requests: list[Request],
    start: Start,
    hypotheses: list[Hypothesis],
    before: int,
) -> Scores:
    """The scores with the numbers computed during generation. Those of an exact tree have the bits of scoring."""
    count_S = np.array([len(hypothesis.ids) for hypothesis in hypotheses])
    ids = np.concatenate([hypothesis.ids for hypothesis in hypotheses])
    statistics = Statistics.concatenate([one for hypothesis in hypotheses for one in hypothesis.statistics])
    contexts, answer = before + ranges(np.zeros_like(count_S), count_S), Answer(statistics, 0, 0)
    routes: list[Route | None] = [None] * len(requests)
    factors = SequenceFactors(answer, ids, contexts, count_S, np.ones_like(count_S), routes, predictor.invariance)
    return scores_of(predictor, tokenizer, requests, [start] * len(requests), factors)


def _request(hypothesis: Hypothesis, context: Request | None, tokenizer: TokenizerLike | None) -> Request:
    """A request for the generated tokens after the context, with their text if they spell one."""
    ids = _ids_without_end(hypothesis)
    return Request(
        np.array(hypothesis.ids, np.int64),
        np.zeros(0, np.int64) if context is None else context.ids,
        text=text_of(ids, tokenizer),
        special=special_of(ids, tokenizer),
        context=context.text if context is not None else None,
        context_special=context.special if context is not None else None,
    )


def _ids_without_end(hypothesis: Hypothesis) -> list[int]:
    return hypothesis.ids[: len(hypothesis.ids) - (hypothesis.finish == "end")]


def _is_canonical(request: Request, hypothesis: Hypothesis, tokenizer: TokenizerLike | None) -> bool | None:
    """Whether the tokenizer encodes context and text, joined, as these tokens; None if one of the two is not a text."""
    if tokenizer is None or request.text is None or (request.context is None and len(request.context_ids)):
        return None
    try:
        special = request.special or request.context_special or "text"
        ids = tokenizer.encode((request.context or "") + request.text, special)
    except InputError:  # a table may be unable to encode the text of its own tokens
        return False
    return np.array_equal(ids, [*request.context_ids, *_ids_without_end(hypothesis)])
