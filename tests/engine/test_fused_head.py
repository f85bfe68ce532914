"""The fused head against the definition in float64. Without a GPU its kernels run in Triton's interpreter, on tiny tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import compiled, interpreted
from oracle import entropy, log_softmax, most_probable_ids, rank, variance
from torch import Tensor, nn

from chainrule.engine.head import fused, launch
from chainrule.engine.head.asked import AskedTokens
from chainrule.engine.head.fused import read_fused, reduce_fused, supports
from chainrule.engine.head.launch import Tile
from chainrule.engine.head.readout import read, reduce
from chainrule.engine.head.reductions import Asked, Columns, Rank, SetMass, Target, TopK, factor_reductions, merged
from chainrule.models.head import IdentityHead, LinearHead
from chainrule.ops import gpu, transfer
from chainrule.text.token_sets import TokenSets
from chainrule.verdict import Verdict

pytest.importorskip("triton", reason="the fused head needs Triton")
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
needs_cuda = pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")  # the interpreter computes masked-out values too


class OneOrder:
    """NumPy, as the interpreter uses it, with products that are summed term by term.

    On some processors, bits of BLAS products depend on the row and column, which would hide whether those of the kernels do.
    """

    def __getattr__(self, name: str):
        return getattr(np, name)

    @staticmethod
    def matmul(a_MK: np.ndarray, b_KN: np.ndarray, dtype: np.dtype) -> np.ndarray:
        return (a_MK.astype(dtype)[:, :, None] * b_KN.astype(dtype)[None]).sum(1)


@pytest.fixture(autouse=True, scope="module")
def tiny_tiles():
    """Without a GPU: the interpreter for this module alone, and tiles and splits so small that small matrices have several."""
    with pytest.MonkeyPatch.context() as patch:
        if not CUDA:
            interpreted(patch)
            patch.setattr("triton.runtime.interpreter.np", OneOrder())
            patch.setattr(launch, "TILES", dict.fromkeys((2, 4), Tile(16, 16, 1, 1)))
            patch.setattr(launch, "SPLIT", 32)
            patch.setattr(fused, "TARGETS", 2)
        yield


@dataclass
class Case:
    """A head, hidden states, and the factors that are read."""

    head: LinearHead
    hidden_RH: Tensor
    row_F: Tensor
    token_F: Tensor

    def read(self, top: int = 0, some: Tensor | None = None) -> Columns:
        row_F, token_F = (self.row_F, self.token_F) if some is None else (self.row_F[some], self.token_F[some])
        return read_fused(self.head, self.hidden_RH, row_F, token_F, top)

    def logits(self) -> np.ndarray:
        """R × V, in float64."""
        head = self.head
        logits_RV = self.hidden_RH.double() @ head.linear.weight.double().T
        if head.linear.bias is not None:
            logits_RV = logits_RV + head.linear.bias.double()
        logits_RV = logits_RV * head.scale
        if head.softcap is not None:
            logits_RV = torch.tanh(logits_RV / head.softcap) * head.softcap
        return logits_RV.detach().cpu().numpy()


def case(
    rows: int, size: int, width: int, factors: int, dtype: torch.dtype = torch.float32, whole: bool = False,
    impossible: float = 0, scale: float = 1.0, softcap: float | None = None, seed: int = 0,
) -> Case:  # fmt: skip
    """`whole`: with small integers, so that logits are exact, and many are equal."""
    random = np.random.default_rng(seed)
    draw = (lambda *shape: random.integers(-1, 2, shape)) if whole else (lambda *shape: random.normal(0, 1, shape))
    linear = nn.Linear(width, size, bias=impossible > 0)
    linear.weight.data = torch.from_numpy(draw(size, width) * 1.0).to(dtype)
    if impossible:
        bias_V = draw(size) * 1.0
        bias_V[random.random(size) < impossible] = -np.inf
        bias_V[random.integers(size)] = 0
        linear.bias.data = torch.from_numpy(bias_V).to(dtype)
    hidden_RH = torch.from_numpy(draw(rows, width) * 1.0).to(DEVICE, dtype)
    row_F = torch.from_numpy(np.sort(random.integers(0, rows, factors))).to(DEVICE)
    token_F = torch.from_numpy(random.integers(0, size, factors)).to(DEVICE)
    return Case(LinearHead(linear.to(DEVICE), scale, softcap), hidden_RH, row_F, token_F)


def check(this: Case, result: Columns, top: int, atol: float) -> None:
    logits_RV = this.logits()
    for f, (row, token) in enumerate(zip(this.row_F.tolist(), this.token_F.tolist(), strict=True)):
        want_V = log_softmax(logits_RV[row])
        np.testing.assert_allclose(result["logprobs"][f].item(), want_V[token], rtol=0, atol=atol)
        np.testing.assert_allclose(result["entropies"][f].item(), entropy(want_V), rtol=0, atol=10 * atol)
        check_variance(result["logprob_variances"][f].item(), want_V, atol)
        assert result["ranks"][f].item() == rank(logits_RV[row], token)
        ids = result["top_ids"][f].tolist()
        assert len(set(ids)) == len(ids) == top
        np.testing.assert_allclose(result["top_logprobs"][f].cpu(), want_V[ids], rtol=0, atol=atol)
        np.testing.assert_array_equal(logits_RV[row][ids], np.sort(logits_RV[row])[::-1][:top])


def check_variance(found: float, want_V: np.ndarray, atol: float) -> None:
    """An error a of each logit moves the variance by at most a · Σ p |(log p − mean)² − variance + 2 (log p − mean)|."""
    want, from_mean_V = variance(want_V), np.where(np.isinf(want_V), 0, want_V + entropy(want_V))
    reach = np.exp(want_V) @ (from_mean_V**2 + want + 2 * np.abs(from_mean_V))
    # The sums are around the largest logit: their terms have errors of a few units in the last place of p · (log p − largest)²
    around = np.exp(want_V) @ np.where(np.isinf(want_V), 0, want_V - want_V.max()) ** 2
    np.testing.assert_allclose(found, want, rtol=0, atol=atol * reach + 1e-6 * around)


def test_equal_and_certain_probabilities_have_no_variance():
    this = case(3, 75, 4, 3, impossible=1)
    bias_V = this.head.linear.bias.data
    for level in (0.0, 1e4, -1e4):
        this.head.linear.weight.data[:], bias_V[:] = 0, level
        result = this.read()
        assert result["logprob_variances"].tolist() == [0, 0, 0]
        np.testing.assert_allclose(result["entropies"].cpu(), np.log(75), rtol=1e-7)
        bias_V[:70] = -torch.inf if level else -1e5
        bias_V[72:] = -torch.inf
        result = this.read()
        assert result["logprob_variances"].tolist() == [0, 0, 0]
        np.testing.assert_allclose(result["entropies"].cpu(), np.log(2), rtol=1e-7)


DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


@settings(max_examples=25)
@given(st.data())
def test_any_head(data: st.DataObject):
    """With equal logits, impossible tokens and whole splits of them, and several factors per row."""
    size = data.draw(st.integers(1, 80), "size")
    top = data.draw(st.integers(0, min(3, size)), "top")
    this = case(
        data.draw(st.integers(1, 20), "rows"), size, data.draw(st.integers(1, 35), "width"),
        data.draw(st.integers(1, 30), "factors"), data.draw(DTYPES, "dtype"), True,
        data.draw(st.sampled_from([0, 0.1, 0.9, 1]), "impossible"), data.draw(st.sampled_from([1.0, 0.5, 3.0]), "scale"),
        data.draw(st.sampled_from([None, 16.0]), "softcap"), data.draw(st.integers(0, 99), "seed"),
    )  # fmt: skip
    check(this, this.read(top), top, 2e-6 * max(1, np.nanmax(np.abs(np.nan_to_num(this.logits(), neginf=0)))))


@settings(max_examples=15)
@given(st.integers(1, 80), st.integers(1, 4), DTYPES, st.sampled_from([0, 0.5, 1]), st.integers(0, 99))
def test_equal_logits_are_ordered_by_id(size: int, top: int, dtype: torch.dtype, impossible: float, seed: int):
    """Within a tile, and in tiles and splits that come later; and the first k are the same for every k."""
    top = min(top, size)
    this = case(4, size, 3, 8, dtype, True, impossible, seed=seed)
    found, logits_RV = this.read(top), this.logits().tolist()
    assert found["top_ids"].tolist() == [most_probable_ids(logits_RV[row], top) for row in this.row_F.tolist()]
    for fewer in range(1, top):
        some = this.read(fewer)
        assert all(some[name].equal(found[name][:, :fewer]) for name in ("top_ids", "top_logprobs"))


@pytest.mark.parametrize("softcap", [None, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_real_numbers(dtype: torch.dtype, softcap: float | None):
    """As accurate as the plain readout, also for small logits under a softcap."""
    this = case(20, 75, 33, 30, dtype, softcap=softcap, scale=0.3)
    check(this, this.read(3), 3, 2e-6)
    plain, result = read(this.head, this.hidden_RH, this.row_F, this.token_F, 3), this.read(3)
    for name, want in plain.items():
        np.testing.assert_allclose(result[name].cpu(), want.cpu(), rtol=0, atol=1e-5, err_msg=name)


def test_small_logits_under_a_softcap_keep_their_digits():
    """A tanh computed as a quotient alone has an error of 30 · 6e-8, which is as large as these logits."""
    this = case(3, 40, 8, 12, scale=1e-5, softcap=30.0)
    result, logits_RV = this.read(), this.logits()
    row_F, token_F = this.row_F.cpu(), this.token_F.cpu()
    want_F = np.stack([log_softmax(z) for z in logits_RV])[row_F, token_F]
    np.testing.assert_allclose(result["logprobs"].cpu(), want_F, rtol=0, atol=2e-7)
    assert result["ranks"].tolist() == [rank(logits_RV[r], t) for r, t in zip(row_F.tolist(), token_F.tolist(), strict=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bits_of_a_row_do_not_depend_on_other_rows(dtype: torch.dtype):
    this = case(40, 75, 33, 60, dtype, softcap=20.0)
    result = this.read(2)
    for row in this.row_F.unique().tolist():
        some = this.row_F == row
        for name, alone in this.read(2, some).items():
            assert torch.equal(alone, result[name][some]), name


def test_the_bits_do_not_depend_on_how_the_rows_are_sliced(monkeypatch: pytest.MonkeyPatch):
    this = case(40, 75, 33, 60)
    result = this.read(2)
    monkeypatch.setattr(launch, "PARTIALS", 1)
    for name, again in this.read(2).items():
        assert torch.equal(again, result[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_target_has_the_same_bits_as_in_the_sweep(dtype: torch.dtype):
    """The top token's logit comes from a tile of the sweep, a factor's from a diagonal: equal to the last bit."""
    this = case(40, 75, 33, 1, dtype, softcap=20.0)
    rows = torch.arange(40, device=DEVICE)
    best_R = read_fused(this.head, this.hidden_RH, rows, torch.zeros_like(rows), 1)["top_ids"][:, 0]
    result = read_fused(this.head, this.hidden_RH, rows, best_R, 1)
    assert result["top_ids"][:, 0].equal(best_R)
    assert result["logprobs"].equal(result["top_logprobs"][:, 0])
    assert result["ranks"].eq(1).all()


def test_numbers_of_a_chunk_are_sent_in_one_copy(monkeypatch: pytest.MonkeyPatch):
    """Rows, tokens and sets in one copy, whatever the number of factors of a row; asked tokens in a second one."""
    this, copies = case(6, 70, 33, 50), []
    sets, asked = TokenSets.of([np.arange(9)], 70), AskedTokens.of([np.array([3, 5])] * 50, np.zeros((50, 0)))
    arguments = this.head, this.hidden_RH, this.row_F.cpu(), this.token_F.cpu(), factor_reductions(2, sets, asked)
    want = merged(reduce_fused(*arguments))
    monkeypatch.setattr(transfer, "on_cpu", lambda device: False)
    monkeypatch.setattr(transfer, "on", lambda x, device: copies.append(x) or x.to(device))
    found = merged(reduce_fused(*arguments))
    assert len(copies) == 2
    assert all(found[name].equal(want[name]) for name in want)


def test_tokens_with_equal_weights_share_a_rank():
    this = case(6, 70, 33, 1)
    this.head.linear.weight.data[35:] = this.head.linear.weight.data[:35]
    row_F = torch.arange(6, device=DEVICE).repeat_interleave(70)
    rank_RV = read_fused(this.head, this.hidden_RH, row_F, torch.arange(70, device=DEVICE).repeat(6))["ranks"].view(6, 70)
    assert rank_RV[:, :35].equal(rank_RV[:, 35:])
    assert rank_RV[:, :35].sort().values.tolist() == [list(range(1, 71, 2))] * 6


def test_nan_stays_in_its_row():
    this = case(4, 40, 8, 12)
    this.hidden_RH[2] = torch.nan
    result = this.read()
    assert result["logprobs"].isnan().equal(this.row_F == 2)


def test_no_factors():
    this = case(2, 5, 3, 0)
    result = this.read(2)
    assert len(result["logprobs"]) == len(result["ranks"]) == 0
    assert result["top_ids"].shape == result["top_logprobs"].shape == (0, 2)


def supported(head: object, top: int = 0) -> Verdict:
    return supports(head, factor_reductions(top))


def test_unsupported_heads_and_reductions_are_reported(monkeypatch: pytest.MonkeyPatch):
    head = case(1, 40, 8, 1).head
    assert supported(head)
    assert supported(head, fused.MOST_TOP)
    assert "at most 16 alternatives, not 17" in supported(head, fused.MOST_TOP + 1).reason
    assert "at most 5 alternatives, not 6" in supported(case(1, 5, 8, 1).head, 6).reason
    assert "weights of torch.float64" in supported(case(1, 40, 8, 1, torch.float64).head).reason
    assert "this is IdentityHead" in supported(IdentityHead(40, torch.float32)).reason
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert "Triton does not run" in supported(head).reason


def test_some_reductions_in_another_order():
    this = case(9, 40, 8, 30)
    want = this.read(3)
    rank, top_1, target, top_3 = reduce_fused(
        this.head, this.hidden_RH, this.row_F, this.token_F, [Rank(), TopK(1), Target(), TopK(3)]
    )
    assert rank["ranks"].equal(want["ranks"])
    assert target["logprobs"].equal(want["logprobs"])
    assert top_1["top_ids"].equal(want["top_ids"][:, :1])
    assert top_3["top_ids"].equal(want["top_ids"])
    assert top_3["top_logprobs"].equal(want["top_logprobs"])


@pytest.mark.skipif(CUDA, reason="a GPU has the kernels")
def test_cpu_tensors_need_the_interpreter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    assert not supported(case(1, 40, 8, 1).head)


def test_the_kernels_compile_for_an_h100(pytestconfig: pytest.Config):
    """Without a GPU: within its shared memory, with the same product instruction in all kernels of a type."""
    sizes = compiled("head", pytestconfig)
    assert len(sizes) == 11
    assert all(size["shared"] <= 227 * 1024 for size in sizes.values())
    for dtype, products in {"bf16": "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", "fp32": "fma.rn.f32"}.items():
        assert [size["products"] for name, size in sizes.items() if name.endswith(dtype)] == [[products]] * 5


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
@pytest.mark.parametrize("impossible", [0, 0.9])
def test_masses_of_sets(temperature: float, impossible: float):
    """Overlapping sets, an empty one, one of a single token; far below the most probable token, and impossible."""
    this = case(20, 75, 33, 30, impossible=impossible, scale=9.0)
    ids = [np.arange(0, 75, 2), np.arange(30), np.zeros(0, np.int64), np.array([7]), np.arange(75)]
    sets = TokenSets.of(ids, 75)
    arguments = this.head, this.hidden_RH, this.row_F, this.token_F
    [mass] = reduce_fused(*arguments, [SetMass(sets)], temperature)
    logits_RV = this.logits()
    atol = 2e-6 * np.abs(np.nan_to_num(logits_RV, neginf=0)).max() / min(1, temperature)  # logits are rounded to float32
    for f, row in enumerate(this.row_F.tolist()):
        logprob_V = log_softmax(logits_RV[row] / temperature)
        want_J = [np.logaddexp.reduce(logprob_V[own], initial=-np.inf) for own in ids]
        np.testing.assert_allclose(mass["set_logprobs"][f].cpu(), want_J, rtol=0, atol=atol)
    some = this.row_F == this.row_F[4]
    [alone] = reduce_fused(this.head, this.hidden_RH, this.row_F[some], this.token_F[some], [SetMass(sets)], temperature)
    assert torch.equal(alone["set_logprobs"], mass["set_logprobs"][some])
    [_, *together] = reduce_fused(*arguments, [SetMass(sets), *factor_reductions(3)], temperature)
    want = merged(reduce_fused(*arguments, factor_reductions(3), temperature))
    assert all(column.equal(want[name]) for part in together for name, column in part.items() if name != "set_logprobs")


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_real_vocabulary_on_cuda(dtype: torch.dtype):
    this = case(300, 50_257, 768, 500, dtype, scale=0.1)
    result, plain = this.read(5), read(this.head, this.hidden_RH, this.row_F, this.token_F, 5)
    np.testing.assert_allclose(result["logprobs"].cpu(), plain["logprobs"].cpu(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(result["entropies"].cpu(), plain["entropies"].cpu(), rtol=0, atol=1e-3)
    np.testing.assert_allclose(result["logprob_variances"].cpu(), plain["logprob_variances"].cpu(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(result["top_logprobs"].cpu(), plain["top_logprobs"].cpu(), rtol=0, atol=1e-4)
    # Logits differ in their last bits, so a few neighbours swap ranks.
    assert (result["ranks"] - plain["ranks"]).abs().max() <= 20
    some = this.row_F == this.row_F[100]
    for name, alone in this.read(5, some).items():
        assert torch.equal(alone, result[name][some]), name


@pytest.mark.parametrize("temperature", [1 / 16, 0.7, 3.0, 16.0])
@pytest.mark.parametrize("impossible", [0, 0.5])
def test_a_temperature(temperature: float, impossible: float):
    """Ranks of the logits, and all else of the logits divided by the temperature, also with impossible tokens."""
    this = case(20, 75, 33, 30, impossible=impossible, softcap=30.0, scale=0.3)
    result = read_fused(this.head, this.hidden_RH, this.row_F, this.token_F, 3, temperature)
    logits_RV, atol = this.logits(), 2e-6 / min(1, temperature)
    for f, (row, token) in enumerate(zip(this.row_F.tolist(), this.token_F.tolist(), strict=True)):
        want_V = log_softmax(logits_RV[row] / temperature)
        np.testing.assert_allclose(result["logprobs"][f].item(), want_V[token], rtol=0, atol=atol)
        np.testing.assert_allclose(result["entropies"][f].item(), entropy(want_V), rtol=0, atol=10 * atol)
        check_variance(result["logprob_variances"][f].item(), want_V, atol)
        np.testing.assert_allclose(result["top_logprobs"][f].cpu(), want_V[result["top_ids"][f].cpu()], rtol=0, atol=atol)
        assert result["ranks"][f].item() == rank(logits_RV[row], token)
    plain = read(this.head, this.hidden_RH, this.row_F.cpu(), this.token_F, 3, temperature=temperature)
    for name in ("logprobs", "entropies", "logprob_variances", "top_logprobs"):
        np.testing.assert_allclose(result[name].cpu(), plain[name].cpu(), rtol=0, atol=10 * atol)


def test_temperatures_beyond_float32_are_left_to_the_plain_readout():
    this = case(4, 20, 8, 5)
    for temperature in (1e-3, 1e30, 5e-324):
        assert "temperatures from 0.0625 to 16" in supports(this.head, factor_reductions(0), temperature).reason


def test_the_fused_head_reads_targets_and_leaves_draws_to_the_plain_one():
    this = case(20, 75, 33, 30, scale=2.0)
    lists = [np.arange(f % 4) * 7 for f in range(len(this.row_F))]
    asked = AskedTokens.of(lists, np.zeros((len(lists), 0)))
    arguments = this.head, this.hidden_RH, this.row_F, this.token_F, [Asked(asked)]
    for temperature in (1.0, 0.7):
        [fused], [plain] = (compute(*arguments, temperature=temperature) for compute in (reduce_fused, reduce))
        assert fused["asked_ids"].tolist() == plain["asked_ids"].tolist() == np.concatenate(lists).tolist()
        np.testing.assert_allclose(fused["asked_logprobs"].cpu(), plain["asked_logprobs"].cpu(), rtol=0, atol=2e-5)
    drawing = AskedTokens.of(lists, np.full((len(lists), 1), 0.5))
    assert supports(this.head, [Asked(asked)])
    assert "no logits to draw tokens from" in supports(this.head, [Asked(drawing)]).reason
