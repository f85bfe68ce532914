"""The Triton kernel of `triton_attend`: attention of a block of rows to the key blocks visible to it, by a running softmax.

Imported only where it runs. Shapes: m rows and n keys of a tile, d and e of the width of keys and of values; H heads, G key
heads, R rows, K keys, Q blocks of rows, B blocks of keys.
"""

from __future__ import annotations

import triton
import triton.language as tl

from chainrule.ops.head_triton import tanh

LOG2E = tl.constexpr(1.4426950408889634)  # scores are in units of log 2, since the hardware computes exp2


@triton.jit
def _accumulate(
    acc_me, max_m, sum_m, query_md, row_m, depth_m, key, value, first_K, end_K, limit_K, index_B, count, K,
    stride_kk, stride_vk, scale, softcap, FULL: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    WIDEN: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr, E: tl.constexpr, WIDE_D: tl.constexpr, WIDE_E: tl.constexpr,
):  # fmt: skip
    """The running output, maximum and sum after these blocks of keys. FULL: all keys are visible, and no rule is evaluated."""
    d, e = tl.arange(0, WIDE_D), tl.arange(0, WIDE_E)
    for b in range(0, count):
        n = tl.load(index_B + b) * KEYS + tl.arange(0, KEYS)
        index_n, real_n = n.to(tl.int64), n < K
        if FULL:
            key_dn = tl.load(key + index_n[None, :] * stride_kk + d[:, None], mask=(d < D)[:, None], other=0.0)
        else:
            key_dn = tl.load(
                key + index_n[None, :] * stride_kk + d[:, None], mask=(d < D)[:, None] & real_n[None, :], other=0.0
            )
        if WIDEN:  # the interpreter has no products of bfloat16
            key_dn = key_dn.to(tl.float32)
        score_mn = tl.dot(query_md, key_dn, input_precision="ieee") * scale
        if HAS_SOFTCAP:
            score_mn = softcap * LOG2E * tanh(score_mn / softcap)
        if not FULL:
            first_n = tl.load(first_K + n, mask=real_n, other=2147483647)
            end_n = tl.load(end_K + n, mask=real_n, other=0)
            visible_mn = (first_n[None, :] <= row_m[:, None]) & (row_m[:, None] < end_n[None, :])
            if HAS_WINDOW:
                visible_mn = visible_mn & (depth_m[:, None] < tl.load(limit_K + n, mask=real_n, other=0)[None, :])
            score_mn = tl.where(visible_mn, score_mn, float("-inf"))
        higher_m = tl.maximum(max_m, tl.max(score_mn, 1))
        base_m = tl.where(higher_m == float("-inf"), 0.0, higher_m)
        weight_mn, decay_m = tl.exp2(score_mn - base_m[:, None]), tl.exp2(max_m - base_m)
        sum_m = sum_m * decay_m + tl.sum(weight_mn, 1)
        if FULL:
            value_ne = tl.load(value + index_n[:, None] * stride_vk + e[None, :], mask=(e < E)[None, :], other=0.0)
        else:
            value_ne = tl.load(
                value + index_n[:, None] * stride_vk + e[None, :], mask=(e < E)[None, :] & real_n[:, None], other=0.0
            )
        if WIDEN:
            value_ne = value_ne.to(tl.float32)
        acc_me = tl.dot(weight_mn.to(value_ne.dtype), value_ne, acc_me * decay_m[:, None], input_precision="ieee")
        max_m = higher_m
    return acc_me, max_m, sum_m


@triton.jit(do_not_specialize=["R", "K", "B"])
def attend_kernel(
    query, key, value, out, sink_H, first_K, end_K, limit_K, depth_R, full_count_Q, part_count_Q, full_index_QB, part_index_QB,
    R, K, B, stride_qh, stride_qr, stride_kk, stride_kg, stride_vk, stride_vg, stride_or, stride_oh, scale, softcap,
    SHARE: tl.constexpr, HAS_SINK: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr, WIDEN: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr, E: tl.constexpr, WIDE_D: tl.constexpr, WIDE_E: tl.constexpr,
):  # fmt: skip
    """One head of one block of rows. SHARE: query heads per key head. `scale` gives scores in units of log 2."""
    head, q = tl.program_id(0), tl.num_programs(1) - 1 - tl.program_id(1)  # blocks with the longest paths start first
    m, d, e = tl.arange(0, ROWS), tl.arange(0, WIDE_D), tl.arange(0, WIDE_E)
    row_m = q * ROWS + m
    real_m, index_m = row_m < R, row_m.to(tl.int64)
    query_at = query + head * stride_qh + index_m[:, None] * stride_qr + d[None, :]
    query_md = tl.load(query_at, mask=real_m[:, None] & (d < D)[None, :], other=0.0)
    if WIDEN:
        query_md = query_md.to(tl.float32)
    depth_m = tl.load(depth_R + row_m, mask=real_m, other=0) if HAS_WINDOW else row_m
    acc_me = tl.zeros([ROWS, WIDE_E], tl.float32)
    if HAS_SINK:  # one more score, without a value
        max_m = tl.zeros([ROWS], tl.float32) + tl.load(sink_H + head).to(tl.float32) * LOG2E
        sum_m = tl.zeros([ROWS], tl.float32) + 1.0
    else:
        max_m, sum_m = tl.full([ROWS], float("-inf"), tl.float32), tl.zeros([ROWS], tl.float32)
    key_of, value_of = key + (head // SHARE) * stride_kg, value + (head // SHARE) * stride_vg
    acc_me, max_m, sum_m = _accumulate(
        acc_me, max_m, sum_m, query_md, row_m, depth_m, key_of, value_of, first_K, end_K, limit_K, full_index_QB + q * B,
        tl.load(full_count_Q + q), K, stride_kk, stride_vk, scale, softcap, True, HAS_WINDOW, HAS_SOFTCAP, WIDEN, KEYS, D, E,
        WIDE_D, WIDE_E,
    )  # fmt: skip
    acc_me, max_m, sum_m = _accumulate(
        acc_me, max_m, sum_m, query_md, row_m, depth_m, key_of, value_of, first_K, end_K, limit_K, part_index_QB + q * B,
        tl.load(part_count_Q + q), K, stride_kk, stride_vk, scale, softcap, False, HAS_WINDOW, HAS_SOFTCAP, WIDEN, KEYS, D, E,
        WIDE_D, WIDE_E,
    )  # fmt: skip
    out_at = out + index_m[:, None] * stride_or + head * stride_oh + e[None, :]
    tl.store(out_at, (acc_me / sum_m[:, None]).to(out.dtype.element_ty), mask=real_m[:, None] & (e < E)[None, :])
