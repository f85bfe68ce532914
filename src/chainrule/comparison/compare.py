"""The search for the simplest causes that turn our numbers into a user's, and the result.

Each habit (of the call, of the alignment, of the unit) that ours lacks counts as one cause. Calls with fewer habits
are tried first; among all computations that give the user's numbers up to rounding, one with the fewest causes is chosen.

Shapes: N tokens of a computation, M numbers of the user.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import torch

from chainrule._types import Floats, Ints
from chainrule.comparison.alignment import Alignment, alignments, identity
from chainrule.comparison.habits import Habit, applied, habits
from chainrule.comparison.match import Match, matched
from chainrule.comparison.numbers import Numbers, numbers_of
from chainrule.comparison.precision import agreement, rounding
from chainrule.comparison.score_call import Language, Result, ScoreCall, computed
from chainrule.comparison.temperature import cause_of, is_evidence, results_at
from chainrule.comparison.units import NATS, TEXT_UNITS, TOKEN_UNITS, Unit, per_size_units
from chainrule.errors import ChainruleError
from chainrule.models.dtype import name_of
from chainrule.results.comparison import Cause, Comparison
from chainrule.results.score import Score
from chainrule.text.base import token_formatter

_LONG = 512  # tokens; of longer texts no two habits are combined
_TYPICAL = 0.01  # the median of the differences by rounding, as a share of the largest that is allowed; at least
_CHANCE, _CHANCE_ALONE = 1e-3, 0.15  # of agreement by coincidence, with another cause and with rounding alone
_PAIRS = ("start", "end", "context", "text", "shift", "window")  # groups whose habits are combined with others


def compare(lm: Language, numbers: Any, call: ScoreCall) -> Comparison:
    """A user's numbers beside those of `call`. Raises InputError for numbers that cannot be read, and as `score` does."""
    yours = numbers_of(numbers)
    score: Score = lm.score(call.text, **call.options())
    ours = Result(score.ids, score.logprobs, score.bytes, len(score.text or ""), score.entropies)
    start = [] if score.start.id is None else [score.start.id]
    fed = np.concatenate([np.array(start, np.int64), score.request.context_ids, score.request.ids])
    limit = agreement(lm.model, fed)
    search = _Search(lm, yours, call, score, ours)
    match = search.agreeing(limit) or search.best(limit) or search.by_temperature(limit) or search.by_precision(fed)
    return search.comparison(match, limit)


