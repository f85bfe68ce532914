"""FlexAttention over chunks of a forest against attention along each path alone, and its lists of blocks against the rule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from forests import branching, build, fixed
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import carried, lineage
from torch import Tensor
from torch.nn.attention import flex_attention as torch_flex

from chainrule.engine import flex
from chainrule.engine.flex import FlexLayout, flex_attend, supports
from chainrule.forest import Forest, chunks

HEADS, KEY_HEADS, WIDTH, SCALE = 4, 2, 16, 0.3
CPU = torch.device("cpu")
WINDOWS = st.none() | st.integers(1, 6)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch):
    """Plain PyTorch in place of FlexAttention's own compiler, which looks at every new shape for a while."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


def layouts(forest: Forest, rows: int) -> Iterator[tuple[FlexLayout, list[int]]]:
    """Each chunk's layout, and the nodes of its keys."""
    contexts = np.flatnonzero(forest.end_N > np.arange(len(forest)) + 1)
    for chunk, nodes in carried(chunks(forest, forest.depth_N > 0, rows)):
        end_K = np.searchsorted(contexts, forest.end_N[nodes]) - np.searchsorted(contexts, chunk.node_R[0])
        yield FlexLayout(chunk.path, end_K, forest.depth_N[nodes], chunk.depth_R), nodes


def seen(forest: Forest, layout: FlexLayout, nodes: list[int], window: int | None) -> np.ndarray:
    """R × K: whether the key's node is among the last `window` of the query's ancestors and itself."""
    queries = nodes[layout.path :]
    return np.array([np.isin(nodes, lineage(forest, query, window)) for query in queries])


