"""Parts of a forest, which several threads compute."""

from itertools import pairwise

import numpy as np
import pytest
from forests import branching, build
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.forest.chunks import Rows
from chainrule.forest.forest import Forest
from chainrule.forest.parts import LEAST, MOST_WASTED, Part, best_workers, cut
from chainrule.forest.parts import parts as parts_of_width


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


def parts(whole: Rows, rows: int, threads: int, *, padded: bool) -> tuple[list[Part], int]:
    return parts_of_width(whole, rows, threads, width=576, padded=padded)


def segments(part: Part) -> list[int]:
    return [stop - first for first, stop in pairwise(part.bounds)]


@pytest.mark.parametrize("threads", [2, 3, 8, 64])
def test_short_texts_are_cut_between_texts_and_shared_out_evenly(threads: int):
    whole = texts(*[25] * 1000)
    found, workers = parts(whole, 768, threads, padded=True)
    assert workers == min(16, threads)
    assert all(segments(part) == [len(part.rows)] and len(part.rows) <= 768 and part.rows.above <= 25 for part in found)
    assert sum(len(part.rows) - part.rows.above for part in found) == len(whole)
    assert len(found[-1].rows) <= LEAST + LEAST // 2 + 1


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("length", "threads", "number"), [(2000, 2, 4), (1500, 2, 2), (3000, 2, 4), (12000, 8, 16)])
def test_a_long_text_is_one_part_of_as_many_segments_for_each_thread(length: int, threads: int, number: int, padded: bool):
    (part,), workers = parts(texts(length), 768, threads, padded=padded)
    assert workers == threads
    assert len(segments(part)) == number
    assert sum(segments(part)) == len(part.rows) == length
    assert max(segments(part)) <= 768
    if padded:  # then a smaller number of rows may be no faster
        assert max(segments(part)) <= min(segments(part)) + 1
    else:  # attention to a longer path takes longer
        assert segments(part) == sorted(segments(part), reverse=True)


@pytest.mark.parametrize("padded", [True, False])
def test_segments_are_below_all_rows_above_them(padded: bool):
    draw = np.random.default_rng(0)
    context = draw.integers(1, 1 << 30, 3000)
    candidates = [np.concatenate([[0], context, draw.integers(1, 1 << 30, 30)]) for _ in range(40)]
    whole = rows_of(Forest.build([*candidates, draw.integers(1, 1 << 30, 1500), draw.integers(1, 1 << 30, 20)]))
    found, workers = parts(whole, 768, 2, padded=padded)
    assert workers == 2
    assert sum(len(part.bounds) > 2 for part in found) >= 2
    for part in found:
        assert part.bounds[0] == 0
        assert part.bounds[-1] == len(part.rows)
        assert part.bounds == sorted(set(part.bounds))
        for bound in part.bounds[1:-1]:
            assert part.rows.depth_R[bound] == bound
    assert sum(len(part.rows) - part.rows.above for part in found) == len(whole)


@pytest.mark.parametrize("padded", [True, False])
def test_no_segment_of_any_forest_waits_for_a_later_one(padded: bool, monkeypatch: pytest.MonkeyPatch):
    """All rows of a part that are above a segment are on its path. Otherwise two threads could wait for each other."""
    monkeypatch.setattr("chainrule.forest.parts.LEAST", 8)
    monkeypatch.setattr("chainrule.forest.parts.SIZES", (8, 16, 24, 48))
    draw, inner = np.random.default_rng(0), 0
    for _ in range(200):
        trunks = [draw.integers(1, 60, draw.integers(1, 200)) for _ in range(draw.integers(1, 4))]
        ends = [trunks[draw.integers(len(trunks))] for _ in range(draw.integers(1, 12))]
        cuts = [trunk[: draw.integers(0, len(trunk) + 1) if draw.random() < 0.5 else len(trunk)] for trunk in ends]
        whole = rows_of(
            Forest.build([np.concatenate([[0], part, draw.integers(1, 60, 1 + draw.integers(60))]) for part in cuts])
        )
        found, _ = parts(whole, int(draw.choice([1, 5, 16, 48])), int(draw.integers(2, 7)), padded=padded)
        assert sum(len(part.rows) - part.rows.above for part in found) == len(whole)
        for part in found:
            assert part.bounds == sorted(set(part.bounds))
            assert part.rows.depth_R[part.bounds[1:-1]].tolist() == part.bounds[1:-1]
            inner += len(part.bounds) - 2
    assert inner > 300


def test_texts_of_several_lengths():
    lengths = [1000, *[25] * 30, 780, 3000, 500, 500]
    found, workers = parts(whole := texts(*lengths), 768, 2, padded=False)
    assert workers == 2
    assert all(size <= 768 + LEAST // 2 for part in found for size in segments(part))
    assert all(MOST_WASTED * part.rows.above <= 768 for part in found)
    assert sum(len(part.rows) - part.rows.above for part in found) == len(whole)


def test_several_long_texts_are_several_parts():
    found, workers = parts(texts(*[2000] * 3), 768, 2, padded=True)
    assert (len(found), workers) == (3, 2)
    assert [len(part.rows) for part in found] == [2000] * 3


def test_too_little_for_two_threads_is_one_part():
    found, workers = parts(texts(25, 25), 768, 2, padded=True)
    assert (len(found), workers) == (1, 1)
    assert parts(texts(300), 768, 2, padded=True)[1] == 1
    assert parts(texts(*[25] * 100), 768, 1, padded=True)[1] == 1


def test_where_nothing_is_padded_parts_end_between_texts():
    depth_R = texts(*[50] * 400).depth_R
    wasted = {}
    for padded in (True, False):
        cuts = cut(depth_R, 768, 2, width=576, padded=padded)
        wasted[padded] = sum(int(depth_R[first]) for first, _ in cuts)
        assert cuts[-1][-1] == len(depth_R)
    assert wasted[False] <= len(cuts) < wasted[True] / 5  # the start symbol of each part


def test_no_rows():
    assert len(parts(rows_of(Forest.build([])), 768, 4, padded=True)[0][0].rows) == 0


def test_threads_are_shared_out_among_few_parts():
    assert best_workers([300] * 4, 768, 16) == 4
    assert best_workers([300] * 1000, 768, 64) == 16
    assert best_workers([300], 768, 16) == 1


def test_cuts_cover_all_rows_of_a_deep_forest():
    depth_R = np.concatenate([np.arange(500), *[np.arange(500, 510)] * 100])  # candidates after one long context
    assert cut(depth_R, 768, 4, width=576, padded=True) == [[0, 250, 500, len(depth_R)]]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 17])
def test_chunks_of_few_rows_are_cut_as_well(rows: int):
    depth_R = texts(*[25] * 100).depth_R
    bounds = cut(depth_R, rows, 4, width=576, padded=True)
    ends = [0, *(stop for part in bounds for stop in part[1:])]
    assert ends == sorted(set(ends))
    assert ends[-1] == len(depth_R)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 17])
def test_segments_have_as_few_rows_as_chunks(rows: int):
    (bounds,) = cut(texts(300).depth_R, rows, 4, width=576, padded=False)
    assert max(np.diff(bounds)) <= rows