@dataclass(frozen=True, eq=False)
class _Search:
    lm: Language
    yours: Numbers
    call: ScoreCall
    score: Score
    ours: Result
    _known: dict[tuple[int, ...], Result | None] = field(default_factory=dict)  # by the identities of the habits

    def agreeing(self, limit: float) -> Match | None:
        """Our own numbers, or their sum, if the user's are equal to them."""
        whole = self.yours.total or (len(self.yours.values) == 1 and len(self.ours.ids_N) > 1)
        unit = TEXT_UNITS[0] if whole else NATS
        if not whole and len(self.yours.values) != len(self.ours.ids_N):
            return None
        match = self._match(self.ours, identity(len(self.ours.ids_N)), unit, (), limit)
        return match if self._fits(match) else None

    def best(self, limit: float) -> Match | None:
        """The simplest computation that gives the user's numbers; None if there is none."""
        found: Match | None = None
        for chosen, result in self._results():
            if found is not None and len(chosen) >= found.cost:
                break
            causes = tuple(habit.cause for habit in chosen)
            for match in self._matches(result, causes, limit):
                if (found is None or match.cost < found.cost) and self._fits(match):
                    found = match
        return found

    def by_temperature(self, limit: float) -> Match | None:
        """A computation at another temperature than 1, with at most one other cause of the call."""
        for chosen, result in () if self.yours.total else self._results(most_habits=1):
            causes = tuple(habit.cause for habit in chosen)
            if (call := applied(self.call, chosen)) is None:
                continue
            for match in self._matches(result, causes, limit):
                aligned = (match.alignment, match.unit)
                for value, found in results_at(self.lm, call, result, *aligned, self.yours, limit):
                    tried = self._match(found, *aligned, (*causes, cause_of(value)), limit)
                    if self._fits(tried) and is_evidence(tried.chances()):
                        return tried
        return None

    def by_precision(self, fed: Ints) -> Match | None:
        """Computations with at most one other cause, with the rounding of float16 and bfloat16."""
        for dtype in (torch.float16, torch.bfloat16):
            if any(math.isinf(each) for each in self.yours.values.tolist()):
                return None
            for limit, where in zip(rounding(self.lm.model, fed, dtype), ("", " and its log-softmax"), strict=True):
                cause = Cause(
                    name_of(dtype),
                    f"the differences have the size of rounding: the network{where} ran in {name_of(dtype)}",
                    "load the model in float32, and take log_softmax(logits.float())",
                )
                if limit and (match := self._within(limit, cause)) is not None:
                    return match
        return None

    def _within(self, limit: float, cause: Cause) -> Match | None:
        for most in (0, 1, 2):
            for chosen, result in self._results(most_habits=min(most, 1)):
                causes = tuple(habit.cause for habit in chosen)
                for match in self._matches(result, (*causes, cause), limit):
                    if len(match.causes) <= most + 1 and self._fits(match) and self._is_rounding(match):
                        return match
        return None

    def _is_rounding(self, match: Match) -> bool:
        """Whether the numbers differ as by rounding: most of them a little, and by less than others of their size would."""
        shares = match.shares(self.yours.values)
        if len(shares) > 2 and np.median(shares) < _TYPICAL:
            return False
        return bool(match.chances().prod() < (_CHANCE if len(match.causes) > 1 else _CHANCE_ALONE))

    @cached_property
    def _habits(self) -> list[Habit]:
        extra = 0 if self.yours.total else len(self.yours.values) - len(self.ours.ids_N)
        return list(habits(self.lm, self.call, self.score, extra))

    def _results(self, most_habits: int = 2) -> Iterator[tuple[tuple[Habit, ...], Result]]:
        """The computations with no habit, with one, and with two. Those that the model refuses are left out."""
        yield (), self.ours
        if most_habits >= 1:
            yield from self._computed((habit,) for habit in self._habits)
        if most_habits >= 2 and len(self.ours.ids_N) <= _LONG:
            pairs = combinations([habit for habit in self._habits if habit.group in _PAIRS], 2)
            yield from self._computed((a, b) for a, b in pairs if a.group != b.group)

    def _computed(self, choices: Iterable[tuple[Habit, ...]]) -> Iterator[tuple[tuple[Habit, ...], Result]]:
        for chosen in choices:
            key = tuple(map(id, chosen))
            if key not in self._known:
                self._known[key] = self._result_of(chosen)
            result = self._known[key]
            if result is not None:
                yield chosen, result

    def _result_of(self, chosen: tuple[Habit, ...]) -> Result | None:
        """The computation with these habits; None if the model has no such numbers."""
        call = applied(self.call, chosen)
        try:
            return None if call is None else computed(self.lm, call)
        except ChainruleError:
            return None

    def _matches(self, result: Result, causes: tuple[Cause, ...], limit: float) -> Iterator[Match]:
        """The result in every alignment and unit."""
        values, count = self.yours.values, len(result.ids_N)
        if not count:
            return
        if len(values) == 1:
            sizes = (
                *per_size_units(result.bytes, "byte", "bytes"),
                *per_size_units(result.characters, "character", "characters"),
            )
            for unit in (*TEXT_UNITS, *sizes):
                yield self._match(result, identity(count), unit, causes, limit)
        if self.yours.total:
            return
        for alignment in alignments(count, values, self._words(result)):
            for unit in TOKEN_UNITS:
                yield self._match(result, alignment, unit, causes, limit)

    def _match(self, result: Result, alignment: Alignment, unit: Unit, causes: tuple[Cause, ...], limit: float) -> Match:
        return matched(result, alignment, unit, causes, limit, self.yours.rounding)

    def _fits(self, match: Match) -> bool:
        return match.fits(self.yours.values)

    def _words(self, result: Result) -> Ints | None:
        """The word of each token, for our text in our tokens."""
        tokenizer, text, ids = self.lm.tokenizer, self.score.text, self.score.request.ids
        if tokenizer is None or text is None or self.score.request.segments:
            return None
        ids = ids[: len(ids) - (self.score.end is not None)]
        word_T = tokenizer.words(text, ids)
        for first in (0, 1):  # 1: the first token has no number
            if np.array_equal(result.ids_N[: len(ids) - first], ids[first:]) and len(ids) > first:
                return word_T[first:]
        return None

    def comparison(self, match: Match | None, limit: float) -> Comparison:
        """The result for what was found."""
        values, name = self.yours.values, token_formatter(self.lm.tokenizer)
        agrees = match is not None and not match.causes
        if match is None:
            match = self._match(self.ours, self._by_position(), TEXT_UNITS[0] if self._is_whole else NATS, (), limit)
            if not self._is_whole:
                values = np.pad(values, (0, len(match.expected_M) - len(values)), constant_values=np.nan)
        if match.unit.whole:
            tokens, logprobs = ["(total)"], np.array([self.score.logprob])
        else:
            token_M, ids_N = match.alignment.token_M, match.result.ids_N
            tokens = [name(int(ids_N[i])) if 0 <= i < len(ids_N) else "" for i in token_M.tolist()]
            logprobs = self._ours_at(token_M, ids_N)
        return Comparison(
            score=self.score,
            tokens=tokens,
            logprobs=logprobs,
            yours=values,
            expected=match.expected_M,
            unit=match.unit.name,
            tolerance=match.tolerance,
            agrees=agrees,
            causes=match.causes,
        )

    @property
    def _is_whole(self) -> bool:
        return self.yours.total or (len(self.yours.values) == 1 and len(self.ours.ids_N) > 1)

    def _by_position(self) -> Alignment:
        count, size = len(self.ours.ids_N), len(self.yours.values)
        token_M = np.where(np.arange(max(count, size)) < count, np.arange(max(count, size)), -1)
        return Alignment(token_M, lambda value_N: np.where(token_M >= 0, value_N[np.clip(token_M, 0, count - 1)], np.nan))

    def _ours_at(self, token_M: Ints, ids_N: Ints) -> Floats:
        """Our log probability of the token that each number belongs to; NaN if we have none."""
        ours_N = np.full(len(ids_N), np.nan)
        blocks = SequenceMatcher(None, ids_N.tolist(), self.ours.ids_N.tolist(), autojunk=False).get_matching_blocks()
        for block in blocks:
            ours_N[block.a : block.a + block.size] = self.ours.logprob_N[block.b : block.b + block.size]
        return np.where((token_M >= 0) & (token_M < len(ids_N)), ours_N[np.clip(token_M, 0, len(ids_N) - 1)], np.nan)
