"""Chunks of a forest: their rows, the carried path, and the nodes visible to each row."""

import numpy as np
import pytest
from forests import CHUNKS, branching, build, fixed
from hypothesis import given
from hypothesis import strategies as st
from oracle import attended, carried, distinct_contexts, lineage, prefix_of

from chainrule.forest import Forest, chunks

ROWS = st.sampled_from(CHUNKS)


def cut(forest: Forest, rows: int) -> list:
    return list(chunks(forest, forest.depth_N > 0, rows))


def check_contexts(sequences: list[list[int]], rows: int) -> None:
    forest = build(sequences)
    parts = cut(forest, rows)
    nodes = [node for chunk in parts for node in chunk.node_R.tolist()]
    assert nodes == sorted(set(nodes))
    assert {prefix_of(forest, node) for node in nodes} == distinct_contexts(sequences)
    assert all(len(chunk) == rows for chunk in parts[:-1])
    assert all(1 <= len(chunk) <= rows for chunk in parts)


def check_carry(sequences: list[list[int]], rows: int) -> None:
    forest = build(sequences)
    for chunk, keys in carried(iter(cut(forest, rows))):
        assert keys[: chunk.path] == forest.ancestors(int(chunk.node_R[0])).tolist()
        assert chunk.depth_R.tolist() == forest.depth_N[chunk.node_R].tolist()


def check_visibility(sequences: list[list[int]], rows: int, window: int | None) -> None:
    forest = build(sequences)
    for chunk, keys in carried(iter(cut(forest, rows))):
        want = {node: lineage(forest, node, window) for node in chunk.node_R.tolist()}
        assert attended(chunk, keys, window) == want


@given(branching(), ROWS)
def test_rows_are_the_distinct_contexts_once_each(sequences: list[list[int]], rows: int):
    check_contexts(sequences, rows)


@given(branching(), ROWS)
def test_carried_path_is_the_ancestors_of_the_first_row(sequences: list[list[int]], rows: int):
    check_carry(sequences, rows)


@given(branching(), ROWS, st.none() | st.integers(1, 6))
def test_every_row_sees_its_ancestors_and_itself(sequences: list[list[int]], rows: int, window: int | None):
    check_visibility(sequences, rows, window)


@pytest.mark.parametrize("rows", [3, 16, 100, 512])
@pytest.mark.parametrize("name", fixed())
def test_shapes_that_cross_chunks(name: str, rows: int):
    check_contexts(fixed()[name], rows)
    check_carry(fixed()[name], rows)
    check_visibility(fixed()[name], rows, None)
    check_visibility(fixed()[name], rows, 5)


@given(branching(), ROWS, st.randoms(use_true_random=False))
def test_every_wanted_factor_is_read_once_off_its_parent(sequences: list[list[int]], rows: int, random):
    forest = build(sequences)
    wanted_N = (forest.depth_N > 0) & np.array([random.random() < 0.6 for _ in range(len(forest))], bool)
    read = []
    for chunk in chunks(forest, wanted_N, rows):
        assert chunk.node_R[chunk.row_F].tolist() == forest.parent_N[chunk.node_F].tolist()
        assert chunk.row_F.tolist() == sorted(chunk.row_F)
        read += chunk.node_F.tolist()
    assert sorted(read) == np.flatnonzero(wanted_N).tolist()


def test_a_forest_of_roots_has_no_contexts():
    assert cut(build([[1], [2], [3]]), 4) == []
    assert cut(build([]), 4) == []
