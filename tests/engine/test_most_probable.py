"""The order of the most probable tokens, by logit and then by id, against Python's sort, where many logits are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import most_probable_ids

from chainrule import LanguageModel, TableModel
from chainrule.engine.head import most_probable as module
from chainrule.engine.head.most_probable import keys, most_probable
from chainrule.engine.head.readout import ROW_MULTIPLE, read
from chainrule.generation.transform import Transform
from chainrule.models.head import IdentityHead

FEW = st.sampled_from([-np.inf, -3.0, -1.5, -0.0, 0.0, 1e-40, 0.5, 2.0])  # 1e-40 is denormal in float32
TIED = st.sampled_from([torch.float32, torch.float64]).flatmap(
    lambda dtype: hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 40)), elements=FEW).map(
        lambda z: torch.from_numpy(z).to(dtype)
    )
)


@given(TIED, st.integers(1, 45))
def test_equal_logits_are_ordered_by_id(logits_MV: torch.Tensor, count: int):
    """Also by the keys that order rows on a GPU, and in rows with gaps between them."""
    want = [most_probable_ids(z, count) for z in logits_MV.tolist()]
    assert most_probable(logits_MV, count).tolist() == want
    assert module._of_any(logits_MV, min(count, logits_MV.shape[1])).tolist() == want
    spaced = torch.cat([logits_MV, logits_MV], -1)[:, : logits_MV.shape[1]]
    assert most_probable(spaced, count).tolist() == want


@given(TIED, st.data())
def test_the_first_alternatives_do_not_depend_on_their_number(logits_MV: torch.Tensor, data: st.DataObject):
    """The ids and the bits of log Pr, for every k: those of k are the first k of K."""
    rows, size = logits_MV.shape
    logits_MV[:, data.draw(st.integers(0, size - 1))] = 1.0  # a possible token
    head, row_F = IdentityHead(size, logits_MV.dtype), torch.arange(rows)
    all_ = read(head, logits_MV, row_F, row_F * 0, size)
    assert all_["top_ids"].tolist() == [most_probable_ids(z, size) for z in logits_MV.tolist()]
    for count in range(size):
        some = read(head, logits_MV, row_F, row_F * 0, count)
        assert some["top_ids"].equal(all_["top_ids"][:, :count])
        assert some["top_logprobs"].numpy().tobytes() == all_["top_logprobs"][:, :count].numpy().tobytes()


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2), st.lists(st.integers(0, 2**31 - 1), min_size=2))
def test_keys_have_the_order_of_numbers_and_ids(logits: list[float], ids: list[int]):
    a, b = keys(torch.tensor([logits], dtype=torch.float32), torch.tensor([ids[:2]]))[0].tolist()
    assert (a > b) == ((-logits[0], ids[0]) < (-logits[1], ids[1]))


def test_rows_with_nan_do_not_fail():
    """They are refused later, with a message. Other rows keep their order."""
    logits_MV = torch.tensor([[2.0, 2, 1], [2, torch.nan, 2], [torch.nan] * 3])
    for count in range(1, 4):
        assert most_probable(logits_MV, count)[0].tolist() == [0, 1, 2][:count]
        assert most_probable(logits_MV, count).shape == (3, count)


def test_rows_without_equal_logits_are_not_sorted(monkeypatch: pytest.MonkeyPatch):
    """Padding has equal logits, and is not read: a row alone is followed by 15 rows of zeros."""
    sorted_rows, own = [], module._of_tied
    monkeypatch.setattr(module, "_of_tied", lambda z, *options: sorted_rows.append(len(z)) or own(z, *options))
    logits_RV = torch.from_numpy(np.random.default_rng(0).permutation(150).reshape(3, 50) / 100)
    row_F = torch.arange(3)
    assert 3 % ROW_MULTIPLE
    read(IdentityHead(50, torch.float64), logits_RV, row_F, row_F * 0, 5)
    assert sorted_rows == []
    logits_RV[1] = 0
    read(IdentityHead(50, torch.float64), logits_RV, row_F, row_F * 0, 5)
    assert sorted_rows == [1]


def test_every_way_to_alternatives_has_this_order():
    """`score`, `conditional`, `generate` step by step, greedy and by beam, and top_k of samples."""
    lm = LanguageModel(TableModel(list("ABCDEF"), {"": [1, 3, 2, 3, 2, 2]}, back_off=True))
    want = [1, 3, 2, 4, 5, 0]
    for count in range(1, 7):
        assert lm.score("A", top=count).top_ids[0].tolist() == want[:count]
        assert [a.id for a in lm.conditional().top(count)] == want[:count]
        steps = []
        lm.generate(max_tokens=1, top=count, on_token=steps.append)
        assert [a.id for a in steps[0].alternatives] == want[:count]
        beam = lm.generate(method="beam", num_beams=count, n=count, max_tokens=1)
        assert [text.ids[0] for text in beam] == want[:count]
        ids, _ = Transform(top_k=count)(torch.tensor([1.0, 3, 2, 3, 2, 2]))
        assert ids is None or ids.tolist() == want[:count]


@given(hnp.arrays(np.float64, st.integers(2, 40), elements=FEW), st.floats(0.05, 0.99))
def test_the_fewest_tokens_that_reach_top_p_are_the_first_in_this_order(z_V: np.ndarray, top_p: float):
    z_V[-1] = 3.0
    ids, _ = Transform(top_p=top_p)(torch.from_numpy(z_V))
    assert ids is not None
    assert ids.tolist() == most_probable_ids(z_V.tolist(), len(ids))
