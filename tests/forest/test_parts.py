"""Parts of a forest, which several threads compute."""

from itertools import pairwise

import numpy as np
import pytest
from forests import branching, build
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.forest.chunks import Rows
from chainrule.forest.forest import Forest
from chainrule.forest.parts import LEAST, MOST_WASTED, best_workers, cut, parts


def rows_of(forest: Forest) -> Rows:
    return Rows.of(forest, forest.depth_N > 0)


@settings(max_examples=100)
@given(branching(longest=9), st.data())
def test_a_part_holds_its_rows_after_the_path_above_them(sequences: list[list[int]], data: st.DataObject):
    forest = build(sequences)
    whole = rows_of(forest)
    bounds = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=4))})
    nodes, factors = [], []
    for first, stop in pairwise(bounds):
        part = whole.part(first, stop)
        nodes += part.node_R[part.above :].tolist()
        factors += part.node_F.tolist()
        assert part.depth_R[: part.above].tolist() == [*range(part.above)]
        for row, (node, parent, end) in enumerate(zip(part.node_R, part.parent_R, part.end_R, strict=True)):
            above = int(forest.parent_N[node])
            assert (part.node_R[parent] if parent >= 0 else -1) == above
            below = [r for r in range(len(part)) if node in [*forest.ancestors(int(part.node_R[r])), part.node_R[r]]]
            assert below == [*range(row, end)]  # the rule of visible keys
        for row, node in zip(part.row_F, part.node_F, strict=True):
            assert part.node_R[row] == forest.parent_N[node]
            assert row >= part.above
    assert nodes == whole.node_R.tolist()
    assert sorted(factors) == np.flatnonzero(forest.depth_N > 0).tolist()


def texts(*lengths: int) -> Rows:
    """The rows of texts that share their first token only."""
    draw = np.random.default_rng(0)
    return rows_of(Forest.build([np.append(0, draw.integers(1, 1 << 30, length)) for length in lengths]))


@pytest.mark.parametrize("threads", [2, 3, 8, 64])
def test_short_texts_are_cut_between_texts_and_shared_out_evenly(threads: int):
    whole = texts(*[25] * 1000)
    found, workers = parts(whole, 768, threads, padded=True)
    assert workers == min(16, threads)
    assert all(len(part) <= 768 and part.above <= 25 for part in found)
    assert sum(len(part) - part.above for part in found) == len(whole)
    assert len(found[-1]) <= LEAST + LEAST // 2 + 1


def test_a_long_text_is_one_part_and_texts_around_it_are_others():
    assert parts(texts(3000), 768, 2, padded=True)[1] == 1
    found, workers = parts(texts(*[3000] * 6), 768, 2, padded=True)
    assert (workers, len(found)) == (2, 6)
    assert all(MOST_WASTED * part.above <= len(part) for part in found)


def test_too_little_for_two_threads_is_one_part():
    found, workers = parts(texts(25, 25), 768, 2, padded=True)
    assert (len(found), workers) == (1, 1)
    found, workers = parts(texts(*[2000] * 3), 768, 2, padded=True)  # two threads take as long for two texts as for four
    assert (len(found), workers) == (1, 1)
    assert parts(texts(*[25] * 100), 768, 1, padded=True)[1] == 1


def test_where_nothing_is_padded_parts_end_between_texts():
    depth_R = texts(*[50] * 400).depth_R
    wasted = {}
    for padded in (True, False):
        bounds = cut(depth_R, 768, 2, padded=padded)
        wasted[padded] = sum(int(depth_R[first]) for first in bounds[:-1])
        assert bounds[-1] == len(depth_R)
    assert wasted[False] <= len(bounds) < wasted[True] / 5  # the start symbol of each part


def test_no_rows():
    assert len(parts(rows_of(Forest.build([])), 768, 4, padded=True)[0][0]) == 0


def test_threads_are_shared_out_among_few_parts():
    assert best_workers([100] * 4, 16) == 4
    assert best_workers([100] * 1000, 64) == 16
    assert best_workers([100], 16) == 1


def test_cuts_cover_all_rows_of_a_deep_forest():
    depth_R = np.concatenate([np.arange(500), *[np.arange(500, 510)] * 100])  # candidates after one long context
    bounds = cut(depth_R, 768, 4, padded=True)
    assert bounds == [0, len(depth_R)]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 17])
def test_chunks_of_few_rows_are_cut_as_well(rows: int):
    depth_R = texts(*[25] * 100).depth_R
    bounds = cut(depth_R, rows, 4, padded=True)
    assert bounds == sorted(set(bounds))
    assert bounds[-1] == len(depth_R)
