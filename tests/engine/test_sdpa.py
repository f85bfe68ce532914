"""Attention by PyTorch's kernels: one call, two sets of keys combined, and shared calls, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from forests import build, fixed
from torch import Tensor

from chainrule.engine.attention import sdpa
from chainrule.engine.attention.sdpa import SDPALayout, attend, sdpa_attend
from chainrule.forest import chunks

CPU = torch.device("cpu")


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, visible_QK: Tensor, scale: float, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """B × H × Q × D queries, one head and one query at a time."""
    out, lse = torch.empty(*q.shape[:3], v.shape[-1], dtype=torch.float64), torch.empty(q.shape[:3], dtype=torch.float64)
    share = q.shape[1] // k.shape[1]
    for b, h, i in np.ndindex(*q.shape[:3]):
        scores = torch.stack([q[b, h, i] @ key for key in k[b, h // share]]).double() * scale
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores[visible_QK[i]]
        lse[b, h, i] = torch.log(torch.exp(scores).sum())
        out[b, h, i] = (torch.exp(scores - lse[b, h, i])[:, None] * v[b, h // share][visible_QK[i]]).sum(0)
    return out, lse


@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("value_width", [8, 4])
def test_one_call(scale: float | None, softcap: float | None, value_width: int):
    q, k, v = draw(2, 4, 5, 8), draw(2, 2, 7, 8, seed=1), draw(2, 2, 7, value_width, seed=2)
    visible_QK = torch.ones(5, 7, dtype=torch.bool).tril(2)
    mask = torch.zeros(5, 7, dtype=torch.float64).masked_fill(~visible_QK, -torch.inf)
    result = attend(q, k, v, mask[None, None], scaling=scale, softcap=softcap)
    want = plain_attention(q, k, v, visible_QK, 8**-0.5 if scale is None else scale, softcap)
    for one, other in zip(result, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("far_from", [0.0, 60.0, -60.0, 800.0, -800.0])
def test_two_sets_of_keys_combine_to_one(far_from: float):
    """If one set has almost no weight, the result is that of the other."""
    score, value = draw(3, 9), draw(9, 6, seed=1)
    score[:, 5:] += far_from
    parts = [(score[:, s].softmax(-1) @ value[s], score[:, s].logsumexp(-1)) for s in (slice(0, 5), slice(5, 9))]
    out, lse = sdpa._combine(*parts[0], *parts[1])
    np.testing.assert_allclose(out, score.softmax(-1) @ value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(lse, score.logsumexp(-1), rtol=0, atol=1e-12)


def test_consecutive_rows_are_a_slice_and_others_an_index():
    rows = torch.arange(20) * 10
    for index, kind in (([[4, 5], [6, 7]], slice), ([3], slice), ([4, 4, 5], Tensor), ([5, 4], Tensor), ([0, 2], Tensor)):
        result = sdpa._index(np.array(index), CPU)
        assert isinstance(result, kind)
        assert rows[result].tolist() == (10 * np.array(index).reshape(-1)).tolist()


def test_heads_that_share_a_key_are_folded_and_unfolded():
    query = draw(5, 6, 3)  # Q × H × D
    folded = sdpa._fold_heads(query, 2)
    assert folded.shape == (2, 15, 3)
    for g, h, q in np.ndindex(2, 3, 5):
        assert torch.equal(folded[g, h * 5 + q], query[q, g * 3 + h])
    assert torch.equal(sdpa._unfold_heads(folded, 5), query)


@pytest.mark.parametrize("window", [None, 1, 128, 150])
def test_a_layout_shares_calls_and_records_their_kind(window: int | None):
    """The rows of one path, at 300 depths. Near and far keys together are the whole path of a row."""
    forest = build(fixed()["path"])
    (chunk,) = chunks(forest, forest.depth_N > 0, 512)
    layout, rows = SDPALayout(chunk.tiles, CPU), len(chunk)
    query, key, value = draw(rows, 4, 8), draw(rows, 2, 8, seed=1), draw(rows, 2, 8, seed=2)
    out, lse = sdpa_attend(layout, query, key, value, None, window, None)
    back = torch.arange(rows)[:, None] - torch.arange(rows)
    visible = (back >= 0) if window is None else (back >= 0) & (back < window)
    score = torch.einsum("qhd,khd->hqk", query, key.repeat_interleave(2, 1)) * 8**-0.5
    score = score.masked_fill(~visible, -torch.inf)
    want = torch.einsum("hqk,khd->qhd", score.softmax(-1), value.repeat_interleave(2, 1))
    np.testing.assert_allclose(out, want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(lse, score.logsumexp(-1).T, rtol=0, atol=1e-12)
    (kind,) = layout.kinds
    assert (kind.heads, kind.groups, kind.width, kind.value_width, kind.dtype) == (4, 2, 8, 8, torch.float64)
    assert layout.far(window) is layout.far(window)
    assert bool(layout.far(window)) == (window != 1)
