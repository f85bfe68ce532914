"""Each compiled kernel against the plain computation in float64, and row invariance."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from forests import branching, build, fixed
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import lineage
from torch import Tensor, nn

from chainrule import LanguageModel
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout, forest_attention
from chainrule.engine.head.moments import in_passes, moments
from chainrule.engine.head.reductions import count_greater
from chainrule.forest import chunks
from chainrule.models.head import LinearHead
from chainrule.ops import native
from chainrule.ops.library import build as native_build

pytestmark = pytest.mark.skipif(not native.status(), reason=f"no compiled kernels: {native.status().reason}")

TYPES = [torch.float32, torch.bfloat16]
ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 2.0**-8}  # relative to a number, or to the largest one where numbers cancel
WIDTHS = st.sampled_from([1, 3, 15, 16, 17, 48, 100, 576])


def draw(*shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0, seed: int = 0) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def close(found: Tensor, want: Tensor) -> bool:
    error = (found.double() - want).abs()
    return bool((error <= ROUNDING[found.dtype] * want.abs() + 1e-6 * want.abs().max() + 1e-37).all())


def norm(x: Tensor, weight: Tensor, eps: float, offset: float) -> Tensor:
    x, weight = x.double(), weight.double()
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * (weight + offset)


@pytest.mark.parametrize("dtype", TYPES)
@given(st.integers(1, 40), WIDTHS, st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([0.0, 1.0]))
def test_norms(dtype: torch.dtype, rows: int, width: int, scale: float, offset: float):
    x, weight = draw(2, rows, width, dtype=dtype, scale=scale), draw(width, dtype=dtype, seed=1)
    found = native.rms_norm(x, weight, 1e-5, offset)
    assert close(found, norm(x, weight, 1e-5, offset))
    row = rows // 2
    assert torch.equal(native.rms_norm(x[1, row].clone(), weight, 1e-5, offset), found[1, row])


@pytest.mark.parametrize("dtype", TYPES)
@given(st.integers(1, 5000), st.booleans(), st.sampled_from([(1.0, 0.0), (1.5957691, 0.0713548)]))
def test_gates(dtype: torch.dtype, count: int, gated: bool, constants: tuple[float, float]):
    x, by = draw(count, dtype=dtype, scale=4), draw(count, dtype=dtype, seed=1)
    wide, (linear, cubic) = x.double(), constants
    want = wide * torch.sigmoid(linear * wide + cubic * wide**3) * (by.double() if gated else 1)
    found = native.gate(x, by if gated else None, linear, cubic)
    assert close(found, want)
    start = count // 3
    alone = native.gate(x[start:].clone(), by[start:].clone() if gated else None, linear, cubic)
    assert torch.equal(alone, found[start:])


@pytest.mark.parametrize("dtype", TYPES)
def test_gates_of_extreme_numbers(dtype: torch.dtype):
    x = torch.tensor([-torch.inf, -1e30, -100, -0.0, 0.0, 100, 1e30, torch.inf, torch.nan], dtype=dtype)
    found = native.gate(x, None, 1.0, 0.0)
    assert found[1:8].tolist() == pytest.approx(nn.functional.silu(x)[1:8].tolist(), rel=1e-2, abs=1e-6)
    assert found[8].isnan()
    once = x.clone()
    assert torch.equal(native.gate(once, None, 1.0, 0.0, out=once)[:8][1:], found[1:8])


def test_gelu_with_tanh_agrees_with_pytorch():
    x = torch.linspace(-8, 8, 999)
    constant = float((8 / torch.pi) ** 0.5)
    want = nn.functional.gelu(x.double(), approximate="tanh")
    assert (native.gate(x, None, constant, constant * 0.044715) - want).abs().max() < 1e-6


LOGITS = st.tuples(st.integers(1, 9), st.sampled_from([1, 5, 16, 31, 64, 65, 200, 4096]), st.sampled_from([0.1, 5.0, 300.0]))


@given(LOGITS, st.booleans(), st.integers(0, 9))
def test_moments_and_counts(shape: tuple[int, int, float], impossible: bool, seed: int):
    rows, columns, scale = shape
    logits = draw(rows, columns + 7, scale=scale, seed=seed)[:, :columns]  # with gaps between rows
    if impossible:
        logits[draw(rows, columns, seed=seed + 1) > 0.5] = -torch.inf
    found, want = moments(logits), in_passes(logits.double())
    assert torch.equal(found[0].double(), want[0])
    torch.testing.assert_close(found[1].double(), want[1], rtol=1e-6, atol=1e-30)
    # A term exp(d) · dⁿ has the rounding errors of d, which exp multiplies by d, of exp, of n products, and of its partial sum
    below = (logits.double() - want[0].clamp_min(-1e30)[:, None]).clamp_min(-100)
    for power in (1, 2):
        term = below.exp() * below.abs() ** power
        error = (found[1 + power].double() - want[1 + power]).abs()
        assert (error <= 2**-24 * (term * (below.abs() + 10 + columns / 64)).sum(-1) + 1e-30).all(), power
    than = logits[:, columns // 2]
    assert count_greater(logits, than).tolist() == (logits > than[:, None]).sum(-1).tolist()


@given(LOGITS, st.booleans(), st.integers(1, 8), st.integers(0, 9))
def test_sums_over_sets(shape: tuple[int, int, float], impossible: bool, sets: int, seed: int):
    rows, columns, scale = shape
    logits = draw(rows, columns + 7, scale=scale, seed=seed)[:, :columns]  # with gaps between rows
    if impossible:
        logits[draw(rows, columns, seed=seed + 1) > 0.5] = -torch.inf
    member_V = torch.randint(0, 1 << sets, (columns,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    top_MK, sum_MK = native.set_sums(logits, member_V, sets)
    for k in range(sets):
        want_MV = logits.double().masked_fill((member_V >> k & 1) == 0, -torch.inf)
        top_M = want_MV.amax(-1)
        assert torch.equal(top_MK[:, k].double(), top_M)
        want_M = (want_MV - top_M.clamp_min(-1e30)[:, None]).exp().sum(-1)
        torch.testing.assert_close(sum_MK[:, k].double(), want_M, rtol=1e-6, atol=1e-30)


def test_moments_of_rows_that_are_impossible_or_nan():
    logits = torch.stack([torch.full((20,), -torch.inf), torch.full((20,), torch.nan), torch.zeros(20)])
    top, total, dot, square = native.moments(logits)
    assert (top[0], total[0], dot[0], square[0]) == (-torch.inf, 0, 0, 0)
    assert total[1].isnan()
    assert (total[2], dot[2], square[2]) == (20, 0, 0)
    logits[2, 3] = torch.nan
    assert native.moments(logits)[1][2].isnan()


def test_a_certain_token_is_exactly_certain():
    """The weight of impossible tokens is exactly 0, and so is that of tokens below the range of float32."""
    for other in (-torch.inf, -1e4, -89.0):
        logits = torch.full((2, 37), other)
        logits[0, 3] = logits[1, 36] = 0
        for found in (moments(logits), in_passes(logits)) if other < -100 else (moments(logits),):
            assert [x.tolist() for x in found] == [[0, 0], [1, 1], [0, 0], [0, 0]]


@pytest.mark.skipif(not native.status().product, reason="no product of bfloat16 factors here")
@given(st.integers(1, 70), st.sampled_from([1, 31, 64, 65, 200]), st.sampled_from([2, 32, 34, 96, 576]))
def test_products_are_not_rounded_to_bfloat16_and_row_invariant(rows: int, columns: int, terms: int):
    hidden, weight = draw(rows, terms, dtype=torch.bfloat16), draw(columns, terms, dtype=torch.bfloat16, seed=1)
    out = torch.full((rows, columns + 3), 7.0)
    native.product(hidden, weight, out[:, :columns])
    want = hidden.double() @ weight.double().T
    assert (out[:, :columns] - want).abs().max() <= 1e-6 * (hidden.double().abs() @ weight.double().abs().T).max()
    assert (out[:, columns:] == 7).all()
    for first, last in ((rows - 1, rows), (rows // 2, rows), (0, rows // 2 + 1)):
        few = torch.empty(last - first, columns)
        native.product(hidden[first:last].contiguous(), weight, few)
        assert torch.equal(few, out[first:last, :columns])


@torch.inference_mode()
@pytest.mark.skipif(not native.status().product, reason="no product of bfloat16 factors here")
def test_a_head_of_bfloat16_uses_the_product(monkeypatch: pytest.MonkeyPatch):
    linear, hidden = nn.Linear(64, 300, bias=False).bfloat16(), draw(32, 64, dtype=torch.bfloat16)
    found, plain = torch.empty(32, 300), torch.empty(32, 300)
    LinearHead(linear).write(hidden, 0, found)
    monkeypatch.setattr(native_build, "status", lambda: native_build.Kernels(False, "left out"))
    LinearHead(linear).write(hidden, 0, plain)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
    assert not torch.equal(found, found.bfloat16().float())


# ── Attention ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def attention_by_chunks(forest, qkv: tuple[Tensor, Tensor, Tensor], rows: int, **options) -> dict[int, Tensor]:
    carry, module, found = KVCache(int(forest.depth_N.max()) + rows), nn.Module(), {}
    for chunk in chunks(forest, forest.depth_N > 0, rows):
        q, k, v = (x[chunk.node_R].transpose(0, 1)[None] for x in qkv)
        assert native.supports_attention(q[0], k[0].transpose(0, 1).contiguous(), v[0].transpose(0, 1).contiguous())
        layout = Layout(chunk, carry, torch.device("cpu"))
        out, _ = layout.as_current(
            partial(forest_attention, module, q, k, v, None, scaling=qkv[0].shape[-1] ** -0.5, **options)
        )
        assert not layout.sdpa.kinds  # PyTorch's kernels were not used
        carry.keep_path(chunk)
        found |= dict(zip(chunk.node_R.tolist(), out[0], strict=True))
    return found


def attention_by_path(
    forest, qkv: tuple[Tensor, Tensor, Tensor], node: int, window: int | None, softcap: float | None
) -> Tensor:
    path = lineage(forest, node, window)
    share = qkv[0].shape[1] // qkv[1].shape[1]
    key, value = (x[path].repeat_interleave(share, 1).double() for x in qkv[1:])
    scores = torch.einsum("hd,khd->hk", qkv[0][node].double(), key) * qkv[0].shape[-1] ** -0.5
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    return torch.einsum("hk,khd->hd", scores.softmax(-1), value)


def check(sequences, rows, window, softcap=None, heads=(4, 2), widths=(8, 8), dtype=torch.float32) -> dict[int, Tensor]:
    forest = build(sequences)
    sizes = ((heads[0], widths[0]), (heads[1], widths[0]), (heads[1], widths[1]))
    qkv = tuple(draw(len(forest), *size, dtype=dtype, seed=seed) for seed, size in enumerate(sizes))
    found = attention_by_chunks(forest, qkv, rows, sliding_window=window, softcap=softcap)
    for node, out in found.items():
        assert close(out, attention_by_path(forest, qkv, node, window, softcap)), (node, window)
    return found


@settings(max_examples=40)
@given(branching(), st.sampled_from([1, 2, 3, 7, 16, 512]), st.none() | st.integers(1, 6))
def test_attention_over_any_forest(sequences: list[list[int]], rows: int, window: int | None):
    check(sequences, rows, window)


@pytest.mark.parametrize("name", fixed())
@pytest.mark.parametrize("window", [None, 5, 64, 128, 150])
def test_attention_over_blocks_of_keys(name: str, window: int | None):
    check(fixed()[name], 100, window)


@pytest.mark.parametrize("scale", [1.0, 5.0, 20.0])
def test_a_softcap_loses_no_digits(scale: float):
    """A softcap of 50, as in Gemma 2, on small and large scores: about as far from float64 as without a softcap."""
    forest = build(fixed()["comb"])
    q, k, v = (draw(len(forest), heads, 16, dtype=torch.float32, seed=heads) for heads in (4, 2, 2))
    errors = {}
    for softcap in (None, 50.0):
        found = attention_by_chunks(forest, (scale * q, k, v), 100, softcap=softcap)
        exact = {node: attention_by_path(forest, (scale * q, k, v), node, None, softcap) for node in found}
        errors[softcap] = max(float((found[node] - exact[node]).abs().max()) for node in found)
    assert errors[50.0] <= 3 * errors[None]  # three more roundings; ten times as much where tanh cancels


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("heads", "widths"), [((1, 1), (5, 8)), ((9, 3), (64, 64)), ((7, 1), (16, 32)), ((50, 1), (24, 16))])
def test_attention_of_other_shapes(dtype: torch.dtype, heads: tuple[int, int], widths: tuple[int, int]):
    check(fixed()["comb"], 16, None, heads=heads, widths=widths, dtype=dtype)
    check(fixed()["comb"], 16, 7, softcap=0.9, heads=heads, widths=widths, dtype=dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("window", [None, 40, 200])
def test_attention_has_the_same_bits_in_any_chunk(dtype: torch.dtype, window: int | None):
    name = "candidates"
    whole = check(fixed()[name], 4096, window, dtype=dtype)
    for rows in (1, 37, 130):
        parts = check(fixed()[name], rows, window, dtype=dtype)
        assert all(torch.equal(parts[node], out) for node, out in whole.items())


def test_scores_that_underflow_do_not_affect_others():
    """A key that outweighs all others by e^500, and one whose weight underflows."""
    query, key, value = torch.ones(1, 1, 3, 8), torch.ones(1, 1, 3, 8), draw(1, 1, 3, 8)
    key[0, 0, 1] *= 60
    forest = build([[0, 1, 2, 3]])
    (chunk,) = chunks(forest, forest.depth_N > 0, 3)
    layout = Layout(chunk, KVCache(6), torch.device("cpu"))
    out, _ = layout.as_current(partial(forest_attention, nn.Module(), query, key, value, None, scaling=1.0))
    assert torch.equal(out[0, :, 0], value[0, 0, [0, 1, 1]])


# ── Availability ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`build.status` without its cache, with an empty cache folder."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    return native_build.status.__wrapped__


def test_kernels_switched_off_by_the_environment(fresh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_NATIVE", "0")
    assert (bool(fresh()), fresh().reason) == (False, "CHAINRULE_NATIVE=0 leaves the compiled kernels out")


def test_without_a_compiler(fresh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert not fresh()
    assert "no C compiler" in fresh().reason


def test_on_another_system(fresh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(native_build.platform, "system", lambda: "Darwin")
    assert "not Darwin" in fresh().reason


@pytest.mark.parametrize("march", ["x86-64-v3", "x86-64-v4"])
def test_kernels_compile_for_older_processors_without_a_warning(march: str, tmp_path: Path):
    flags = [flag for flag in native_build.FLAGS if not flag.startswith("-march")]
    command = [
        "cc",
        *flags,
        f"-march={march}",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        tmp_path / "k.so",
        *native_build.SOURCES.glob("*.c"),
        "-lm",
    ]
    subprocess.run([*map(str, command)], check=True, env=dict(os.environ))


def test_a_model_reports_whether_it_has_kernels(tiny: LanguageModel, abc: LanguageModel):
    assert tiny.kernels
    assert tiny.kernels.reason.startswith("compiled by ")
    assert not abc.kernels


def test_tensors_that_need_gradients_are_not_supported():
    weight = nn.Parameter(torch.ones(8))
    assert not native.supports(torch.ones(2, 8), weight)
    with torch.no_grad():
        assert native.supports(torch.ones(2, 8), weight)
    assert np.isfinite(native.rms_norm(torch.ones(2, 8), weight.detach(), 1e-6).numpy()).all()
