"""What-ifs: a text after a change, beside the text itself. Which factors are new, and which keep their bits.

Factors of the text are called main factors. Both texts are scored from left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule._types import Floats
from chainrule.engine.head.opened import Opened
from chainrule.engine.question import Progress, Settings
from chainrule.pages.changes import Change, Changed, applied
from chainrule.pages.language import Language
from chainrule.pages.numbers import total
from chainrule.pages.proposed import column_of
from chainrule.pages.recomputed import opened, positions_of, reads_left_to_right
from chainrule.pages.tokens import Tokens
from chainrule.results.score import Score
from chainrule.scoring.assemble import score_requests

NO_ORDER = "What-ifs are computed from left to right, and this text was scored in another order: score it without order=."
NO_EMBEDDINGS = "The text was scored with embeddings in place of its tokens, so no token can be changed: score its tokens."


def why_unchanged(score: Score) -> str:
    """Why a score has no what-ifs, in one sentence; "" if it has."""
    if not reads_left_to_right(score):
        return NO_ORDER
    return NO_EMBEDDINGS if score.request.embeddings is not None else ""


def variants(
    lm: Language,
    tokens: Tokens,
    score: Score,
    changes: Sequence[Change],
    *,
    main: Opened | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The what-ifs of a score, as plain data. Texts with one start symbol are one batch, so shared prefixes are computed once.

    main: the main factors, opened; None: they have no logits of their own, and then neither have those of the what-ifs.
    """
    new = scored(lm, score, [applied(score, change) for change in changes], progress)
    found = [_Variant(score, *both) for both in zip(changes, new, strict=True)]
    logits: Sequence[Floats | None] = [None] * len(found)
    if main is not None:
        logits = [each.logits for each in opened(lm, new, [variant.shown for variant in found], progress)]
    return [variant.data(tokens, main, own) for variant, own in zip(found, logits, strict=True)]


def scored(lm: Language, score: Score, changed: Sequence[Changed], progress: Progress | None = None) -> list[Score]:
    """The scores of changed texts, under the conditions of a score."""
    scores: dict[int, Score] = {}
    settings = settings_of(lm, score, progress)
    for start in dict.fromkeys(each.start for each in changed):
        which = [i for i, each in enumerate(changed) if each.start == start]
        requests = [changed[i].request for i in which]
        batch = score_requests(lm.predictor, lm.tokenizer, requests, start, score.end, settings)
        scores |= dict(zip(which, batch, strict=True))
    return [scores[i] for i in range(len(changed))]


def settings_of(lm: Language, score: Score, progress: Progress | None = None) -> Settings:
    """The options that a score was computed with. The stride is seen in its windows."""
    begins = np.unique(positions_of(score) - score.contexts)
    stride = None
    if score.cut:
        stride = int(begins[1] - begins[0]) if len(begins) > 1 else len(score)
    window = None if score.window == lm.model.max_rows else score.window
    return Settings(window=window, stride=stride, temperature=score.temperature, progress=progress)


class _Variant:
    """A changed text beside the text itself. Factor i of the changed text is main factor i + offset after the change."""

    def __init__(self, score: Score, change: Change, new: Score) -> None:
        self.score, self.change, self.new = score, change, new
        cut = change.count if change.kind == "cut" else 0
        self.offset = 0 if change.kind == "replace" else int(positions_of(new)[0] + cut - positions_of(score)[0])
        self.first = self._first()  # a main factor; those before it, down to `offset`, have the same bits
        self.added = max(0, -self.offset)  # factors that the text itself lacks, since its first token is given
        self.shown = 0 if self.added else self.first - self.offset  # the first factor that is new

    def _first(self) -> int:
        begin = max(0, self.offset)
        if self.change.kind == "cut":
            return begin
        stop = len(self.score) if self.change.kind == "start" else column_of(self.score, self.change.position)
        same = self.score.logprobs[begin:stop] == self.new.logprobs[begin - self.offset : stop - self.offset]
        return stop if same.all() else begin + int(np.argmin(same))

    def data(self, tokens: Tokens, main: Opened | None, own: Floats | None) -> dict[str, Any]:
        """The what-if as plain data. own: the logits of the factors of the changed text from `shown` on."""
        change, listed = self.change, self.first - self.offset
        new = list(change.tokens) if change.kind == "replace" else [] if change.start is None else [change.start.id]
        named = tokens.all(id for id in new if id is not None)
        return {
            "kind": change.kind,
            "label": change.label(tokens, self.score),
            "position": {"replace": change.position, "cut": change.count}.get(change.kind),
            "t": named[0] if named else None,
            "tokens": named,
            "first": self.first,
            "logprob": self.new.logprobs[listed:].tolist(),
            "logit": None if own is None else own[listed - self.shown :].tolist(),
            "total_logprob": self.new.logprob,
            "removed": max(0, self.offset),
            "added": self.new.logprobs[: self.added].tolist(),
            "raw_sum": None if own is None or main is None else self._raw_sum(main, own),
        }

    def _raw_sum(self, main: Opened, own: Floats) -> float | None:
        """The sum of the logits of all factors of the changed text."""
        same = [] if self.added else main.logits[max(0, self.offset) : self.first].tolist()
        return total([*same, *own.tolist()])


def wrong(raw_sum: float | None, logprob: float, found: Sequence[dict[str, Any]]) -> dict[str, int] | None:
    """Which text is best by the sum of its raw logits, and which by its probability: −1 for the text itself, or a what-if.

    Only texts with one token replaced by another are compared, since they have equally many factors. None without logits.
    """
    alike = [(i, each) for i, each in enumerate(found) if each["kind"] == "replace" and len(each["tokens"]) == 1]
    sums, logprobs = (
        [raw_sum, *(each["raw_sum"] for _, each in alike)],
        [logprob, *(each["total_logprob"] for _, each in alike)],
    )
    known = [each for each in sums if each is not None]
    if len(known) < len(sums):
        return None
    numbers = [-1, *(i for i, _ in alike)]
    best = lambda values: numbers[values.index(max(values))]  # noqa: E731
    return {"best_by_logits": best(known), "best_by_probability": best(logprobs)}
