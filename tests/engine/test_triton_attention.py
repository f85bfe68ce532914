"""Triton attention over chunks of a forest against attention along each path alone, and its block lists against the rule.

Without a GPU the kernel runs in Triton's interpreter, on small tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from forests import branching, build, fixed
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import compiled, interpreted
from oracle import carried, lineage
from torch import Tensor

from chainrule.engine.attention import triton
from chainrule.engine.attention.triton import TILES, Tile, TritonLayout, supports, tile_of, triton_attend
from chainrule.forest import Forest, chunks
from chainrule.ops import gpu

pytest.importorskip("triton", reason="the kernel needs Triton")
HEADS, KEY_HEADS, SCALE = 4, 2, 0.3
CPU, CUDA = torch.device("cpu"), torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
WINDOWS = st.none() | st.integers(1, 6)
TOLERANCE = {torch.float32: 1e-5 if CUDA else 2e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")  # the interpreter computes masked-out values too


@pytest.fixture(autouse=True, scope="module")
def small_tiles() -> Iterator[None]:
    """Without a GPU: the interpreter for this module alone, and tiles so small that small forests have several."""
    with pytest.MonkeyPatch.context() as patch:
        if not CUDA:
            interpreted(patch)
            patch.setattr(triton, "tile_of", lambda *_: Tile(16, 16, 1, 1))
        yield


def layouts(forest: Forest, rows: int) -> Iterator[tuple[TritonLayout, list[int]]]:
    """The layout of each chunk, and the nodes of its keys."""
    contexts = np.flatnonzero(forest.end_N > np.arange(len(forest)) + 1)
    for chunk, nodes in carried(chunks(forest, forest.depth_N > 0, rows)):
        end_K = np.searchsorted(contexts, forest.end_N[nodes]) - np.searchsorted(contexts, chunk.node_R[0])
        yield TritonLayout(chunk.path, end_K, chunk.depth_R), nodes


def visible(forest: Forest, layout: TritonLayout, nodes: list[int], window: int | None) -> np.ndarray:
    """R × K: whether the key's node is among the last `window` nodes of the query's path."""
    queries = nodes[layout.path :]
    return np.array([np.isin(nodes, lineage(forest, query, window)) for query in queries])


def draw_qkv(layout: TritonLayout, dtype: torch.dtype, width: int = 16, value_width: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Queries 1 × H × R × D, laid out as models do, row by row; keys K × G × D and values K × G × E."""
    random, rows, keys = torch.Generator().manual_seed(len(layout.end_K)), len(layout.depth_R), len(layout.end_K)
    shapes = ((1, rows, HEADS, width), (keys, KEY_HEADS, width), (keys, KEY_HEADS, value_width))
    query, key, value = (torch.randn(*shape, generator=random, dtype=torch.float64).to(DEVICE, dtype) for shape in shapes)
    return query.transpose(1, 2), key, value