def draw_qkv(layout: FlexLayout, dtype: torch.dtype = torch.float64, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Queries 1 × H × R × D, keys and values 1 × G × K × D, laid out as the models do: heads of a row side by side."""
    random, rows, keys = torch.Generator().manual_seed(len(layout.end_K)), len(layout.depth_R), len(layout.end_K)
    shapes = ((rows, HEADS), (keys, KEY_HEADS), (keys, KEY_HEADS))
    drawn = [torch.randn(1, *shape, WIDTH, generator=random, dtype=torch.float64).transpose(1, 2) for shape in shapes]
    return tuple(x.to(device, dtype) for x in drawn)


def by_the_rule(
    qkv: tuple[Tensor, Tensor, Tensor], seen_RK: np.ndarray, softcap: float | None = None, sinks_H: Tensor | None = None
) -> Tensor:
    """All pairs in float64, and a mask. A sink is a score that no value belongs to."""
    query_HRD, key_HKD, value_HKD = (x[0].double().cpu().repeat_interleave(HEADS // x.shape[1], 0) for x in qkv)
    score_HRK = query_HRD @ key_HKD.transpose(1, 2) * SCALE
    if softcap is not None:
        score_HRK = torch.tanh(score_HRK / softcap) * softcap
    score_HRK = score_HRK.masked_fill(~torch.from_numpy(seen_RK), -torch.inf)
    if sinks_H is not None:
        score_HRK = torch.cat([score_HRK, sinks_H.double().cpu()[:, None, None].expand(-1, score_HRK.shape[1], 1)], -1)
    return (score_HRK.softmax(-1)[..., : seen_RK.shape[1]] @ value_HKD).transpose(0, 1)


def check(forest: Forest, rows: int, window: int | None, softcap: float | None = None, sinks_H: Tensor | None = None) -> None:
    for layout, nodes in layouts(forest, rows):
        qkv = draw_qkv(layout)
        out_RHD = flex_attend(layout, *qkv, SCALE, window, softcap, sinks_H)
        want_RHD = by_the_rule(qkv, seen(forest, layout, nodes, window), softcap, sinks_H)
        np.testing.assert_allclose(out_RHD, want_RHD, atol=1e-12)


@settings(max_examples=40)
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


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_as_it_runs_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", False)
    check(build(fixed()["candidates"]), 200, None, 5.0, torch.tensor([0.5, -1, 2, 0]))


def check_blocks(forest: Forest, rows: int, window: int | None, block: int) -> None:
    """Exact lists: a block is listed just where some pair is visible, as full just where all are; and the rule as given."""
    for layout, nodes in layouts(forest, rows):
        seen_RK, mask = seen(forest, layout, nodes, window), layout.mask(window, CPU)
        full_QB = dense(mask.full_kv_num_blocks, mask.full_kv_indices)
        part_QB = dense(mask.kv_num_blocks, mask.kv_indices)
        cut = [np.arange(0, length, block) for length in seen_RK.shape]
        count_QB, of_QB = (np.add.reduceat(np.add.reduceat(x, cut[0], 0), cut[1], 1) for x in (seen_RK * 1, seen_RK * 0 + 1))
        some = np.s_[: len(cut[0]), : len(cut[1])]
        np.testing.assert_array_equal(full_QB[some], count_QB == of_QB)
        np.testing.assert_array_equal(part_QB[some], (count_QB > 0) & (count_QB < of_QB))
        assert full_QB.sum() + part_QB.sum() == (count_QB > 0).sum()  # nothing beyond the last row or key
        rule_RK = mask.mask_mod(
            0, 0, *(torch.arange(n).view(s) for n, s in zip(seen_RK.shape, ((-1, 1), (1, -1)), strict=True))
        )
        np.testing.assert_array_equal(rule_RK, seen_RK)


def dense(count_Q: Tensor, index_QB: Tensor) -> np.ndarray:
    """The blocks that lists name, each once."""
    blocks_QB = np.zeros(index_QB.shape[2:], np.int64)
    for q, count in enumerate(count_Q[0, 0].tolist()):
        np.add.at(blocks_QB[q], index_QB[0, 0, q, :count].numpy(), 1)
    assert blocks_QB.max() <= 1
    return blocks_QB.astype(bool)


@given(branching(), st.sampled_from([1, 3, 7, 16, 512]), WINDOWS, st.sampled_from([1, 2, 4]))
def test_blocks_are_listed_by_what_is_seen(sequences: list[list[int]], rows: int, window: int | None, block: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flex, "BLOCK", block)
        check_blocks(build(sequences), rows, window, block)


@pytest.mark.parametrize("name", ["path", "comb", "tree", "documents", "candidates"])
@pytest.mark.parametrize("window", [None, 5, 200])
def test_blocks_of_128(name: str, window: int | None):
    check_blocks(build(fixed()[name]), 300, window, 128)


def test_an_unbranched_text_has_full_blocks_below_the_diagonal():
    layout = FlexLayout(256, np.full(640, 1000), np.arange(640), np.arange(256, 640))
    some_QB, all_QB = layout.blocks(None)
    assert some_QB.sum(1).tolist() == [3, 4, 5]
    assert all_QB.sum(1).tolist() == [2, 3, 4]


def test_a_mask_is_made_once():
    layout, _ = next(layouts(build(fixed()["comb"]), 16))
    assert layout.mask(3, CPU) is layout.mask(3, CPU)
    assert layout.mask(3, CPU) is not layout.mask(None, CPU)


def test_one_kernel_serves_all_lengths(monkeypatch: pytest.MonkeyPatch):
    """Chunks with and without a path, of one block or several, and forests of any shape: compiled once for each rule."""
    compiled = []

    def backend(graph, _inputs):
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    attend = flex._compiled(backend)
    for path, rows in ((0, 300), (300, 300), (20, 300), (7, 130), (0, 512)):
        layout = FlexLayout(path, np.full(path + rows, rows), np.arange(path + rows), np.arange(path, path + rows))
        qkv = draw_qkv(layout)
        with monkeypatch.context() as patch, torch.inference_mode():
            patch.setattr(torch_flex, "flex_attention", attend)
            out_RHD = flex_attend(layout, *qkv, SCALE, softcap=5.0)
        want_RHD = by_the_rule(qkv, np.tri(rows, path + rows, path, dtype=bool), 5.0)
        np.testing.assert_allclose(out_RHD, want_RHD, atol=1e-12)
    assert len(compiled) == 1
    assert "item()" not in compiled[0].code  # scale and softcap are constants


def test_no_kernel_on_the_cpu():
    assert not supports(torch.zeros(1, 1, 1, 16))


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["comb", "documents", "candidates"])
def test_compiled_on_cuda(name: str, dtype: torch.dtype):
    forest, atol = build(fixed()[name]), {torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    for layout, nodes in layouts(forest, 200):
        qkv = draw_qkv(layout, dtype, "cuda")
        assert supports(qkv[0])
        for window, softcap, sinks_H in (
            (None, None, None), (5, None, None), (None, 5.0, None), (5, None, torch.tensor([0.5, -1, 2, 0], device="cuda")),
        ):  # fmt: skip
            out_RHD = flex_attend(layout, *qkv, SCALE, window, softcap, sinks_H)
            want_RHD = by_the_rule(qkv, seen(forest, layout, nodes, window), softcap, sinks_H)
            np.testing.assert_allclose(out_RHD.double().cpu(), want_RHD, atol=atol)
