"""The readout and its reductions against slow definitions."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import entropy, log_softmax, rank, variance

from chainrule.engine.head import readout
from chainrule.engine.head.fused import supports
from chainrule.engine.head.readout import read, reduce
from chainrule.engine.head.reductions import Block, Columns, Reduction, SetMass, Target, TopK, factor_reductions, merged
from chainrule.models.head import TILE, IdentityHead
from chainrule.ops import native
from chainrule.text.token_sets import TokenSets

LOGITS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(2, 9)),
    elements=st.integers(-3, 3).map(float) | st.floats(-50, 50) | st.just(-np.inf),
).filter(lambda z: (z > -np.inf).any(1).all())


class Tiled(IdentityHead):
    """An identity head that writes three columns at a time, or as many as `tile`."""

    def __init__(self, size: int, dtype: torch.dtype = torch.float64, tile: int = 3) -> None:
        super().__init__(size, dtype)
        self.tile = tile


def read_all(logits_RV: np.ndarray, top: int = 0, tiled: bool = True):
    """The factor of every token at every row."""
    rows, size = logits_RV.shape
    head = Tiled(size) if tiled else IdentityHead(size, torch.float64)
    row_F, token_F = torch.arange(rows).repeat_interleave(size), torch.arange(size).repeat(rows)
    return read(head, torch.from_numpy(logits_RV), row_F, token_F, top)


@given(LOGITS, st.booleans())
def test_every_factor_of_every_row(logits_RV: np.ndarray, tiled: bool):
    """With ties, impossible tokens and whole tiles of them, tile by tile or in one tile."""
    result, size = read_all(logits_RV, tiled=tiled), logits_RV.shape[1]
    logprobs = np.concatenate([log_softmax(z) for z in logits_RV])
    np.testing.assert_allclose(result["logprobs"], logprobs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        result["entropies"], np.repeat([entropy(log_softmax(z)) for z in logits_RV], size), rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(
        result["logprob_variances"], np.repeat([variance(log_softmax(z)) for z in logits_RV], size), rtol=1e-11, atol=1e-11
    )
    assert result["ranks"].tolist() == [rank(z, v) for z in logits_RV for v in range(size)]


@given(LOGITS)
def test_the_top_tokens_are_the_most_probable(logits_RV: np.ndarray):
    result, size = read_all(logits_RV, top=2), logits_RV.shape[1]
    for row, z in enumerate(logits_RV):
        np.testing.assert_allclose(result["top_logprobs"][row * size], np.sort(log_softmax(z))[::-1][:2], rtol=0, atol=1e-12)
        ids = result["top_ids"][row * size].tolist()
        assert sorted(z[ids], reverse=True) == z[ids].tolist() == sorted(z, reverse=True)[:2]
        assert len(set(ids)) == 2


def test_equal_logits_share_a_rank_whether_the_row_branches_or_not():
    logits = np.array([[1.0, 2.0, 2.0, 0.0, 2.0]])
    assert read_all(logits)["ranks"].tolist() == [4, 1, 1, 5, 1]
    for token, want in enumerate([4, 1, 1, 5, 1]):
        single = read(Tiled(5), torch.from_numpy(logits), torch.tensor([0]), torch.tensor([token]))
        assert single["ranks"].tolist() == [want]


def test_more_rows_than_fit_in_a_block(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readout, "BLOCK", 16)
    logits = np.random.default_rng(0).normal(0, 3, (100, 5))
    result = read_all(logits)
    np.testing.assert_allclose(result["logprobs"].reshape(100, 5), [log_softmax(z) for z in logits], rtol=0, atol=1e-12)


def test_rows_without_factors_are_not_read():
    logits = np.full((4, 3), np.nan)
    logits[2] = [1, 2, 3]
    result = read(Tiled(3), torch.from_numpy(logits), torch.tensor([2]), torch.tensor([0]))
    assert result["logprobs"].tolist() == pytest.approx([log_softmax([1, 2, 3])[0]])


def test_large_logits_do_not_overflow():
    result = read_all(np.array([[1e4, 1e4 - 1, -1e4]]))
    np.testing.assert_allclose(result["logprobs"], log_softmax([1e4, 1e4 - 1, -1e4]), rtol=0, atol=1e-12)


def test_float32_logits_are_normalised_in_float64():
    logits = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(0))
    result = read(IdentityHead(50_000, torch.float32), logits, torch.tensor([0]), torch.tensor([3]))
    assert result["logprobs"].dtype == torch.float64
    assert result["logprobs"].item() == pytest.approx(log_softmax(logits[0].double().numpy())[3], abs=1e-6)


def spread(logits_MV: torch.Tensor, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The entropies and the variances of log Pr of all rows."""
    row_F, head = torch.arange(len(logits_MV)), Tiled(logits_MV.shape[1], logits_MV.dtype, TILE)
    columns = read(head, logits_MV, row_F, row_F * 0, temperature=temperature)
    return columns["entropies"].numpy(), columns["logprob_variances"].numpy()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
