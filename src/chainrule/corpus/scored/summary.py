"""A summary of a scored corpus: totals, failures, and the distributions of the documents, also within groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.corpus.scored.groups import Groups, Key, in_order
from chainrule.corpus.scored.histogram import Histogram, histogram, round_bounds
from chainrule.corpus.scored.parts import Parts
from chainrule.corpus.scored.quantiles import doubles, grouped
from chainrule.corpus.scored.ranks import quantile
from chainrule.corpus.scored.reasons import Reason, Reasons
from chainrule.results.units import bits_per_byte, perplexity

_SUMS = ("logprob", "tokens", "bytes")
_SPREAD = ("bits_per_byte", "perplexity", "tokens")  # whose distributions are summarised
_PERCENTS = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True)
class Distribution:
    """A number of each document: the mean, and quantiles by linear interpolation. Infinities count as numbers.

    documents: those that have the number. p5: the 5 % quantile.
    """

    documents: int
    mean: float
    minimum: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    maximum: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Write it with `json_text`: a number can be infinite."""
        return dict(vars(self))


@dataclass(frozen=True)
class Figures:
    """What is known of all documents, or of those of a group. Totals and distributions are of the scored documents.

    value: that of the group; None for null, and for all documents. logprob: the sum of log Pr, in nats. bits_per_byte: all
    bits over all bytes; None without bytes. perplexity: exp of the mean negative log factor, over all tokens; None without
    tokens. of_…: the distributions over documents; None without documents. histogram: of bits_per_byte of the documents.
    """

    value: Key
    documents: int
    failed: int
    reasons: tuple[Reason, ...]
    tokens: int
    bytes: int
    logprob: float
    bits_per_byte: float | None
    perplexity: float | None
    of_bits_per_byte: Distribution | None
    of_perplexity: Distribution | None
    of_tokens: Distribution | None
    histogram: Histogram

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Write it with `json_text`: a number can be infinite."""
        spread = {"bits_per_byte": self.of_bits_per_byte, "perplexity": self.of_perplexity, "tokens": self.of_tokens}
        return {
            "documents": self.documents,
            "scored": self.documents - self.failed,
            "failed": self.failed,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "tokens": self.tokens,
            "bytes": self.bytes,
            "logprob": self.logprob,
            "bits_per_byte": self.bits_per_byte,
            "perplexity": self.perplexity,
            "per_document": {name: None if own is None else own.to_dict() for name, own in spread.items()},
            "histogram": self.histogram.to_dict(),
        }


@dataclass(frozen=True)
class Summary:
    """A summary of the parts of a folder. source: the name of the folder. by: the column of the groups, or None.

    groups: those of `by`, the largest first; their histograms have the bounds of the whole.
    """

    source: str
    parts: int
    by: str | None
    whole: Figures
    groups: tuple[Figures, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Write it with `json_text`: a number can be infinite."""
        groups = [{"value": group.value} | group.to_dict() for group in self.groups]
        return {"source": self.source, "parts": self.parts, **self.whole.to_dict(), "by": self.by, "groups": groups}


def summarise(parts: Parts, by: str | None = None) -> Summary:
    """The summary of all documents, and of those of each value of the column `by`. The parts are read once.

    Memory: about 28 bytes for each document. Raises InputError for a column that is missing or cannot be grouped by, more than
    10,000 groups, and a part that cannot be read.
    """
    groups, whole, tallies = Groups(parts.schema, by), _Tally(), list[_Tally]()
    names = {name: parts.ours(name) for name in dict.fromkeys((*_SUMS, *_SPREAD, "error"))}
    values: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in _SPREAD}
    numbers = [np.empty(0, np.int32)]
    for rows in parts.tables([*names.values(), *([] if by is None else [by])]):
        own = {name: rows[column] for name, column in names.items()}
        numbers.append(groups.numbers(rows))
        whole.add(own)
        tallies += [_Tally() for _ in range(len(groups) - len(tallies))]
        if by is not None:
            _add_by_group(tallies, own, numbers[-1])
        for name in _SPREAD:
            values[name].append(doubles(own[name]))
    joined = np.concatenate(numbers)
    columns = {name: np.concatenate(values.pop(name)) for name in _SPREAD}
    spread = _spread(columns, np.zeros_like(joined), 1)[0]
    bounds = round_bounds(spread["bits_per_byte"])
    found: list[Figures] = []
    if by is not None:
        spreads = _spread(columns, joined, len(groups))
        found = [_figures(*each, bounds) for each in zip(groups.keys, tallies, spreads, strict=True)]
        found.sort(key=lambda group: (-group.documents, in_order(group.value)))
    return Summary(parts.name, len(parts.paths), by, _figures(None, whole, spread, bounds), tuple(found))


