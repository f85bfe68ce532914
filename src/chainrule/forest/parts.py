"""Parts of a forest that several threads compute at the same time.

A forest is cut where the path is short: between texts, mostly. The rows of the path are computed again in the next part. A
part has about as many rows as a chunk. If few rows are left, parts are smaller, so that all threads finish at the same time.

A long text is one part of several segments: each row of a segment is below all rows of the segments above it, and uses their
keys and values. A thread that computes a segment follows the thread that computes the segment above, layer by layer.
"""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from chainrule._types import Bools, Ints
from chainrule.forest.chunks import Rows

SIZES = (256, 384, 512, 768)  # rows of segments, with the path: where products are padded, to these numbers
LEAST = SIZES[0]  # a smaller segment takes little less time, to read the weights
MOST_WASTED = 6  # a part is at least so many times as long as the path above it
SHORTER = 20  # rows by which a part is shorter that cost as much as one row, since weights are read for fewer rows
WEIGHTS = 64  # rows that take as long as reading and packing the weights for a segment
FAR = 7  # times the width of an embedding: the depth at which attention takes as long as the rest of a row
POWER = 0.88  # n threads within an operation are n ** POWER times as fast as one: 1.8 times for two
SHARED = 1.05  # operations are shared if that is faster at least by this factor, since threads then wait for each other
MOST = 16  # threads with segments of their own. They share Python's lock; see LOG.md


class Part(NamedTuple):
    """Rows after the path above them, in segments: segment s has the rows from bounds[s] to bounds[s + 1]. The rows before
    bounds[0] are known."""

    rows: Rows
    bounds: list[int]


def parts(
    all_rows: Rows, rows: int, threads: int, *, width: int, padded: bool, known_R: Bools | None = None
) -> tuple[list[Part], int]:
    """Parts in segments of about `rows` rows at most, and how many segments to compute at a time, for the least time with
    these threads. One segment of all rows, and 1, if nothing is gained.

    width: of an embedding. padded: whether products of other numbers of rows than SIZES are padded. known_R: rows that need
    not be computed, with all rows above them; there is then a part or more for each run of other rows.
    """
    known_R = np.zeros(len(all_rows), bool) if known_R is None else known_R
    above_R, runs = _known_above(all_rows, known_R), _runs(known_R)
    if threads > 1 and len(all_rows) > 1 and runs:
        cuts = [
            [first + bound for bound in bounds]
            for first, stop in runs
            for bounds in cut(
                all_rows.depth_R[first:stop], rows, threads, width=width, padded=padded, known_R=above_R[first:stop]
            )
        ]
        sizes = [stop - first for bounds in cuts for first, stop in pairwise(bounds)]
        workers = best_workers(sizes, rows, threads, [stop - first for first, stop in runs])
        if workers > 1:
            return [_part(all_rows, bounds, above_R) for bounds in cuts], workers
    if known_R.any():
        return [_part(all_rows, [first, stop], above_R) for first, stop in runs], 1
    return [Part(all_rows, [0, len(all_rows)])], 1


