"""Row-invariant products, against one product of a whole block."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from chainrule.ops import matmul, native
from chainrule.ops.library import build
from chainrule.ops.matmul import IN_LANES, ROW_COUNTS, ROWS, Kind, SameBits, blocks, rowwise

TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@pytest.fixture(scope="module", autouse=True, params=["own", "library"])
def of_float32(request: pytest.FixtureRequest) -> Iterator[None]:
    """Products of float32 by our kernel, on every processor, and by PyTorch's library."""
    kernels = build.status()
    if request.param == "own" and not kernels:
        pytest.skip(f"no compiled kernels: {kernels.reason}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "status", lambda: replace(kernels, matmul=request.param == "own"))
        yield


def weights(dtype: torch.dtype, bias: bool, terms: int = 96, columns: int = 40) -> tuple[torch.Tensor, torch.Tensor | None]:
    draw = torch.Generator().manual_seed(3)
    weight_MK = torch.randn(columns, terms, generator=draw).to(dtype)
    return weight_MK.T, torch.randn(columns, generator=draw).to(dtype) if bias else None


@given(st.integers(1, 2 * ROWS + 50), st.sampled_from(TYPES), st.booleans(), st.randoms(use_true_random=False))
def test_a_row_has_the_same_bits_with_any_other_rows(rows: int, dtype: torch.dtype, bias: bool, random):
    weight_KM, bias_M = weights(dtype, bias)
    x_NK = torch.randn(rows, 96, generator=torch.Generator().manual_seed(random.randrange(99))).to(dtype)
    all_NM = rowwise(x_NK, weight_KM, bias_M)
    row = random.randrange(rows)
    some = slice(row, row + random.randrange(1, 70))
    assert torch.equal(rowwise(x_NK[some], weight_KM, bias_M), all_NM[some])


@pytest.mark.parametrize("dtype", TYPES)
def test_the_values_are_those_of_the_product(dtype: torch.dtype):
    weight_KM, bias_M = weights(dtype, bias=True)
    x_NK = torch.randn(2, 71, 96).to(dtype)
    torch.testing.assert_close(rowwise(x_NK, weight_KM, bias_M), nn.functional.linear(x_NK, weight_KM.T, bias_M))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_narrow_types_without_arithmetic_are_computed_in_float32(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, bias: bool, transposed: bool
):
    monkeypatch.setattr(matmul, "computed_in_float32", lambda x: x.dtype == dtype)
    monkeypatch.setattr(matmul, "WIDENED", 96 * 128)  # 128 and 72 columns at a time
    weight_KM, bias_M = weights(dtype, bias, columns=200)
    weight_KM = weight_KM if transposed else weight_KM.contiguous()
    x_NK = torch.randn(71, 96, generator=torch.Generator().manual_seed(1)).to(dtype)
    exact_NM = x_NK.double() @ weight_KM.double() + (0.0 if bias_M is None else bias_M.double())
    for out_NM in (None, torch.full((71, 203), torch.nan, dtype=dtype)[:, 1:201]):
        found_NM = matmul.plain_product(x_NK, weight_KM, bias_M, out_NM)
        assert found_NM.dtype == dtype
        assert out_NM is None or found_NM is out_NM
        unit_NM = 2.0 ** exact_NM.abs().log2().floor() * torch.finfo(dtype).eps  # of the last digit
        assert ((found_NM.double() - exact_NM).abs() <= 0.5 * unit_NM + 1e-4).all()  # rounded once


def test_rows_need_not_be_contiguous():
    weight_KM, bias_M = weights(torch.float32, bias=True)
    x_KN = torch.randn(96, 50)
    assert torch.equal(rowwise(x_KN.T, weight_KM, bias_M), rowwise(x_KN.T.contiguous(), weight_KM, bias_M))
    assert torch.equal(rowwise(x_KN.T[:, ::2], weight_KM[::2]), rowwise(x_KN.T[:, ::2].contiguous(), weight_KM[::2]))


def test_blocks_hold_all_rows_with_little_padding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matmul, "_agrees", lambda rows, kind: rows in (16, 32, 256, ROWS))
    kind = Kind(8, 8, torch.float32, False, True, ROWS, 77)
    for rows in range(1, 2 * ROWS + 1):
        sizes = blocks(rows, kind)
        assert set(sizes) <= {16, 32, 256, ROWS}
        assert sum(sizes) >= rows > sum(sizes) - max(sizes)  # no block is without a row
    assert blocks(45, kind) == [16, 32]
    assert blocks(ROWS + 250, kind) == [ROWS, 256]


