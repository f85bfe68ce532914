"""Bounds checks for the tables that the attention kernel reads. The kernel itself checks nothing.

All layers of a chunk share their tables, which are checked once and then recognized by identity.

Shapes: B tiles, A tasks, R rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule._types import Bools, Ints

DEEPEST = 2**30  # depths are 32-bit integers in the kernel


class _Checked(NamedTuple):
    table_B6: Ints
    place: Ints
    task_A2: Ints  # a copy: the tasks of a decoding tree are new arrays for each layer
    rows: int
    share: int
    lanes: int
    keys: int  # the number of keys that the positions in use require


_LAST: _Checked | None = None  # replaced as a whole, since several threads may check at the same time


def check(table_B6: Ints, task_A2: Ints, place: Ints, rows: int, share: int, lanes: int, keys: int) -> None:
    """Raises ValueError unless every row is computed exactly once, from keys that exist.

    rows: number of queries. share: heads of a group. lanes: of a task. keys: number of keys.
    """
    global _LAST
    last = _LAST
    if not (
        last is not None
        and last.table_B6 is table_B6
        and last.place is place
        and (last.rows, last.share, last.lanes) == (rows, share, lanes)
        and np.array_equal(last.task_A2, task_A2)
    ):
        for name, table, shape in (("table_B6", table_B6, (6,)), ("task_A2", task_A2, (2,)), ("place", place, ())):
            if (
                table.dtype != np.int64
                or not table.flags.c_contiguous
                or table.shape[1:] != shape
                or table.ndim != len(shape) + 1
            ):
                raise ValueError(f"{name} must be int64 in C order, … × {shape}, not {table.dtype} of shape {table.shape}")
        _check_tiles(table_B6, len(place), rows)
        _check_tasks(table_B6, task_A2, rows, share, lanes)
        last = _LAST = _Checked(table_B6, place, task_A2.copy(), rows, share, lanes, _keys(table_B6, place))
    if last.keys > keys:
        raise ValueError(f"place names the key {last.keys - 1}, and there are {keys}")


def _check_tiles(table_B6: Ints, places: int, rows: int) -> None:
    row, count, depth, far, fars, near = table_B6.T
    _refuse(
        "tile {} has its rows {} outside the {}", (row < 0) | (count < 1) | (row > rows) | (count > rows - row), table_B6, rows
    )
    _refuse("tile {} has its depth {} outside the {}", (depth < 0) | (depth > DEEPEST - count), table_B6, DEEPEST)
    outside = (far < 0) | (fars < 0) | (far > places) | (fars > places - far)
    _refuse("tile {} has its far places {} outside the {}", outside, table_B6, places)
    outside = (near < 0) | (near > places) | (depth + count - fars > places - near)
    _refuse("tile {} has its near places {} outside the {}", outside, table_B6, places)


def _refuse(message: str, wrong_B: Bools, table: Ints, bound: int) -> None:
    if wrong_B.any():
        first = int(wrong_B.argmax())
        raise ValueError(message.format(first, table[first].tolist(), bound) + " there are")


def _check_tasks(table_B6: Ints, task_A2: Ints, rows: int, share: int, lanes: int) -> None:
    """Every lane, a row in one head of a group, must belong to exactly one task."""
    tile_A, first_A = task_A2.T
    _refuse("task {} has its tile {} outside the {}", (tile_A < 0) | (tile_A >= len(table_B6)), task_A2, len(table_B6))
    row_A, rows_A = table_B6[tile_A, 0], table_B6[tile_A, 1]
    left_A = rows_A * share - first_A
    _refuse(
        "task {} has its first lane {} outside the lanes of its tile, of which", (first_A < 0) | (left_A < 1), task_A2, share
    )
    start_A = row_A * share + first_A
    covered = _covered(start_A, start_A + np.minimum(left_A, lanes), rows * share)
    if (covered != 1).any():
        wrong = int((covered != 1).argmax())
        raise ValueError(f"row {wrong // share} is computed {covered[wrong]} times by the tasks; it must be once")


def _keys(table_B6: Ints, place: Ints) -> int:
    """The number of keys that the tables require: one more than the greatest position in use. Padding is not read."""
    _, count, depth, far, fars, near = table_B6.T
    far_stop, near_stop = far + np.minimum(fars, depth + count), near + np.maximum(depth + count - fars, 0)
    used = place[_covered(np.append(far, near), np.append(far_stop, near_stop), len(place)) > 0]
    if len(used) and used.min() < 0:
        raise ValueError(f"place has {used.min()}, and positions of keys count from 0")
    return int(used.max(initial=-1)) + 1


def _covered(start: Ints, stop: Ints, size: int) -> Ints:
    """The number of ranges that contain each of the numbers below `size`."""
    return np.cumsum(np.bincount(start, minlength=size + 1) - np.bincount(stop, minlength=size + 1))[:size]