class _Tally:
    """Totals of documents."""

    def __init__(self) -> None:
        self.documents = self.failed = self.tokens = self.bytes = 0
        self.reasons, self._logprobs = Reasons(), list[float]()

    def add(self, own: dict[str, Any]) -> None:
        """Add rows, given by their columns."""
        import pyarrow.compute as pc

        errors = own["error"].drop_null().to_pylist()
        self.documents += len(own["error"])
        self.failed += len(errors)
        self.reasons.add(errors)
        self.tokens += pc.call_function("sum", [own["tokens"]]).as_py() or 0
        self.bytes += pc.call_function("sum", [own["bytes"]]).as_py() or 0
        self._add_logprobs(own["logprob"].drop_null().to_pylist())

    def _add_logprobs(self, logprobs: list[float]) -> None:
        """Keep the sum and its rounding error, so that the sum of all is as exact as that of one list."""
        total = math.fsum(logprobs)
        self._logprobs.append(total)
        if math.isfinite(total):
            self._logprobs.append(math.fsum([*logprobs, -total]))

    @property
    def logprob(self) -> float:
        """In nats."""
        return math.fsum(self._logprobs)


def _add_by_group(tallies: Sequence[_Tally], own: dict[str, Any], numbers: np.ndarray) -> None:
    """Add rows to the tallies of their groups."""
    import pyarrow

    order = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[order], np.arange(len(tallies) + 1))
    sorted_rows = pyarrow.table(own).take(order)
    for number in np.unique(numbers).tolist():
        begin = int(ends[number])
        rows = sorted_rows.slice(begin, int(ends[number + 1]) - begin)
        tallies[number].add({name: rows[name] for name in own})


def _spread(columns: dict[str, np.ndarray], numbers: np.ndarray, count: int) -> list[dict[str, np.ndarray]]:
    """For each group, the sorted values of each column, without those that are missing."""
    found = [dict.fromkeys(columns, np.empty(0)) for _ in range(count)]
    for name, values in columns.items():
        there = ~np.isnan(values)
        for number, ascending in grouped(values[there], numbers[there], count):
            found[number][name] = ascending
    return found


def _figures(value: Key, tally: _Tally, spread: dict[str, np.ndarray], bounds: tuple[float, ...]) -> Figures:
    return Figures(
        value=value,
        documents=tally.documents,
        failed=tally.failed,
        reasons=tally.reasons.most_frequent(),
        tokens=tally.tokens,
        bytes=tally.bytes,
        logprob=tally.logprob,
        bits_per_byte=bits_per_byte(tally.logprob, tally.bytes),
        perplexity=perplexity(tally.logprob, tally.tokens) if tally.tokens else None,
        of_bits_per_byte=_distribution(spread["bits_per_byte"]),
        of_perplexity=_distribution(spread["perplexity"]),
        of_tokens=_distribution(spread["tokens"]),
        histogram=histogram(spread["bits_per_byte"], bounds),
    )


def _distribution(ascending: np.ndarray) -> Distribution | None:
    if not len(ascending):
        return None
    return Distribution(len(ascending), _mean(ascending), *(quantile(ascending, percent, 100) for percent in _PERCENTS))


def _mean(ascending: np.ndarray) -> float:
    try:
        return math.fsum(ascending) / len(ascending)
    except OverflowError:  # of finite numbers near the largest
        return math.inf