def test_equal_and_certain_probabilities_have_no_variance(dtype: torch.dtype, temperature: float):
    """Exactly 0, in one tile and in several, far from 0, among impossible tokens, and above tokens that round to 0."""
    size = 2 * TILE + 5
    for level in (0.0, 1e4, -1e4, 0.1, -3.7):
        equal, some, certain, peaked = (torch.full((size,), x, dtype=dtype) for x in (level, -torch.inf, -torch.inf, -1e5))
        some[::7] = certain[size - 2] = peaked[3] = level
        entropies, variances = spread(torch.stack([equal, some, certain, peaked]), temperature)
        assert variances.tolist() == [0, 0, 0, 0]
        np.testing.assert_allclose(entropies[:2], np.log([size, len(some[::7])]), rtol=1e-15)
        assert entropies[2:].tolist() == [0, 0]
        assert not np.signbit(entropies).any()


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_entropy_and_variance_of_float32_logits(
    kernels: bool, temperature: float, scale: float, offset: float, monkeypatch: pytest.MonkeyPatch
):
    """Against float64: sums around the largest logit of a tile, with relative errors of a few units in the last place."""
    if not kernels:
        monkeypatch.setattr(native, "supports_rows", lambda _: False)
    logits_MV = torch.randn(5, 2 * TILE + 5, generator=torch.Generator().manual_seed(0)) * scale + offset
    logits_MV[1, ::3], logits_MV[2, 5] = -torch.inf, offset + 8 * scale
    logits_MV[3, :TILE] = -torch.inf
    for z, *found in zip(logits_MV, *spread(logits_MV, temperature), strict=True):
        z = z.double().numpy() / temperature
        logprob_V, possible = log_softmax(z), z > -np.inf
        tops = np.concatenate([np.full(len(part), part.max()) for part in np.split(z, [TILE, 2 * TILE])])[possible]
        z, logprob_V = z[possible], logprob_V[possible]
        # A term of a tile has the errors that test_native.py lists, and one more of d at other temperatures
        error_V = 2.0**-24 * (2 * (tops - z) + 10 + TILE / 64) * np.exp(logprob_V)
        reach_V = np.abs(tops - np.exp(logprob_V) @ z) + (tops - z)
        assert abs(found[0] - entropy(logprob_V)) <= error_V @ (1 + reach_V) + 1e-30
        assert abs(found[1] - variance(logprob_V)) <= error_V @ reach_V**2 + 1e-30


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_the_bits_of_a_variance_do_not_depend_on_other_rows(dtype: torch.dtype, temperature: float):
    logits_MV = torch.randn(70, 5000, generator=torch.Generator().manual_seed(0)).to(dtype) * 5
    together = spread(logits_MV, temperature)
    for row in (0, 33, 69):
        alone = spread(logits_MV[row : row + 1], temperature)
        assert [x[0] for x in alone] == [x[row] for x in together]


def test_no_factors():
    result = read(Tiled(3), torch.zeros(2, 3), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), top=2)
    assert len(result["logprobs"]) == len(result["ranks"]) == 0
    assert result["top_ids"].shape == (0, 2)