def test_without_an_agreeing_number_of_rows_blocks_are_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matmul, "_agrees", lambda rows, kind: False)
    assert blocks(5, Kind(8, 8, torch.float32, False, True, ROWS, 78)) == [ROWS]


def test_a_trial_detects_another_order_of_summation(monkeypatch: pytest.MonkeyPatch):
    """A kernel that sums in two halves for few rows."""
    own = matmul.plain_product

    def halves(x_NK, weight_KM, bias_M, out_NM=None):
        if len(x_NK) > 64:
            return own(x_NK, weight_KM, bias_M, out_NM)
        half = x_NK.shape[1] // 2
        return x_NK[:, :half] @ weight_KM[:half] + x_NK[:, half:] @ weight_KM[half:]

    monkeypatch.setattr(matmul, "plain_product", halves)
    for dtype in (torch.float32, torch.bfloat16):
        kind = Kind(96, 40, dtype, False, True, ROWS, 79)
        assert [count for count in ROW_COUNTS if matmul._agrees(count, kind)][:1] > [64]


def test_a_trial_detects_a_dependence_on_the_row_number(monkeypatch: pytest.MonkeyPatch):
    def uneven(x_NK, weight_KM, bias_M, out_NM=None):
        y_NM = x_NK @ weight_KM
        y_NM[20::7] += 1e-6
        return y_NM

    monkeypatch.setattr(matmul, "plain_product", uneven)
    assert matmul._trial(ROWS, Kind(96, 40, torch.float32, False, True, ROWS, 80)) is None


def test_layers_are_intercepted_however_they_are_called():
    layer, x_NK = nn.Linear(96, 40), torch.randn(100, 96)
    conv = torch.randn(96, 40)
    with torch.inference_mode(), SameBits():
        whole = layer(x_NK), nn.functional.linear(input=x_NK, weight=layer.weight), torch.addmm(layer.bias, x_NK, conv)
        one = (
            layer(x_NK[:3]),
            nn.functional.linear(input=x_NK[:3], weight=layer.weight),
            torch.addmm(layer.bias, x_NK[:3], conv),
        )
    assert all(torch.equal(a[:3], b) for a, b in zip(whole, one, strict=True))


@pytest.mark.skipif(not native.status(), reason="no compiled kernels here")
@given(st.integers(1, IN_LANES), st.sampled_from([(96, 40), (576, 192), (800, 17), (1536, 30)]))
def test_the_kernel_for_few_rows_has_the_bits_of_a_full_block(rows: int, shape: tuple[int, int]):
    """Where the order of a full block is found, the kernel computes it; elsewhere products are padded."""
    weight_KM, _ = weights(torch.float32, False, *shape)
    x_NK = torch.randn(rows, shape[0], generator=torch.Generator().manual_seed(rows))
    full_NM = matmul.plain_product(nn.functional.pad(x_NK, (0, 0, 0, ROWS - rows)), weight_KM, None)[:rows]
    assert torch.equal(rowwise(x_NK, weight_KM), full_NM)


@pytest.mark.skipif(not native.status(), reason="no compiled kernels here")
def test_another_order_of_summation_is_not_taken(monkeypatch: pytest.MonkeyPatch):
    """Backwards, term by term."""
    monkeypatch.setattr(matmul, "plain_product", lambda x_NK, weight_KM, *others: x_NK.flip(1) @ weight_KM.flip(0))
    assert matmul._terms_of_sums(Kind(93, 40, torch.float32, False, True, ROWS, 1)) == 0
