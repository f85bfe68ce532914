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
    slots: Ints
    task_A2: Ints  # a copy: the tasks of a decoding tree are new arrays for each layer
    rows: int
    share: int
    lanes: int
    keys: int  # the number of keys that the positions in use require


_LAST: _Checked | None = None  # replaced as a whole, since several threads may check at the same time


def check(table_B6: Ints, task_A2: Ints, slots: Ints, rows: int, share: int, lanes: int, keys: int) -> None:
    """Raises ValueError unless every row is computed exactly once, from keys that exist.

    rows: number of queries. share: heads of a group. lanes: of a task. keys: number of keys.
    """
    global _LAST
    last = _LAST
    if not (
        last is not None
        and last.table_B6 is table_B6
        and last.slots is slots
        and (last.rows, last.share, last.lanes) == (rows, share, lanes)
        and np.array_equal(last.task_A2, task_A2)
    ):
        for name, table, shape in (("table_B6", table_B6, (6,)), ("task_A2", task_A2, (2,)), ("slots", slots, ())):
            if (
                table.dtype != np.int64
                or not table.flags.c_contiguous
                or table.shape[1:] != shape
                or table.ndim != len(shape) + 1
            ):
                raise ValueError(f"{name} must be int64 in C order, … × {shape}, not {table.dtype} of shape {table.shape}")
        _check_tiles(table_B6, len(slots), rows)
        _check_tasks(table_B6, task_A2, rows, share, lanes)
        last = _LAST = _Checked(table_B6, slots, task_A2.copy(), rows, share, lanes, _keys(table_B6, slots))
    if last.keys > keys:
        raise ValueError(f"slots names the key {last.keys - 1}, and there are {keys}")


def _check_tiles(table_B6: Ints, entries: int, rows: int) -> None:
    row, count, depth, far, fars, near = table_B6.T
    outside = (row < 0) | (count < 1) | (row > rows) | (count > rows - row)
    _refuse(outside, table_B6, "tile", f"rows outside the {rows} rows")
    _refuse((depth < 0) | (depth > DEEPEST - count), table_B6, "tile", f"depths outside the {DEEPEST} depths")
    outside = (far < 0) | (fars < 0) | (far > entries) | (fars > entries - far)
    _refuse(outside, table_B6, "tile", f"far keys outside the {entries} entries of slots")
    outside = (near < 0) | (near > entries) | (depth + count - fars > entries - near)
    _refuse(outside, table_B6, "tile", f"near keys outside the {entries} entries of slots")


def _refuse(wrong: Bools, table: Ints, kind: str, problem: str) -> None:
    """Raises ValueError for the first wrong line of a table of tiles or tasks."""
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"{kind} {first} has {problem}: {table[first].tolist()}")


def _check_tasks(table_B6: Ints, task_A2: Ints, rows: int, share: int, lanes: int) -> None:
    """Every lane, a row in one head of a group, must belong to exactly one task."""
    tile_A, first_A = task_A2.T
    _refuse((tile_A < 0) | (tile_A >= len(table_B6)), task_A2, "task", f"a tile outside the {len(table_B6)} tiles")
    row_A, rows_A = table_B6[tile_A, 0], table_B6[tile_A, 1]
    left_A = rows_A * share - first_A
    _refuse((first_A < 0) | (left_A < 1), task_A2, "task", f"a first lane outside its tile, with {share} lanes per row")
    start_A = row_A * share + first_A
    covered = _covered(start_A, start_A + np.minimum(left_A, lanes), rows * share)
    if (covered != 1).any():
        wrong = int((covered != 1).argmax())
        raise ValueError(f"row {wrong // share} is computed {covered[wrong]} times by the tasks; it must be once")


def _keys(table_B6: Ints, slots: Ints) -> int:
    """The number of keys that the tables require: one more than the greatest position in use. Padding is not read."""
    _, count, depth, far, fars, near = table_B6.T
    far_stop, near_stop = far + np.minimum(fars, depth + count), near + np.maximum(depth + count - fars, 0)
    used = slots[_covered(np.append(far, near), np.append(far_stop, near_stop), len(slots)) > 0]
    if len(used) and used.min() < 0:
        raise ValueError(f"slots has {used.min()}, and positions of keys count from 0")
    return int(used.max(initial=-1)) + 1


def _covered(start: Ints, stop: Ints, size: int) -> Ints:
    """The number of ranges that contain each of the numbers below `size`."""
    return np.cumsum(np.bincount(start, minlength=size + 1) - np.bincount(stop, minlength=size + 1))[:size]
