"""The Triton kernels of the fused head: one tile of logits at a time, never written to memory. Imported only where they run.

Every logit is computed by `_logits`, one loop over the hidden width with tiles of one shape. So a logit has the same bits at
any position of a tile, in every kernel, and with any other rows.

Shapes: m rows and n columns of a tile, k of the hidden width; M rows, F factors, S splits of the vocabulary V, T targets of
a row, K top tokens of a row and split, J sets of tokens; H hidden width.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOWEST = tl.constexpr(-3.4028234663852886e38)  # value of an impossible token among the top K: above empty slots, which are −inf
LEAST_ID = tl.constexpr(-(2**31))
LEAST = tl.constexpr(-800.0)  # least difference of logits in moments, so that 0 · −inf = 0: exp of this is 0


@triton.jit
def tanh(x):
    """tanh to a few units in the last place, also near 0, where the quotient alone loses all digits (Cephes' tanhf)."""
    square = x * x
    odd = -5.70498872745e-3 * square + 2.06390887954e-2
    odd = odd * square - 5.37397155531e-2
    odd = odd * square + 1.33314422036e-1
    odd = odd * square - 3.33332819422e-1
    small = x + x * square * odd
    decay = tl.exp(-2.0 * tl.abs(x))
    large = (1.0 - decay) / (1.0 + decay)
    return tl.where(tl.abs(x) < 0.625, small, tl.where(x < 0, -large, large))


@triton.jit
def _logits(
    hidden, weight, bias, row_m, column_n, real_m, real_n, H, stride_h, stride_w, scale, softcap,
    HAS_BIAS: tl.constexpr, HAS_SOFTCAP: tl.constexpr, WIDEN: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """z = softcap(scale · (h Wᵀ + b)) in float32 for the given rows and columns, m × n; int64 offsets."""
    acc_mn = tl.zeros([TILE, TILE], tl.float32)
    hidden_m = hidden + row_m.to(tl.int64) * stride_h
    weight_n = weight + column_n.to(tl.int64) * stride_w
    for first in range(0, H, DEPTH):
        k = first + tl.arange(0, DEPTH)
        hidden_mk = tl.load(hidden_m[:, None] + k[None, :], mask=real_m[:, None] & (k < H)[None, :], other=0.0)
        weight_kn = tl.load(weight_n[None, :] + k[:, None], mask=real_n[None, :] & (k < H)[:, None], other=0.0)
        if WIDEN:  # the interpreter has no products of bfloat16
            hidden_mk, weight_kn = hidden_mk.to(tl.float32), weight_kn.to(tl.float32)
        acc_mn = tl.dot(hidden_mk, weight_kn, acc_mn, input_precision="ieee")
    if HAS_BIAS:
        acc_mn += tl.load(bias + column_n, mask=real_n, other=0.0).to(tl.float32)[None, :]
    acc_mn = acc_mn * scale
    if HAS_SOFTCAP:
        acc_mn = softcap * tanh(acc_mn / softcap)
    return acc_mn


@triton.jit(do_not_specialize=["F"])
def target_kernel(
    hidden, weight, bias, row_F, token_F, logit_F, F, H, stride_h, stride_w, scale, softcap,
    HAS_BIAS: tl.constexpr, HAS_SOFTCAP: tl.constexpr, WIDEN: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The logit of each factor: the diagonal of a tile whose columns are the weight rows of the factors' tokens."""
    f = tl.program_id(0) * TILE + tl.arange(0, TILE)
    row_m = tl.load(row_F + f, mask=f < F, other=0)
    token_n = tl.load(token_F + f, mask=f < F, other=0)
    z_mn = _logits(
        hidden, weight, bias, row_m, token_n, f < F, f < F, H, stride_h, stride_w, scale, softcap,
        HAS_BIAS, HAS_SOFTCAP, WIDEN, TILE, DEPTH,
    )  # fmt: skip
    diagonal_mn = tl.arange(0, TILE)[:, None] == tl.arange(0, TILE)[None, :]
    tl.store(logit_F + f, tl.sum(tl.where(diagonal_mn, z_mn, 0.0), 1), mask=f < F)


@triton.jit
def _keep_best(z_mn, column_n, real_n, best_mK, best_id_mK, TOP: tl.constexpr, WIDTH: tl.constexpr):
    """The top TOP of those kept so far and of a tile: each of the tile's top values replaces the worst one kept, if greater.

    Of equal values the one with the largest id is the worst: the tile's values come by id, and its ids are above those kept.
    """
    rest_mn = tl.where(real_n[None, :], tl.maximum(z_mn, LOWEST), float("-inf"))
    for _ in range(TOP):
        value_m, index_m = tl.max(rest_mn, 1, return_indices=True)
        taken_mn = tl.arange(0, z_mn.shape[1])[None, :] == index_m[:, None]
        id_m = tl.sum(tl.where(taken_mn, column_n[None, :], 0), 1)
        worst_m = tl.min(best_mK, 1)
        is_worst_mK = best_mK == worst_m[:, None]
        worst_id_m = tl.max(tl.where(is_worst_mK, best_id_mK, LEAST_ID), 1)
        swap_mK = is_worst_mK & (best_id_mK == worst_id_m[:, None]) & (value_m > worst_m)[:, None]
        best_mK = tl.where(swap_mK, value_m[:, None], best_mK)
        best_id_mK = tl.where(swap_mK, id_m[:, None], best_id_mK)
        rest_mn = tl.where(taken_mn, float("-inf"), rest_mn)
    return best_mK, best_id_mK


@triton.jit(do_not_specialize=["M"])
def sweep_kernel(
    hidden, weight, bias, row_M, logit_MT, token_MT, max_SM, sum_SM, dot_SM, square_SM, count_SMT, best_SMK,
    best_id_SMK, member_V, max_SMJ, sum_SMJ, M, V, H, stride_h, stride_w, scale, softcap, inverse, HAS_BIAS: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr, HAS_TEMPERATURE: tl.constexpr, MOMENTS: tl.constexpr, T: tl.constexpr, TOP: tl.constexpr,
    WIDTH: tl.constexpr, SETS: tl.constexpr, SET_WIDTH: tl.constexpr, SPLIT: tl.constexpr, WIDEN: tl.constexpr,
    TILE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """One split of the vocabulary for a tile of rows: the number of logits that exceed each target; with MOMENTS also the
    maximum m, Σ e, Σ e · d and Σ e · d² for d = z − m and e = exp(d) with 0 · −inf = 0, the TOP best tokens, and m and Σ e
    over each of SETS sets of tokens. With HAS_TEMPERATURE, d = (z − m) · inverse."""
    split, m = tl.program_id(1), tl.program_id(0) * TILE + tl.arange(0, TILE)
    real_m = m < M
    row_m = tl.load(row_M + m, mask=real_m, other=0)
    target_m, slot_T, slot_K = m.to(tl.int64) * T, tl.arange(0, T), tl.arange(0, WIDTH)
    max_m, sum_m = tl.full([TILE], float("-inf"), tl.float32), tl.zeros([TILE], tl.float32)
    dot_m, square_m = tl.zeros([TILE], tl.float32), tl.zeros([TILE], tl.float32)
    count_mT = tl.zeros([TILE, T], tl.int32)
    best_mK = tl.zeros([TILE, WIDTH], tl.float32) + tl.where(slot_K < TOP, float("-inf"), float("inf"))[None, :]
    best_id_mK = tl.zeros([TILE, WIDTH], tl.int32) - 1 - slot_K[None, :]  # of empty slots: different ones
    set_J = tl.arange(0, SET_WIDTH)
    max_mJ, sum_mJ = tl.full([TILE, SET_WIDTH], float("-inf"), tl.float32), tl.zeros([TILE, SET_WIDTH], tl.float32)
    for first in range(split * SPLIT, tl.minimum(split * SPLIT + SPLIT, V), TILE):
        column_n = first + tl.arange(0, TILE)
        real_n = column_n < V
        z_mn = _logits(
            hidden, weight, bias, row_m, column_n, real_m, real_n, H, stride_h, stride_w, scale, softcap,
            HAS_BIAS, HAS_SOFTCAP, WIDEN, TILE, DEPTH,
        )  # fmt: skip
        z_mn = tl.where(real_n[None, :], z_mn, float("-inf"))
        for t in range(T):
            logit_m = tl.load(logit_MT + target_m + t, mask=real_m, other=float("inf"))
            token_m = tl.load(token_MT + target_m + t, mask=real_m, other=-1)
            greater_mn = (z_mn > logit_m[:, None]) & (column_n[None, :] != token_m[:, None])
            count_mT += tl.where((slot_T == t)[None, :], tl.sum(greater_mn.to(tl.int32), 1)[:, None], 0)
        if MOMENTS:
            higher_m = tl.maximum(max_m, tl.max(z_mn, 1))
            base_m = tl.where(higher_m == float("-inf"), 0.0, higher_m)
            below_mn, below_m = z_mn - base_m[:, None], max_m - base_m
            if HAS_TEMPERATURE:
                below_mn, below_m = below_mn * inverse, below_m * inverse
            weight_mn, decay_m = tl.exp(below_mn), tl.exp(below_m)
            below_mn, below_m = tl.maximum(below_mn, LEAST), tl.maximum(below_m, LEAST)
            dot_mn = weight_mn * below_mn
            square_m = (square_m + below_m * (2.0 * dot_m + below_m * sum_m)) * decay_m + tl.sum(dot_mn * below_mn, 1)
            dot_m = (dot_m + below_m * sum_m) * decay_m + tl.sum(dot_mn, 1)
            sum_m = sum_m * decay_m + tl.sum(weight_mn, 1)
            max_m = higher_m
            if TOP > 0:
                best_mK, best_id_mK = _keep_best(z_mn, column_n, real_n, best_mK, best_id_mK, TOP, WIDTH)
            if SETS > 0:
                member_n = tl.load(member_V + column_n, mask=real_n, other=0)
                for j in range(SETS):
                    in_set_n, is_set_J = ((member_n >> j) & 1) == 1, set_J == j
                    of_set_mn = tl.where(in_set_n[None, :], z_mn, float("-inf"))
                    before_m = tl.max(tl.where(is_set_J[None, :], max_mJ, float("-inf")), 1)
                    higher_m = tl.maximum(before_m, tl.max(of_set_mn, 1))
                    base_m = tl.where(higher_m == float("-inf"), 0.0, higher_m)
                    below_mn, below_m = of_set_mn - base_m[:, None], before_m - base_m
                    if HAS_TEMPERATURE:
                        below_mn, below_m = below_mn * inverse, below_m * inverse
                    sum_mJ = tl.where(
                        is_set_J[None, :], sum_mJ * tl.exp(below_m)[:, None] + tl.sum(tl.exp(below_mn), 1)[:, None], sum_mJ
                    )
                    max_mJ = tl.where(is_set_J[None, :], higher_m[:, None], max_mJ)
    index_m = split.to(tl.int64) * M + m
    tl.store(count_SMT + index_m[:, None] * T + slot_T[None, :], count_mT, mask=real_m[:, None])
    if MOMENTS:
        tl.store(max_SM + index_m, max_m, mask=real_m)
        tl.store(sum_SM + index_m, sum_m, mask=real_m)
        tl.store(dot_SM + index_m, dot_m, mask=real_m)
        tl.store(square_SM + index_m, square_m, mask=real_m)
        if TOP > 0:
            index_mK, kept_mK = index_m[:, None] * TOP + slot_K[None, :], real_m[:, None] & (slot_K < TOP)[None, :]
            tl.store(best_SMK + index_mK, best_mK, mask=kept_mK)
            tl.store(best_id_SMK + index_mK, best_id_mK, mask=kept_mK)
        if SETS > 0:
            index_mJ, kept_mJ = index_m[:, None] * SETS + set_J[None, :], real_m[:, None] & (set_J < SETS)[None, :]
            tl.store(max_SMJ + index_mJ, max_mJ, mask=kept_mJ)
            tl.store(sum_SMJ + index_mJ, sum_mJ, mask=kept_mJ)


@triton.jit(do_not_specialize=["M", "S"])
def combine_kernel(
    max_SM, sum_SM, dot_SM, square_SM, logsumexp_M, entropy_M, variance_M, largest_M, M, S, inverse,
    HAS_TEMPERATURE: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Log-sum-exp, entropy and the variance of log Pr of each row from the moments of its splits, in float64, in the order
    of the splits.

    HAS_TEMPERATURE: the log-sum-exp of (z − largest) · inverse, and the largest logit.
    """
    m = tl.program_id(0) * TILE + tl.arange(0, TILE)
    real_m, max_m = m < M, tl.full([TILE], float("-inf"), tl.float32)
    for split in range(0, S):
        max_m = tl.maximum(max_m, tl.load(max_SM + split * M + m, mask=real_m, other=float("-inf")))
    base_m = tl.where(max_m == float("-inf"), 0.0, max_m).to(tl.float64)
    sum_m, dot_m, square_m = tl.zeros([TILE], tl.float64), tl.zeros([TILE], tl.float64), tl.zeros([TILE], tl.float64)
    for split in range(0, S):
        at_m = split * M + m
        below_m = tl.load(max_SM + at_m, mask=real_m, other=0.0).to(tl.float64) - base_m
        if HAS_TEMPERATURE:
            below_m = below_m * inverse
        weight_m, below_m = tl.exp(below_m), tl.maximum(below_m, LEAST)
        total_m = tl.load(sum_SM + at_m, mask=real_m, other=1.0).to(tl.float64)
        moment_m = tl.load(dot_SM + at_m, mask=real_m, other=0.0).to(tl.float64)
        second_m = tl.load(square_SM + at_m, mask=real_m, other=0.0).to(tl.float64)
        sum_m += weight_m * total_m
        dot_m += weight_m * (moment_m + below_m * total_m)
        square_m += weight_m * (second_m + below_m * (2.0 * moment_m + below_m * total_m))
    mean_m, log_m = dot_m / sum_m, tl.log(sum_m)  # the expected logit, less the largest one
    tl.store(entropy_M + m, log_m - mean_m, mask=real_m)
    tl.store(variance_M + m, tl.maximum(square_m / sum_m - mean_m * mean_m, 0.0), mask=real_m)
    if HAS_TEMPERATURE:
        tl.store(largest_M + m, base_m, mask=real_m)
        tl.store(logsumexp_M + m, log_m, mask=real_m)
    else:
        tl.store(logsumexp_M + m, base_m + log_m, mask=real_m)
