"""Texts scored with the distribution after their last token, which needs one more factor, whose token has no effect.

Shapes: S texts, K sets of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chainrule._types import Bools, Floats, Ints
from chainrule.engine.plan import rows_and_stride
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.question import Settings
from chainrule.results.batch import Scores
from chainrule.text.requests import Request
from chainrule.text.start_end import Start


@dataclass(frozen=True)
class WithEnds:
    """The requests of S texts, each with one more token, or, where it does not fit in the last window, with a request for it.

    That request has the context of the first factor of the next window. The windows of the text stay as they are.
    """

    requests: list[Request]  # of the S texts, then those for ends
    longer_S: Bools  # whether the request of a text has one more token

    @classmethod
    def of(cls, predictor: Predictor, texts: Sequence[Request], start: Start, settings: Settings, token: int) -> WithEnds:
        """token: any id, such as that of the end symbol."""
        rows, stride = rows_and_stride(predictor.model.max_rows, settings.window, settings.stride)
        body = None if rows is None or not predictor.accepts.left_to_right else rows + (start.id is None)
        one = np.array([token], np.int64)
        requests, ends, longer = [], [], []
        for request in texts:
            ids = np.concatenate((request.context_ids, request.ids))
            fits = body is None or len(ids) < body
            longer.append(fits)
            if fits:
                request = replace(request, ids=np.append(request.ids, one))
            else:
                ends.append(Request(one, ids[len(ids) - ((body or 0) - stride) :]))
            requests.append(request)
        return cls([*requests, *ends], np.array(longer, bool))

    def split(self, scores: Scores) -> tuple[Scores, Floats]:
        """The scores of the texts, and log Pr of each set of tokens after the last token of each text, S × K."""
        texts = len(self.longer_S)
        own_T = np.arange(len(scores.ids)) < scores.offsets[texts]
        last_S = scores.offsets[1 : texts + 1] - 1
        end_S = last_S.copy()
        end_S[~self.longer_S] = scores.offsets[texts:-1]
        own_T[last_S[self.longer_S]] = False
        removed_S1 = np.append(0, np.cumsum(self.longer_S))
        requests = [
            replace(request, ids=request.ids[:-1]) if longer else request
            for request, longer in zip(scores.requests, self.longer_S.tolist(), strict=False)
        ]
        return _part(scores, requests, own_T, scores.offsets[: texts + 1] - removed_S1), scores.set_logprobs[end_S]


def _part(scores: Scores, requests: list[Request], own_T: Bools, offset_S1: Ints) -> Scores:
    """The scores of the first requests, with these factors."""
    count = len(requests)
    return replace(
        scores,
        requests=requests,
        starts=scores.starts[:count],
        offsets=offset_S1,
        ids=scores.ids[own_T],
        contexts=scores.contexts[own_T],
        windows=scores.windows[:count],
        orderings=scores.orderings[:count],
        statistics=scores.statistics[own_T],
    )
