"""Parts of a forest that several threads compute at the same time, each with the path above it.

A forest is cut where the path is short: between texts, mostly. The rows of the path are computed again in the next part. A
part has about as many rows as a chunk. If few rows are left, parts are smaller, so that all threads finish at the same time.
"""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np

from chainrule._types import Ints
from chainrule.forest.chunks import Rows

SIZES = (192, 256, 384, 512, 768)  # rows of parts, with the path: where products are padded, to these numbers
LEAST = SIZES[0]  # a smaller part takes the time to read the weights
MOST_WASTED = 6  # a part is at least so many times as long as the path above it
SHORTER = 20  # rows by which a part is shorter that cost as much as one row, since weights are read for fewer rows
POWER = 0.85  # n threads within an operation are n ** POWER times as fast as one: 1.8 times for two
MOST = 16  # threads with parts of their own. They share Python's lock; see LOG.md


def parts(all_rows: Rows, rows: int, threads: int, *, padded: bool) -> tuple[list[Rows], int]:
    """Parts of at most about `rows` rows, and how many of them to compute at a time, for the least time with these threads.

    padded: whether products of other numbers of rows than SIZES are padded. One part that holds all rows, and 1, if nothing is
    gained.
    """
    if threads > 1 and len(all_rows) > 1:
        bound_P1 = cut(all_rows.depth_R, rows, threads, padded=padded)
        workers = best_workers(np.diff(bound_P1).tolist(), threads)
        if workers > 1:
            return [all_rows.part(a, b) for a, b in pairwise(bound_P1)], workers
    return [all_rows], 1


def cut(depth_R: Ints, rows: int, threads: int, *, padded: bool) -> list[int]:
    """The first row of each part, and the number of all rows."""
    bounds = [0]
    while (left := len(depth_R) - bounds[-1]) > 0:
        above = int(depth_R[bounds[-1]])
        size = min(rows, max(size for size in SIZES if size <= max(LEAST, 2 * left // (3 * threads))))
        if left <= size + LEAST // 2:
            bounds.append(len(depth_R))
        else:
            bounds.append(_next(depth_R, bounds[-1], max(size - above, size // 2, 1), padded))
    return bounds


def _next(depth_R: Ints, first: int, size: int, padded: bool) -> int:
    """The end of a part of at most `size` rows, where the least work is done twice or for padding; if no path in its last
    quarter is short enough, the first row after it where the path is."""
    near, stop = first + max(1, size * 3 // 4), first + size
    missing = np.arange(stop - near, -1, -1)
    wasted = depth_R[near : stop + 1] + (missing if padded else missing // SHORTER)
    best = len(wasted) - 1 - int(np.argmin(wasted[::-1]))
    if MOST_WASTED * wasted[best] <= size:
        return near + best
    while stop < len(depth_R):
        depth = depth_R[stop : stop + 4 * size]
        fitting = np.flatnonzero(MOST_WASTED * depth <= np.arange(stop, stop + len(depth)) - first)
        if len(fitting):
            return stop + int(fitting[0])
        stop += len(depth)
    return len(depth_R)


def best_workers(sizes: list[int], threads: int) -> int:
    """How many parts of these sizes to compute at a time. The threads are shared out among them."""
    numbers = sorted({min(MOST, len(sizes), threads >> shift) for shift in range(threads.bit_length())}, reverse=True)
    return min(numbers, key=lambda workers: _time(sizes, workers, threads // workers))


def _time(sizes: list[int], workers: int, threads: int) -> float:
    """The time to compute parts in this order, each by the first worker that is free, in rows of one thread."""
    free = [0.0] * workers
    for size in sizes:
        heapq.heapreplace(free, free[0] + size / threads**POWER)
    return max(free)