@given(LOGITS, st.data())
def test_the_mass_of_each_set(logits_RV: np.ndarray, data: st.DataObject):
    """In float64, and by the kernel in float32; at any temperature; of empty, overlapping and impossible sets."""
    rows, size = logits_RV.shape
    ids = data.draw(st.lists(st.sets(st.integers(0, size - 1)).map(sorted), max_size=8))
    sets, temperature = (
        TokenSets.of([np.array(own, np.int64) for own in ids], size),
        data.draw(st.sampled_from([1.0, 0.3, 2.5])),
    )
    row_F = torch.arange(rows)
    for dtype, atol in ((torch.float64, 1e-10), (torch.float32, 2e-5 / min(1, temperature))):
        hidden = IdentityHead(size, dtype), torch.from_numpy(logits_RV).to(dtype), row_F, row_F * 0
        [mass] = reduce(*hidden, [SetMass(sets)], temperature=temperature)
        assert mass["set_logprobs"].shape == (rows, len(ids))
        for row, z in enumerate(logits_RV):
            logprob_V = log_softmax(z / temperature)
            want = [np.logaddexp.reduce(logprob_V[own], initial=-np.inf) for own in ids]
            np.testing.assert_allclose(mass["set_logprobs"][row], want, rtol=0, atol=atol)


def test_the_bits_of_a_mass_do_not_depend_on_other_rows():
    logits = torch.randn(70, 5000, generator=torch.Generator().manual_seed(0)) * 5
    sets = TokenSets.of([np.arange(0, 5000, 3), np.arange(900)], 5000)
    for dtype in (torch.float32, torch.float64):
        head, row_F = IdentityHead(5000, dtype), torch.arange(70)
        [together] = reduce(head, logits.to(dtype), row_F, row_F, [SetMass(sets)])
        for row in (0, 33, 69):
            [alone] = reduce(head, logits[row : row + 1].to(dtype), row_F[:1], row_F[:1], [SetMass(sets)])
            assert torch.equal(alone["set_logprobs"][0], together["set_logprobs"][row])


def test_at_most_eight_sets():
    with pytest.raises(ValueError, match="at most 8 sets at a time, not 9"):
        TokenSets.of([np.arange(2)] * 9, 4)


@dataclass(frozen=True)
class Mass(Reduction):
    """A statistic that the library does not have: log Pr of a list of tokens."""

    ids: tuple[int, ...]

    def columns(self, block: Block) -> Columns:
        logprob_MN = block.logits_MV[:, list(self.ids)].double() - block.logsumexp_M[:, None]
        return {"mass": torch.logsumexp(logprob_MN, -1)[block.row_F]}


@given(LOGITS, st.data())
def test_a_new_statistic_is_one_small_class(logits_RV: np.ndarray, data: st.DataObject):
    """Read in the same pass as the others, which it leaves unchanged."""
    rows, size = logits_RV.shape
    ids = data.draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True))
    row_F, token_F = torch.arange(rows).repeat_interleave(size), torch.arange(size).repeat(rows)
    hidden = Tiled(size), torch.from_numpy(logits_RV), row_F, token_F
    mass, *others = reduce(*hidden, [Mass(tuple(ids)), *factor_reductions(1)])
    with np.errstate(divide="ignore"):
        want_R = np.log([sum(np.exp(log_softmax(z)[v]) for v in ids) for z in logits_RV])
    np.testing.assert_allclose(mass["mass"], np.repeat(want_R, size), atol=1e-12)
    want = read(*hidden, 1)
    columns = merged(others)
    assert columns.keys() == want.keys()
    assert all(columns[name].equal(want[name]) for name in want)


def test_a_new_statistic_over_several_blocks_and_without_factors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readout, "BLOCK", 16)
    logits = torch.randn(100, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    row_F = torch.arange(100)
    [mass] = reduce(Tiled(5), logits, row_F, row_F % 5, [Mass((1, 3))])
    assert mass["mass"].tolist() == pytest.approx(logits.softmax(-1)[:, [1, 3]].sum(-1).log().tolist())
    [mass] = reduce(Tiled(5), logits, row_F[:0], row_F[:0], [Mass((1, 3))])
    assert mass["mass"].shape == (0,)


def test_the_fused_head_names_a_statistic_that_it_lacks():
    verdict = supports(IdentityHead(5, torch.float32), [Target(), Mass((1,)), TopK(2)])
    assert not verdict
    assert verdict.reason == "the fused head has no counterpart of Mass"