def joined(of_parts: list[Part], rows: int, threads: int) -> tuple[list[list[Part]], int] | None:
    """Groups of parts that can be computed in one run of at most `rows` rows each, and how many groups to compute at a time.

    None if there are not several parts, or one of them has several segments or too many rows.
    """
    sizes = [part.bounds[-1] - part.bounds[0] for part in of_parts]
    if len(of_parts) < 2 or max(sizes) > rows or any(len(part.bounds) > 2 for part in of_parts):
        return None
    total, least = sum(sizes), -(-sum(sizes) // rows)
    count = max(least, min(threads, total // LEAST, len(of_parts)))
    workers = best_workers([-(-total // count)] * count, rows, threads)
    groups: list[tuple[int, list[Part]]] = [(0, []) for _ in range(count if workers > 1 else least)]
    for size, part in sorted(zip(sizes, of_parts, strict=True), key=lambda each: -each[0]):
        at = min(range(len(groups)), key=lambda i: groups[i][0])
        if groups[at][0] + size > rows:
            groups.append((0, []))
            at = -1
        groups[at] = groups[at][0] + size, [*groups[at][1], part]
    return [group for _, group in groups if group], workers


def _known_above(all_rows: Rows, known_R: Bools) -> Ints:
    """How many known rows each row is below. Unknown rows are below the first unknown one of their path."""
    above_known_R = known_R[all_rows.parent_R] | (all_rows.parent_R < 0)
    first_R = np.maximum.accumulate(np.where(above_known_R, np.arange(len(known_R)), 0))
    return all_rows.depth_R[first_R]


def _runs(known_R: Bools) -> list[tuple[int, int]]:
    """The runs of rows that are not known: the first row of each, and the one after its last."""
    turns = np.flatnonzero(np.diff(np.concatenate([[True], known_R, [True]])))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True))


def _part(all_rows: Rows, bounds: list[int], above_R: Ints) -> Part:
    part = all_rows.part(bounds[0], bounds[-1])
    return Part(part, [int(above_R[bounds[0]]), *(part.above + bound - bounds[0] for bound in bounds[1:])])


def cut(depth_R: Ints, rows: int, threads: int, *, width: int, padded: bool, known_R: Ints | None = None) -> list[list[int]]:
    """For each part, the first row of each of its segments, and the number of rows up to its end.

    known_R: how many rows on the path above each row need not be computed again.
    """
    turns = np.append(np.flatnonzero(np.diff(depth_R) != 1) + 1, len(depth_R))  # rows that are not below the one before
    path_R = depth_R if known_R is None else depth_R - known_R  # rows that a part which begins here computes again
    cuts, first = [[0]], 0
    while (left := len(depth_R) - first) > 0:
        begins = first == cuts[-1][0]
        size = min(rows, max(size for size in SIZES if size <= max(LEAST, 2 * left // (3 * threads))))
        stop = int(turns[np.searchsorted(turns, first, side="right")])  # a text: its rows are each below the one before
        branches = stop < len(depth_R) and bool(MOST_WASTED * path_R[stop] > size)
        if branches:  # only the rows above the first branch are above all others
            stop = first + max(0, int(depth_R[stop] - depth_R[first]))
        if left <= size + LEAST // 2:
            cuts[-1].append(len(depth_R))
        elif begins and stop - first > size + LEAST // 2:
            number = _number(left, rows, threads) if stop == len(depth_R) else -(-(stop - first) // size)
            cuts[-1] += _even(depth_R[first:stop], number, rows, first, width=width, padded=padded)
        else:
            above, branches = int(path_R[first]) if begins else 0, False
            cuts[-1].append(_next(path_R, first, max(size - above, size // 2, 1), padded))
        first = cuts[-1][-1]
        if first < len(depth_R) and not branches:
            cuts.append([first])
    return cuts


def _next(depth_R: Ints, first: int, size: int, padded: bool) -> int:
    """The end of a part of at most `size` rows, where the least work is done twice or for padding: in its last quarter, or
    earlier if no path there is short enough. If none is, the first row after it where the path is."""
    near, stop = first + max(1, size * 3 // 4), first + size
    missing = np.arange(stop - near, -1, -1)
    wasted = depth_R[near : stop + 1] + (missing if padded else missing // SHORTER)
    best = len(wasted) - 1 - int(np.argmin(wasted[::-1]))
    if MOST_WASTED * wasted[best] <= size:
        return near + best
    if len(fitting := _fitting(depth_R, first, first + 1, stop + 1)):
        return int(fitting[-1])
    while stop < len(depth_R):
        if len(fitting := _fitting(depth_R, first, stop, stop + 4 * size)):
            return int(fitting[0])
        stop += 4 * size
    return len(depth_R)


def _fitting(depth_R: Ints, first: int, start: int, stop: int) -> Ints:
    """The rows from `start` to `stop` above which the path is short, compared with a part from `first` up to them."""
    row_R = np.arange(start, min(stop, len(depth_R)))
    return row_R[MOST_WASTED * depth_R[row_R] <= row_R - first]


def _number(left: int, rows: int, threads: int) -> int:
    """The number of segments of the last text: as many for each thread, if they do not get too short."""
    return max(-(-left // rows), min(threads * -(-left // (threads * rows)), left * 4 // (3 * LEAST)))


def _even(depth_R: Ints, number: int, rows: int, first: int, *, width: int, padded: bool) -> list[int]:
    """The ends of this number of segments of a text from row `first` on, which take about the same time: a thread waits if its
    segment is much shorter than the one above."""
    share_S = np.arange(1, number + 1)
    if not padded:
        time_R = np.cumsum(1 + depth_R / (FAR * width))
        end_S = 1 + np.searchsorted(time_R, share_S * time_R[-1] / number)
        end_S[-1] = len(depth_R)
        if max(np.diff(end_S, prepend=0)) <= rows:
            return (first + end_S).tolist()
    return (first + share_S * len(depth_R) // number).tolist()


def best_workers(sizes: list[int], rows: int, threads: int, runs: list[int] | None = None) -> int:
    """How many segments of these sizes to compute at a time. The threads are shared out among them. One: chunks of `rows`.

    runs: the lengths of the runs of rows that make chunks of their own. None: one run.
    """
    numbers = sorted({min(MOST, len(sizes), threads >> shift) for shift in range(threads.bit_length())} - {1}, reverse=True)
    times = {workers: _time(sizes, workers, threads // workers) for workers in numbers}
    times[1] = SHARED * sum(run + -(-run // rows) * WEIGHTS for run in runs or [sum(sizes)]) / threads**POWER
    return min(times, key=times.__getitem__)


def _time(sizes: list[int], workers: int, threads: int) -> float:
    """The time to compute segments in this order, each by the first worker that is free, in rows of one thread."""
    free = [0.0] * workers
    for size in sizes:
        heapq.heapreplace(free, free[0] + (size + WEIGHTS) / threads**POWER)
    return max(free)