def masked_attention(
    qkv: tuple[Tensor, Tensor, Tensor], visible_RK: np.ndarray, softcap: float | None = None, sinks_H: Tensor | None = None
) -> Tensor:
    """All pairs in float64, with a mask. A sink is a score without a value."""
    query_HRD, *grouped = qkv[0][0].double().cpu(), *(x.double().cpu().transpose(0, 1) for x in qkv[1:])
    key_HKD, value_HKD = (x.repeat_interleave(HEADS // KEY_HEADS, 0) for x in grouped)
    score_HRK = query_HRD @ key_HKD.transpose(1, 2) * SCALE
    if softcap is not None:
        score_HRK = torch.tanh(score_HRK / softcap) * softcap
    score_HRK = score_HRK.masked_fill(~torch.from_numpy(visible_RK), -torch.inf)
    if sinks_H is not None:
        score_HRK = torch.cat([score_HRK, sinks_H.double().cpu()[:, None, None].expand(-1, score_HRK.shape[1], 1)], -1)
    return (score_HRK.softmax(-1)[..., : visible_RK.shape[1]] @ value_HKD).transpose(0, 1)


def check(
    forest: Forest, rows: int, window: int | None, softcap: float | None = None, sinks_H: Tensor | None = None,
    dtype: torch.dtype = torch.float32, width: int = 16, value_width: int = 16,
) -> None:  # fmt: skip
    for layout, nodes in layouts(forest, rows):
        qkv = draw_qkv(layout, dtype, width, value_width)
        assert supports(qkv[0], qkv[2])
        out_RHD = triton_attend(layout, *qkv, SCALE, window, softcap, None if sinks_H is None else sinks_H.to(DEVICE))
        assert out_RHD.dtype == dtype
        want_RHD = masked_attention(qkv, visible(forest, layout, nodes, window), softcap, sinks_H)
        np.testing.assert_allclose(out_RHD.double().cpu(), want_RHD, rtol=0, atol=TOLERANCE[dtype])


@settings(max_examples=10)
@given(branching(), st.sampled_from([1, 2, 3, 7, 16, 512]), WINDOWS)
def test_any_forest(sequences: list[list[int]], rows: int, window: int | None):
    check(build(sequences), rows, window)


@pytest.mark.parametrize("name", ["path", "comb", "documents", "candidates"])
@pytest.mark.parametrize("window", [None, 5])
def test_more_than_one_block(name: str, window: int | None):
    check(build(fixed()[name]), 200, window)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("sinks_H", [None, torch.tensor([0.5, -1, 30, -30])])
def test_softcaps_and_sinks(window: int | None, sinks_H: Tensor | None):
    check(build(fixed()["comb"]), 16, window, 0.7, sinks_H)
    check(build(fixed()["comb"]), 16, window, None, sinks_H)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("width", "value_width"), [(1, 3), (8, 8), (24, 16), (64, 64), (80, 80)])
def test_types_and_widths(dtype: torch.dtype, width: int, value_width: int):
    check(build(fixed()["comb"]), 40, None, dtype=dtype, width=width, value_width=value_width)


def test_scores_that_grow_fall_or_stay_equal():
    """The running maximum rises from block to block or stays; whole blocks may have weight 0."""
    layout = TritonLayout(0, np.full(70, 70), np.arange(70))
    for growth in (-3.0, 0.0, 3.0):
        query, key, value = draw_qkv(layout, torch.float32)
        key = key * 1e-3 + growth * torch.arange(70, device=DEVICE)[:, None, None] / 3
        qkv = query.abs(), key, value
        out_RHD = triton_attend(layout, *qkv, SCALE)
        np.testing.assert_allclose(out_RHD.cpu(), masked_attention(qkv, np.tri(70, dtype=bool)), rtol=0, atol=2e-5)


def test_nan_stays_in_its_row():
    forest = build([[1, 2, 3], [4, 5, 6]])
    for layout, nodes in layouts(forest, 16):
        query, key, value = draw_qkv(layout, torch.float32)
        query[0, :, 1] = torch.nan
        out_RHD = triton_attend(layout, query, key, value, SCALE)
        assert out_RHD.isnan().any(-1).any(-1).tolist() == [n == 1 for n in range(len(nodes))]


def test_views_and_strides():
    """Rows or heads outermost, keys in a wider buffer, and values whose last dimension is strided."""
    layout = TritonLayout(0, np.full(40, 40), np.arange(40))
    query, key, value = draw_qkv(layout, torch.float32)
    want = triton_attend(layout, query, key, value, SCALE)
    wide = torch.cat([key, value], -1)
    strided = value.transpose(1, 2).contiguous().transpose(1, 2)
    for qkv in ((query.contiguous(), key, value), (query, wide[..., :16], wide[..., 16:]), (query, key, strided)):
        assert triton_attend(layout, *qkv, SCALE).equal(want)


def check_blocks(forest: Forest, rows: int, window: int | None, block: tuple[int, int]) -> None:
    """A block is full exactly where all its pairs are visible, and listed wherever some pair is; the tables give the rule."""
    for layout, nodes in layouts(forest, rows):
        visible_RK, blocks = visible(forest, layout, nodes, window), layout.blocks(window, *block)
        first_K, end_K, limit_K, depth_R, *counts, full_QB, part_QB = (x.numpy() for x in layout.tables(window, *block, CPU))
        full_QB, part_QB = (dense(count_Q, index_QB) for count_Q, index_QB in zip(counts, (full_QB, part_QB), strict=True))
        assert not (full_QB & part_QB).any()
        np.testing.assert_array_equal(full_QB, blocks[1])
        np.testing.assert_array_equal(full_QB | part_QB, blocks[0] | blocks[1])
        cut = [np.arange(0, length, size) for length, size in zip(visible_RK.shape, block, strict=True)]
        sums = (np.add.reduceat(np.add.reduceat(x, cut[0], 0), cut[1], 1) for x in (visible_RK * 1, visible_RK * 0 + 1))
        count_QB, of_QB = sums
        whole_B = cut[1] + block[1] <= visible_RK.shape[1]
        np.testing.assert_array_equal(full_QB, (count_QB == of_QB) & whole_B)
        assert (full_QB | part_QB)[count_QB > 0].all()
        row_R = np.arange(len(depth_R))[:, None]
        rule_RK = (first_K <= row_R) & (row_R < end_K)
        np.testing.assert_array_equal(rule_RK if window is None else rule_RK & (depth_R[:, None] < limit_K), visible_RK)


def dense(count_Q: np.ndarray, index_QB: np.ndarray) -> np.ndarray:
    """The blocks in the lists as a mask; each must be listed once."""
    blocks_QB = np.zeros(index_QB.shape, np.int64)
    for q, count in enumerate(count_Q.tolist()):
        np.add.at(blocks_QB[q], index_QB[q, :count], 1)
    assert blocks_QB.max() <= 1
    return blocks_QB.astype(bool)


@given(branching(), st.sampled_from([1, 3, 7, 16, 512]), WINDOWS, st.sampled_from([(1, 1), (2, 2), (4, 2), (2, 5)]))
def test_block_lists_agree_with_the_mask(sequences: list[list[int]], rows: int, window: int | None, block: tuple[int, int]):
    check_blocks(build(sequences), rows, window, block)


@pytest.mark.parametrize("name", ["path", "comb", "tree", "documents", "candidates"])
@pytest.mark.parametrize("window", [None, 5, 200])
def test_large_blocks(name: str, window: int | None):
    check_blocks(build(fixed()[name]), 300, window, (128, 64))


def test_invisible_blocks_are_not_listed():
    """Blocks above the diagonal, outside a window, and of other texts."""
    text = TritonLayout(256, np.full(640, 1000), np.arange(256, 640))
    some_QB, all_QB = text.blocks(None, 128, 128)
    assert some_QB.sum(1).tolist() == [3, 4, 5]
    assert all_QB.sum(1).tolist() == [2, 3, 4]
    assert text.blocks(100, 128, 128)[0].sum(1).tolist() == [2, 2, 2]
    depth_R, end_K = np.tile(np.arange(64), 8), np.repeat(np.arange(64, 513, 64), 64)
    some_QB, _ = TritonLayout(0, end_K, depth_R).blocks(None, 128, 64)
    assert some_QB.sum(1).tolist() == [2, 2, 2, 2]


def test_tables_are_cached():
    layout, _ = next(layouts(build(fixed()["comb"]), 16))
    assert layout.tables(3, 16, 16, CPU) is layout.tables(3, 16, 16, CPU)
    assert layout.tables(3, 16, 16, CPU) is not layout.tables(None, 16, 16, CPU)


def test_which_tensors_have_a_kernel(monkeypatch: pytest.MonkeyPatch):
    def has(dtype: torch.dtype = torch.float32, width: int = 16, values: int = 16, gpu: bool = True) -> bool:
        query: Any = SimpleNamespace(is_cuda=gpu, shape=(1, 4, 9, width), dtype=dtype, device=CPU)
        value: Any = SimpleNamespace(shape=(9, 2, values))
        return supports(query, value)

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert has()
    assert has(torch.bfloat16, 512, 3)
    assert not has(gpu=False)
    assert not has(torch.float64)
    assert not has(width=513)
    assert not has(values=576)
    monkeypatch.setattr(gpu, "find_spec", lambda _: None)
    assert not has()


def test_the_kernel_compiles_for_an_h100(pytestconfig: pytest.Config):
    """Without a GPU: within the estimated shared memory, with tensor cores, and almost without register spills."""
    for name, kernel in compiled("attention", pytestconfig).items():
        assert kernel["shared"] <= kernel["estimated"], name
        assert kernel["spilled"] <= 32, name  # bytes per thread
        assert any("mma" in word for word in kernel["products"]) == name.startswith("2"), name


@pytest.mark.parametrize("memory", [64 << 10, 99 << 10, 227 << 10])
def test_tiles_fit_into_shared_memory(memory: int, monkeypatch: pytest.MonkeyPatch):
    """The shared memory of a T4, of a consumer GPU and of an H100."""
    properties = SimpleNamespace(shared_memory_per_block_optin=memory)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    tile_of.cache_clear()
    for itemsize, width in TILES:
        tile = tile_of({2: torch.bfloat16, 4: torch.float32}[itemsize], width, width, torch.device("cuda:0"))
        need = (tile or TILES[itemsize, width][-1]).bytes(2 * width, itemsize)
        assert (need <= memory) == (tile is not None)
        assert (tile is None) == ((memory, itemsize, width) == (64 << 10, 4, 512))
    tile_of.cache_clear()
