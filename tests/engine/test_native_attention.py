"""The tables that the compiled kernel reads, against each row's lineage."""

from __future__ import annotations

import numpy as np
import pytest
from forests import branching, build, fixed
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import carried, lineage

from chainrule.engine.attention.native import NativeLayout
from chainrule.forest import chunks
from chainrule.forest.tiles import T
from chainrule.ops import native


def check(sequences: list[list[int]], rows: int) -> None:
    """Every row is in one tile. Its far keys are whole blocks of depths, its near keys those of its own block."""
    forest = build(sequences)
    for chunk, nodes in carried(chunks(forest, forest.depth_N > 0, rows)):
        (table_B6, key_index), rows_read = NativeLayout(chunk.tiles).tables, []
        for first, count, depth, far, fars, near in table_B6.tolist():
            assert fars == depth // T * T
            for row in range(first, first + count):
                at = depth + row - first
                path = [*key_index[far : far + fars], *key_index[near : near + at - fars + 1]]
                assert [nodes[k] for k in path] == lineage(forest, int(chunk.node_R[row]))
                rows_read.append(row)
        assert rows_read == list(range(len(chunk)))


@settings(max_examples=40)
@given(branching(), st.sampled_from([1, 3, 16, 512]))
def test_any_forest(sequences: list[list[int]], rows: int):
    check(sequences, rows)


@pytest.mark.parametrize("rows", [100, 512])
@pytest.mark.parametrize("name", fixed())
def test_paths_of_several_blocks(name: str, rows: int):
    check(fixed()[name], rows)


def test_tiles_below_one_ancestor_share_its_path():
    forest = build([[*range(2 * T), i, 0] for i in range(300, 340)])
    (chunk,) = chunks(forest, forest.depth_N > 0, 1000)
    table_B6, key_index = NativeLayout(chunk.tiles).tables
    assert len(table_B6) == 42  # two whole blocks, and 40 branches of one row
    assert len(set(table_B6[2:, 3].tolist())) == 1
    assert len(key_index) == T + 2 * T + 42 * T


@pytest.mark.skipif(not native.status(), reason=f"no compiled kernels: {native.status().reason}")
@pytest.mark.parametrize("share", [1, 2, 3, 5])
def test_tasks_are_lanes_of_each_tile(share: int):
    """A tile has one lane for each row and head of a group; a task has `queries` lanes."""
    forest = build([list(range(2 * T + 30)), [*range(9), 777, 778], [999] * 40])  # two tiles are full
    (chunk,) = chunks(forest, forest.depth_N > 0, 1000)
    layout = NativeLayout(chunk.tiles)
    want = [
        [tile, lane]
        for tile, count in enumerate(np.diff(chunk.tiles.bound_B1).tolist())
        for lane in range(0, count * share, native.queries())
    ]
    assert layout.tasks(share).tolist() == want
    assert layout.tasks(share) is layout.tasks(share)
    assert (max(lane for _, lane in want) > 0) == (T * share > native.queries())
