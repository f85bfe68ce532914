"""Attention over chunks of a forest, with the path cached in between, against attention along each path alone."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from forests import branching, build, fixed
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import lineage
from torch import Tensor, nn

from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout, forest_attention
from chainrule.forest import Forest, chunks

HEADS, KEY_HEADS, WIDTH, SCALE = 4, 2, 8, 0.3


def draw_qkv(nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of every node, N × heads × width."""
    random = torch.Generator().manual_seed(nodes)
    return tuple(torch.randn(nodes, h, WIDTH, generator=random, dtype=torch.float64) for h in (HEADS, KEY_HEADS, KEY_HEADS))


def masked_attention(
    forest: Forest, qkv: tuple[Tensor, Tensor, Tensor], window: int | None, softcap: float | None, sinks: Tensor | None
) -> Tensor:
    """Attention of every node to its ancestors and itself, N × heads × width: all pairs, with a mask."""
    query_HND, key_HND, value_HND = (x.repeat_interleave(HEADS // x.shape[1], 1).transpose(0, 1) for x in qkv)
    score_HNN = query_HND @ key_HND.transpose(1, 2) * SCALE
    if softcap is not None:
        score_HNN = torch.tanh(score_HNN / softcap) * softcap
    visible_NN = torch.zeros(len(forest), len(forest), dtype=torch.bool)
    for node in range(len(forest)):
        visible_NN[node, lineage(forest, node, window)] = True
    score_HNN = score_HNN.masked_fill(~visible_NN, -torch.inf)
    if sinks is not None:
        score_HNN = torch.cat([score_HNN, sinks[:, None, None].expand(-1, len(forest), 1)], -1)
    return (score_HNN.softmax(-1)[..., : len(forest)] @ value_HND).transpose(0, 1)


def over_the_forest(forest: Forest, qkv: tuple[Tensor, Tensor, Tensor], rows: int, **options) -> dict[int, Tensor]:
    """The same for every context of the forest, one chunk at a time."""
    cache, module, outputs = KVCache(int(forest.depth_N.max()) + rows), nn.Module(), {}
    for chunk in chunks(forest, forest.depth_N > 0, rows):
        q, k, v = (x[chunk.node_R].transpose(0, 1)[None] for x in qkv)
        out, _ = Layout(chunk, cache, torch.device("cpu")).as_current(
            partial(forest_attention, module, q, k, v, None, scaling=SCALE, **options)
        )
        cache.keep_path(chunk)
        outputs |= dict(zip(chunk.node_R.tolist(), out[0], strict=True))
    return outputs


def check(sequences: list[list[int]], rows: int, window: int | None, softcap: float | None = None, sinks: Tensor | None = None):
    forest = build(sequences)
    qkv = draw_qkv(len(forest))
    outputs = over_the_forest(forest, qkv, rows, sliding_window=window, softcap=softcap, s_aux=sinks)
    want = masked_attention(forest, qkv, window, softcap, sinks)
    for node, out in outputs.items():
        np.testing.assert_allclose(out, want[node], rtol=0, atol=1e-12)


@settings(max_examples=40)
@given(branching(), st.sampled_from([1, 2, 3, 7, 16, 512]), st.none() | st.integers(1, 6))
def test_any_forest(sequences: list[list[int]], rows: int, window: int | None):
    check(sequences, rows, window)


@pytest.mark.parametrize("name", fixed())
@pytest.mark.parametrize("rows", [16, 100, 512])
@pytest.mark.parametrize("window", [None, 5, 128, 150])
def test_near_and_far_keys(name: str, rows: int, window: int | None):
    check(fixed()[name], rows, window)


def test_softcaps_and_sinks_with_far_keys():
    sinks = torch.tensor([0.5, -1, 2, 0], dtype=torch.float64)
    check(fixed()["candidates"], 100, 150, softcap=0.7, sinks=sinks)
    check(fixed()["path"], 100, None, softcap=0.7, sinks=sinks)


@pytest.mark.parametrize("rows", [3, 512])
@pytest.mark.parametrize("window", [None, 3])
def test_softcaps_and_sinks(rows: int, window: int | None):
    sequences = fixed()["comb"]
    check(sequences, rows, window, softcap=0.7)
    check(sequences, rows, window, sinks=torch.tensor([0.5, -1, 2, 0], dtype=torch.float64))
    check(sequences, rows, window, softcap=0.7, sinks=torch.tensor([0.5, -1, 2, 0], dtype=torch.float64))


def test_attention_without_a_layout_is_refused():
    x = torch.zeros(1, 1, 1, 1)
    with pytest.raises(TypeError, match="there is no current layout"):
        forest_attention(nn.Module(), x, x, x, None)


def test_a_mask_of_the_architectures_own_is_refused():
    (chunk,) = chunks(build([[0, 1]]), np.array([False, True]), 1)
    x = torch.zeros(1, 1, 1, 1)
    layout = Layout(chunk, KVCache(2), torch.device("cpu"))
    with pytest.raises(TypeError, match="a mask of its own"):
        layout.as_current(partial(forest_attention, nn.Module(), x, x, x, torch.zeros(1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("queries", "keys"), [((1, 2, 2, 8), (1, 2, 3, 8)), ((2, 2, 1, 8), (2, 2, 1, 8)), ((1, 2, 3, 8), (1, 2, 3, 8))]
)
def test_keys_other_than_the_rows_of_the_chunk_are_refused(queries: tuple[int, ...], keys: tuple[int, ...]):
    """The kernels would read and write out of bounds."""
    (chunk,) = chunks(build([[0, 1, 2]]), np.array([False, True, True]), 2)
    q, k = torch.zeros(queries), torch.zeros(keys)
    with pytest.raises(TypeError, match="rows of the chunk"):
        Layout(chunk, KVCache(4), torch.device("cpu")).as_current(lambda: forest_attention(nn.Module(), q, k, k, None))


def test_arguments_that_may_change_what_is_visible_are_refused():
    """Ignoring them would give errors only in texts longer than the probe's, as block indices of sparse attention do."""
    (chunk,) = chunks(build([[0, 1]]), np.array([False, True]), 1)
    x = torch.zeros(1, 1, 1, 8)
    layout = Layout(chunk, KVCache(2), torch.device("cpu"))

    def attend(**options: Any) -> Any:
        return layout.as_current(partial(forest_attention, nn.Module(), x, x, x, None, **options))

    attend(position_ids=torch.zeros(1, 1), dropout=0.0, block_indices=None)
    with pytest.raises(TypeError, match="passes block_indices to its attention"):
        attend(block_indices=torch.zeros(1, 1))
    with pytest.raises(TypeError, match="passes chunk to its attention"):
        attend(dropout=0.0, chunk=8192, use_cache=False, output_attentions=True)


def test_a_layer_that_attends_twice_has_two_caches():
    forest = build([[0, 1, 2, 3], [0, 1, 4, 5]])
    cache, layer = KVCache(8), nn.Module()
    qkv = [draw_qkv(len(forest)), tuple(2 * x for x in draw_qkv(len(forest)))]
    for chunk in chunks(forest, forest.depth_N > 0, 2):
        rows = [[x[chunk.node_R].transpose(0, 1)[None] for x in each] for each in qkv]
        layout = Layout(chunk, cache, torch.device("cpu"))
        outputs = layout.as_current(lambda rows=rows: [forest_attention(layer, *each, None, scaling=SCALE)[0] for each in rows])
        for each, out in zip(qkv, outputs, strict=True):
            want = masked_attention(forest, each, None, None, None)[chunk.node_R]
            np.testing.assert_allclose(out[0], want, rtol=0, atol=1e-12)
        cache.keep_path(chunk)


def test_each_layer_has_its_own_cache():
    forest = build([[0, 1, 2, 3], [0, 1, 4, 5]])
    cache, layers = KVCache(8), [nn.Module(), nn.Module()]
    qkv = [draw_qkv(len(forest)), tuple(2 * x for x in draw_qkv(len(forest)))]
    for chunk in chunks(forest, forest.depth_N > 0, 2):
        layout = Layout(chunk, cache, torch.device("cpu"))
        for layer, each in zip(layers, qkv, strict=True):
            q, k, v = (x[chunk.node_R].transpose(0, 1)[None] for x in each)
            out, _ = layout.as_current(partial(forest_attention, layer, q, k, v, None, scaling=SCALE))
            want = masked_attention(forest, each, None, None, None)[chunk.node_R]
            np.testing.assert_allclose(out[0], want, rtol=0, atol=1e-12)
        cache.keep_path(chunk)


def test_a_layer_that_did_not_attend_to_the_path_is_an_error():
    """Not a wait without end, and no result of memory that was never written."""
    forest = build([[0, 1, 2, 3]])
    cache, (q, k, v) = KVCache(8), (x.transpose(0, 1)[None] for x in draw_qkv(len(forest)))
    for chunk, layer in zip(chunks(forest, forest.depth_N > 0, 2), (nn.Module(), nn.Module()), strict=True):
        rows = [x[:, :, chunk.node_R] for x in (q, k, v)]
        attend = partial(forest_attention, layer, *rows, None, scaling=SCALE)
        layout = Layout(chunk, cache, torch.device("cpu"))
        if chunk.path:
            with pytest.raises(TypeError, match="more often than in others"):
                layout.as_current(attend)
        else:
            layout.as_current(attend)
            cache.keep_path(chunk)
