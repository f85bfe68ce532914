"""Forests: nodes, parents, depths and paths, compared with the distinct prefixes of the sequences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import distinct_prefixes, prefix_of

from chainrule.forest import Forest
from chainrule.forest.forest import offsets, ranges

SYMBOLS = st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1)  # few, so that prefixes are shared; and any int32
SEQUENCES = st.lists(st.lists(SYMBOLS, max_size=8), max_size=12)


def build(sequences: list[list[int]]) -> Forest:
    return Forest.build([np.array(s, np.int64) for s in sequences])


@given(SEQUENCES)
def test_nodes_are_the_distinct_prefixes(sequences: list[list[int]]):
    forest = build(sequences)
    prefixes = [prefix_of(forest, node) for node in range(len(forest))]
    assert len(prefixes) == len(set(prefixes))
    assert set(prefixes) == distinct_prefixes(sequences)


@given(SEQUENCES)
def test_parent_depth_and_ancestors_match_the_prefix_of_a_node(sequences: list[list[int]]):
    forest = build(sequences)
    prefixes = [prefix_of(forest, node) for node in range(len(forest))]
    for node, prefix in enumerate(prefixes):
        assert forest.depth_N[node] == len(prefix) - 1
        assert forest.parent_N[node] == (prefixes.index(prefix[:-1]) if len(prefix) > 1 else -1)
        assert [prefixes[a] for a in forest.ancestors(node)] == [prefix[:i] for i in range(1, len(prefix))]


@given(SEQUENCES)
def test_the_descendants_of_a_node_come_right_after_it(sequences: list[list[int]]):
    forest = build(sequences)
    prefixes = [prefix_of(forest, node) for node in range(len(forest))]
    for node, prefix in enumerate(prefixes):
        below = {k for k, other in enumerate(prefixes) if other[: len(prefix)] == prefix}
        assert below == set(range(node, forest.end_N[node]))


@given(SEQUENCES)
def test_path_of_a_sequence_spells_it(sequences: list[list[int]]):
    forest = build(sequences)
    assert len(forest.path_T) == sum(map(len, sequences))
    for s, sequence in enumerate(sequences):
        path = forest.path(s)
        assert forest.symbol_N[path].tolist() == sequence
        assert forest.parent_N[path].tolist() == [-1, *path[:-1]][: len(path)]


@pytest.mark.parametrize("sequences", [[], [[]], [[], []]])
def test_empty_sequences_have_no_nodes(sequences: list[list[int]]):
    forest = build(sequences)
    assert len(forest) == 0
    assert [forest.path(s).tolist() for s in range(len(sequences))] == sequences


@given(SEQUENCES)
def test_sequences_in_one_array(sequences: list[list[int]]):
    flat = Forest.lay_out(np.array([symbol for s in sequences for symbol in s], np.int64), offsets([len(s) for s in sequences]))
    assert [flat.symbol_N[flat.path(s)].tolist() for s in range(len(sequences))] == sequences
    assert flat.end_N.tolist() == build(sequences).end_N.tolist()


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4))))
def test_ranges_one_after_another(drawn: list[tuple[int, int]]):
    first, length = np.array([a for a, _ in drawn], np.int64), np.array([b for _, b in drawn], np.int64)
    assert ranges(first, length).tolist() == [a + step for a, b in drawn for step in range(b)]


def test_duplicates_and_prefixes_of_each_other_share_their_nodes():
    forest = build([[5, 6, 7], [5, 6], [5, 6, 7], [], [5, 8], [-1]])
    assert len(forest) == 5
    assert forest.path(0).tolist() == forest.path(2).tolist()
    assert forest.path(1).tolist() == forest.path(0)[:2].tolist()
    assert forest.path(4)[0] == forest.path(0)[0]


def test_one_long_document_is_one_path():
    forest = build([list(range(1000))])
    assert forest.depth_N.tolist() == list(range(1000))
    assert (forest.end_N == 1000).all()


def test_a_million_tokens():
    draw = np.random.default_rng(0)
    sequences = np.split(draw.integers(0, 50_000, 1_000_000), np.sort(draw.integers(0, 1_000_000, 20_000)))
    forest = Forest.build(sequences)
    assert len(forest.path_T) == 1_000_000
    some = range(0, len(sequences), 997)
    assert all(np.array_equal(forest.symbol_N[forest.path(s)], sequences[s]) for s in some)
    assert (forest.parent_N < np.arange(len(forest))).all()
    assert (forest.end_N > np.arange(len(forest))).all()
