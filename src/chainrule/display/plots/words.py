"""Charts of words: the surprisal of the words of each text, or its mean over the texts of each condition."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from chainrule.display.plots.lines import LONGEST, Line, line_chart, shared_labels, unique_names
from chainrule.display.plots.parts import MOST
from chainrule.errors import InputError
from chainrule.results.mean import mean
from chainrule.results.units import count
from chainrule.results.words import Words
from chainrule.text.arguments import as_list, is_missing

if TYPE_CHECKING:
    import altair


def words_chart(words: Words, conditions: Any = None, items: Any = None) -> altair.TopLevelMixin:
    """See `Words.plot`."""
    plot = WordPlot() if conditions is None else MeanPlot()
    plot.add(words, conditions, items)
    return plot.chart()


class WordPlot:
    """One line for each of the first texts."""

    def __init__(self) -> None:
        self._texts, self._lines, self._cut, self._notes = 0, list[Line](), False, list[str]()

    def add(self, words: Words, conditions: None = None, items: Any = None) -> None:
        """Add the texts. items: their names. Raises InputError."""
        names = _labels(items, words, "items") or [request.text or "" for request in words.scores.requests]
        self._notes = _notes(words)
        self._texts += len(names)
        if len(self._lines) == MOST:
            return
        surprisals, boundaries = words.surprisal_bits, words.boundary
        for s, (a, b) in enumerate(pairwise(words.offsets.tolist())):
            if len(self._lines) == MOST:
                break
            self._cut |= b - a > LONGEST
            b = min(b, a + LONGEST)
            details = [{"boundary": boundary} for boundary in boundaries[a:b]]
            self._lines.append(Line(names[s], words.words[a:b], surprisals[a:b].tolist(), details))

    def left_out(self) -> list[str]:
        """What the chart shows of the texts, if not all."""
        more = [f"the first {len(self._lines)} of {self._texts} texts"] if self._texts > len(self._lines) else []
        return more + [f"the first {LONGEST} words of a text"] * self._cut

    def chart(self) -> altair.TopLevelMixin:
        names = unique_names([line.name for line in self._lines])
        lines = [Line(name, line.labels, line.bits, line.details) for name, line in zip(names, self._lines, strict=True)]
        return line_chart(
            lines,
            shared_labels([line.labels for line in lines]),
            heading="Surprisal of each word (bits)",
            unit="word",
            notes=[*self._notes, *self.left_out()],
            tooltips={"bits": "surprisal (bits)", "boundary": "boundary"},
        )


class MeanPlot:
    """For each of the first conditions, the mean over its texts and a 95 % interval."""

    def __init__(self) -> None:
        self._conditions: dict[str, _Condition] = {}
        self._more: dict[str, None] = {}
        self._items, self._cut, self._notes = False, False, list[str]()

    def add(self, words: Words, conditions: Any, items: Any = None) -> None:
        """Add the texts, one label for each, and all texts of an item at once. Raises InputError."""
        names, own_items = _labels(conditions, words, "conditions") or [], _labels(items, words, "items")
        self._notes, self._items = _notes(words), own_items is not None
        self._cut |= bool((words.count_S > LONGEST).any())
        for name, labels, bits in _texts(words, names, own_items):
            if name not in self._conditions and len(self._conditions) == MOST:
                self._more[name] = None
            else:
                self._conditions.setdefault(name, _Condition()).add(labels, bits)

    def left_out(self) -> list[str]:
        """What the chart shows of the texts, if not all."""
        size, more = len(self._conditions), len(self._more)
        conditions = [f"the first {size} of {size + more} conditions"] if more else []
        return conditions + [f"the first {LONGEST} words of a text"] * self._cut

    def chart(self) -> altair.TopLevelMixin:
        lines = [condition.line(name) for name, condition in self._conditions.items()]
        over = "items" if self._items else "texts"
        notes = [
            f"mean over the {over} of each condition, and the 95 % t interval of the mean over {over}, for each word by itself"
        ]
        return line_chart(
            lines,
            shared_labels([condition.labels for condition in self._conditions.values()]),
            heading="Mean surprisal of each word (bits)",
            unit="word",
            notes=[*self._notes, *notes, *self.left_out()],
            tooltips={"bits": "mean surprisal (bits)", "low": "interval from", "high": "to", "n": over},
        )


class _Condition:
    """The surprisals of the texts of one condition, by the number of the word."""

    def __init__(self) -> None:
        self.labels: list[str | None] = []  # None: the texts have different words there
        self._bits: list[array[float]] = []
        self._unclean: list[int] = []

    def add(self, labels: Sequence[str | None], bits: Sequence[float]) -> None:
        for i, (label, value) in enumerate(zip(labels[:LONGEST], bits, strict=False)):
            if i == len(self.labels):
                self.labels.append(label)
                self._bits.append(array("d"))
            elif self.labels[i] != label:
                self.labels[i] = None
            if not math.isnan(value):
                self._bits[i].append(value)

    def line(self, name: str) -> Line:
        bits, details = [], []
        for values in self._bits:
            own = mean(values) if values else None
            low, high = (None, None) if own is None or own.interval is None else own.interval
            bits.append(math.nan if own is None else own.mean)
            details.append({"n": len(values), "low": low, "high": high})
        labels = [str(i) if label is None else label for i, label in enumerate(self.labels)]
        return Line(name, labels, bits, details)


def _texts(
    words: Words, conditions: Sequence[str], items: Sequence[str] | None
) -> Iterator[tuple[str, Sequence[str | None], Sequence[float]]]:
    """The condition, the words and the surprisals of each text; of each item, their means over its texts of a condition."""
    bits, names = words.surprisal_bits, words.words
    bounds = list(pairwise(words.offsets.tolist()))
    if items is None:
        for condition, (a, b) in zip(conditions, bounds, strict=True):
            yield condition, names[a:b], bits[a:b].tolist()
        return
    of_item: dict[tuple[str, str], _Condition] = {}
    for condition, item, (a, b) in zip(conditions, items, bounds, strict=True):
        of_item.setdefault((condition, item), _Condition()).add(names[a:b], bits[a:b].tolist())
    for (condition, item), own in of_item.items():
        yield condition, own.labels, own.line(item).bits


def _labels(labels: Any, words: Words, what: str) -> list[str] | None:
    """One label for each text, as texts. Raises InputError."""
    if labels is None:
        return None
    own, size = as_list(labels, what), len(words.count_S)
    if len(own) != size:
        raise InputError(f"{what} must have one label for each text: there are {count(size, 'text')}, but {len(own)} {what}")
    for item, label in enumerate(own):
        if is_missing(label) or label == "":
            raise InputError(f"the label of the text in {what} is missing ({label!r})", item)
    return [str(label) for label in own]


def _notes(words: Words) -> list[str]:
    return [words.identity.describe(), f"units: {words.unit}; correction: {words.correction}"]
