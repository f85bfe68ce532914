import numpy as np
import pytest
from forests import build, fixed

from chainrule.forest import Forest, chunks
from chainrule.forest.tiles import MAX_PAIRS, MAX_QUERIES, Tile, group


def tiles(forest: Forest, rows: int = 512) -> list[list[Tile]]:
    return [chunk.tiles for chunk in chunks(forest, forest.depth_N > 0, rows)]


@pytest.mark.parametrize("rows", [1, 16, 512])
@pytest.mark.parametrize("name", fixed())
def test_tiles_cut_the_rows_without_gap_or_overlap(name: str, rows: int):
    forest = build(fixed()[name])
    for chunk in chunks(forest, forest.depth_N > 0, rows):
        bounds = [(tile.first, tile.stop) for tile in chunk.tiles]
        assert [stop for _, stop in bounds[:-1]] == [first for first, _ in bounds[1:]]
        assert (bounds[0][0], bounds[-1][1]) == (0, len(chunk))
        assert all(first < stop for first, stop in bounds)


@pytest.mark.parametrize("name", fixed())
def test_a_tile_holds_no_key_that_no_query_of_it_sees(name: str):
    for parts in tiles(build(fixed()[name])):
        for tile in parts:
            assert tile.visible().any(0).all()
            assert len(set(tile.place_K.tolist())) == len(tile.place_K)


def test_the_work_of_a_path_is_that_of_causal_attention():
    """All pairs of a path of T rows that a tile of 128 queries may see: T²/2, and one triangle in vain a tile."""
    length = 2000
    pairs = sum(t.pairs for parts in tiles(build([list(range(length + 1))])) for t in parts)
    assert pairs <= length * (length + 1) / 2 + length * MAX_QUERIES * 2


def test_branches_behind_a_long_context_share_its_keys():
    """50 branches of 4 rows are not 50 tiles, each of which would fetch the 300 keys of the context again."""
    context = list(range(300))
    forest = build([[*context, 1000 + i, 1, 2, 3, 4] for i in range(50)])
    found = [t for parts in tiles(forest) for t in parts]
    assert len(found) < 15


def test_short_documents_are_not_joined_into_one_big_tile():
    forest = build([[i, *range(60)] for i in range(8)])
    assert sum(t.pairs for parts in tiles(forest) for t in parts) < 1.5 * 8 * 60**2


def test_documents_of_a_few_tokens_are_joined():
    """A call costs more than the few pairs that are computed in vain."""
    forest = build([[i, 1, 2] for i in range(200)])
    assert len([t for parts in tiles(forest) for t in parts]) < 10


@pytest.mark.parametrize("name", fixed())
def test_tiles_are_bounded(name: str):
    for parts in tiles(build(fixed()[name])):
        assert all(t.stop - t.first <= 4 * MAX_QUERIES for t in parts)
        assert all(t.pairs <= 2 * MAX_PAIRS for t in parts)


@pytest.mark.parametrize("name", fixed())
def test_groups_hold_every_tile_once_and_contiguous_ones_alone(name: str):
    for parts in tiles(build(fixed()[name]), rows=100):
        groups = group(parts)
        assert sorted(t.first for g in groups for t in g) == [t.first for t in parts]
        assert all(len(g) == 1 for g in groups if g[0].contiguous)


def test_contiguous_means_that_nothing_has_to_be_gathered():
    for parts in tiles(build(fixed()["comb"]), rows=16):
        for tile in parts:
            assert tile.contiguous == np.array_equal(tile.place_K, np.arange(len(tile.place_K)))
