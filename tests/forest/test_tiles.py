"""Tiles of attention: the order of their keys, padding, and the number of pairs they compute."""

import numpy as np
import pytest
from forests import build, fixed
from hypothesis import given
from hypothesis import strategies as st

from chainrule.forest import Chunk, Forest, chunks
from chainrule.forest.tiles import KEYS, QUERIES, Far, Near, T


def cut(forest: Forest, rows: int = 512) -> list[Chunk]:
    return list(chunks(forest, forest.depth_N > 0, rows))


def pairs(near: Near) -> int:
    return near.row_BQ.size * near.slot_BK.shape[1]


@pytest.mark.parametrize("rows", [1, 16, 512])
@pytest.mark.parametrize("name", fixed())
def test_near_keys_are_ordered_by_depth_from_the_start_of_the_block(name: str, rows: int):
    """Key k of a tile is the row's ancestor at depth T · block + k, for any start of the chunk."""
    for chunk in cut(build(fixed()[name]), rows):
        depth = np.append(np.arange(chunk.path), chunk.depth_R)  # by slot
        for near in chunk.tiles.near:
            for b, count in enumerate(near.count_B):
                depth_q = chunk.depth_R[near.row_BQ[b, :count]]
                assert (depth_q % T == near.offset_B[b] + np.arange(count)).all()
                keys = near.offset_B[b] + count
                assert (depth[near.slot_BK[b, :keys]] == depth_q[0] // T * T + np.arange(keys)).all()


@pytest.mark.parametrize("rows", [1, 16, 512])
@pytest.mark.parametrize("name", fixed())
def test_far_keys_are_whole_blocks_by_depth(name: str, rows: int):
    for chunk in cut(build(fixed()[name]), rows):
        depth = np.append(np.arange(chunk.path), chunk.depth_R)
        for far in chunk.tiles.far:
            assert len(far.slot_K) % T == 0
            assert (depth[far.slot_K] == np.arange(len(far.slot_K))).all()
            assert (far.depth_Q // T * T == len(far.slot_K)).all()


@pytest.mark.parametrize("name", fixed())
def test_shapes_are_padded_to_the_required_multiples(name: str):
    for chunk in cut(build(fixed()[name]), 100):
        for near in chunk.tiles.near:
            assert near.row_BQ.shape[1] % QUERIES == near.slot_BK.shape[1] % KEYS == 0
            assert near.slot_BK.shape[1] <= T


def test_padded_queries_see_at_least_one_key():
    for chunk in cut(build(fixed()["bush"])):
        for near in chunk.tiles.near:
            assert near.visible(1).any(-1).all()


def test_the_work_of_a_path_is_that_of_causal_attention():
    """The work is all pairs of a path of n rows, n²/2, and one unused triangle per block."""
    length = 2000
    parts = cut(build([list(range(length + 1))]))
    work = sum(pairs(n) for c in parts for n in c.tiles.near) + sum(
        len(f.row_Q) * len(f.slot_K) for c in parts for f in c.tiles.far
    )
    assert work <= length * (length + 1) / 2 + length * T


def test_branches_after_a_long_context_share_one_far_call():
    """50 branches of 4 rows after 300 tokens: one call for 256 keys, and 44 + 4 keys for each branch."""
    context = list(range(300))
    (chunk,) = cut(build([[*context, 1000 + i, 1, 2, 3, 4] for i in range(50)]))
    assert [len(f.slot_K) for f in chunk.tiles.far] == [128, 256]
    assert len(chunk.tiles.far[1].row_Q) == 300 - 256 + 50 * 4
    assert [n.slot_BK.shape[1] for n in chunk.tiles.near if len(n.count_B) == 49] == [64]


def test_short_documents_have_no_extra_cost():
    (chunk,) = cut(build([[i, *range(60)] for i in range(8)]))
    assert sum(pairs(n) for n in chunk.tiles.near) == 8 * 64**2


def test_documents_of_a_few_tokens_share_a_call():
    (chunk,) = cut(build([[i, 1, 2] for i in range(200)]))
    assert [n.row_BQ.shape for n in chunk.tiles.near] == [(200, 16)]


@given(st.integers(1, 400), st.integers(1, 300))
def test_a_window_keeps_whole_blocks_that_depend_only_on_the_depth(base: int, window: int):
    depth_Q = base * T + np.arange(T)
    whole = Far(np.arange(T), depth_Q, np.arange(base * T))
    part = whole.within(window)
    alone = Far(np.arange(1), depth_Q[:1], np.arange(base * T)).within(window)
    assert (part is None) == (window == 1)  # each row sees only itself
    if part is None:
        return
    assert alone is not None
    assert part.start == alone.start
    assert part.start % T == 0
    assert (part.slot_K == np.arange(part.start, base * T)).all()
    assert part.visible(window).any(-1).all()
    assert part.visible(window)[:, 0].sum() == max(0, min(T, part.start + window - base * T))
