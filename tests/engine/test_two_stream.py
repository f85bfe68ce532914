"""Any order by a two-stream network (XLNet), one pass for each order, compared with its own forward of one query at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import transformers as tf
from masked_zoo import NO_POSITIONS, ordered, strong, two_stream, whole_space, xlnet_config

import chainrule
from chainrule import InputError, LanguageModel, ModelError
from chainrule.engine.predictors.base import Cloze
from chainrule.engine.predictors.two_stream import TwoStreamPredictor
from chainrule.engine.question import Settings
from chainrule.models.two_stream import TwoStreamModel

SUMS = {"float32": 1e-6, "float64": 1e-12}
CLOSE = {"float32": 1e-5, "float64": 1e-12}
V = 5
MIXED = [ordered([4, 1, 2, 3], [0, 3, 1], [2]), ordered([2, 1], [0], [1]), ordered([4, 1, 2, 3, 0], [4, 1], [0, 3, 2]),
         ordered([4, 0, 2, 3], [1], [2, 0, 3])]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_every_order_all_texts_after_a_given_first_token_sum_to_one(dtype: str):
    """4 positions, 5 tokens, 24 orders of 625 texts each."""
    chain, space = two_stream(dtype).lm.predictor, whole_space(range(V), 4, given=1)
    assert len(space) == 24
    for order, texts in space.items():
        logprobs = chain.answer_in_order(texts).logprobs.reshape(-1, 3).sum(1)
        first = np.array([text.ids_L[order[0]] for text in texts])
        assert np.bincount(first, np.exp(logprobs)) == pytest.approx([1] * V, abs=SUMS[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_factors_are_those_of_one_query_at_a_time(dtype: str):
    tiny = two_stream(dtype)
    answer = tiny.lm.predictor.answer_in_order(MIXED, Settings(top=2))
    expected = np.stack([
        oracle.two_stream_conditional(tiny.own, o.ids_L, o.seen(t), int(o.order_T[t]))
        for o in MIXED for t in range(len(o.order_T))
    ])  # fmt: skip
    tokens = np.concatenate([o.ids_L[o.order_T] for o in MIXED])
    assert np.abs(answer.logprobs - expected[np.arange(len(tokens)), tokens]).max() < CLOSE[dtype]
    assert answer.ranks.tolist() == [oracle.rank(row, token) for row, token in zip(expected, tokens, strict=True)]
    assert answer.entropies == pytest.approx([oracle.entropy(row) for row in expected], abs=CLOSE[dtype])
    assert answer.statistics.logprob_variances == pytest.approx(
        [oracle.variance(row) for row in expected], abs=10 * CLOSE[dtype]
    )
    assert answer.top_ids.tolist() == np.argsort(-expected)[:, :2].tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_pass_gives_the_same_as_single_steps(dtype: str):
    chain = two_stream(dtype).lm.predictor
    clozes = [Cloze(o.ids_L, o.seen(t), int(o.order_T[t])) for o in MIXED for t in range(len(o.order_T))]
    logprobs = [row[cloze.ids_L[cloze.target]] for row, cloze in zip(chain.conditionals(clozes), clozes, strict=True)]
    assert chain.answer_in_order(MIXED).logprobs == pytest.approx(logprobs, abs=CLOSE[dtype])


@pytest.mark.parametrize("order", [[3, 0, 4, 1, 2], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
def test_tokens_later_in_the_order_have_no_effect_at_all(order: list[int]):
    chain = two_stream().lm.predictor
    other = np.array([4, 1, 2, 3, 0])
    other[order[3:]] = (other[order[3:]] + 1) % V
    a = chain.answer_in_order([ordered([4, 1, 2, 3, 0], order[1:], order[:1])])
    b = chain.answer_in_order([ordered(other, order[1:], order[:1])])
    assert np.array_equal(a.logprobs[:2], b.logprobs[:2])
    assert np.array_equal(a.entropies[:3], b.entropies[:3])
    assert a.logprobs[3] != b.logprobs[3]


def test_tokens_at_unseen_positions_are_not_read():
    chain = two_stream().lm.predictor
    logprobs = chain.conditionals([Cloze(np.array(ids), np.array([3, 0]), 1) for ids in ([4, 1, 2, 3], [4, 0, 99, 3])])
    assert np.array_equal(logprobs[0], logprobs[1])
    logprobs = chain.conditionals([Cloze(np.array([4, 1, 2, 3]), np.array(seen), 1) for seen in ([3, 0, 2], [0, 3, 2])])
    assert not np.array_equal(logprobs[0], logprobs[1])  # the order in which they became known has an effect


def test_each_pass_runs_once(monkeypatch: pytest.MonkeyPatch):
    shapes: list[tuple[int, ...]] = []
    run = TwoStreamModel.queries
    monkeypatch.setattr(
        TwoStreamModel, "queries", lambda self, ids, *m: (shapes.append(tuple(ids.shape)), run(self, ids, *m))[1]
    )
    texts = [ordered([4, 1, last], [1, 2], [0]) for last in range(V)]  # they differ only in the last token of the order
    answer = two_stream().lm.predictor.answer_in_order([*texts, ordered([4, 1, 2], [2, 1], [0])], Settings(rows=6))
    assert shapes == [(1, 3), (1, 3)]
    assert (answer.rows, answer.contexts) == (2 * 6, 4)


def test_a_first_token_without_any_other_is_refused():
    chain = two_stream().lm.predictor
    for call in (lambda: chain.answer_in_order([MIXED[0], ordered([4, 1], [0, 1])]),
                lambda: chain.conditionals([Cloze(np.array([4, 1]), NO_POSITIONS, 0)])):  # fmt: skip
        with pytest.raises(InputError, match=r"sees every token of the text.*start='given'.*or give a context"):
            call()
    with pytest.raises(InputError, match="item 1: token id 5 at position 2 is out of range; the model's ids are 0 … 4"):
        chain.answer_in_order([MIXED[0], ordered([4, 1, 5], [2, 1], [0])])
    with pytest.raises(InputError, match=r"no start symbol \(id 1\)"):
        chain.answer_in_order([ordered([4, 1], [1], [0], start_id=1)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_why_a_first_token_is_refused(dtype: str):
    """In the own forward of a query that sees nothing, the token at its own position has an effect."""
    own = two_stream(dtype).own
    rows = [oracle.two_stream_conditional(own, [v, 1, 2], [], 0) for v in range(V)]
    assert max(np.abs(row - rows[0]).max() for row in rows) > 0.01


def test_the_default_start_is_given():
    lm = two_stream().lm
    assert (lm.start.policy, lm.start.kind, lm.predictor.strategy) == ("given", "conditional", "two-stream")
    assert "two-stream strategy, start given" in repr(lm)
    for start in ("bos", "eos", 1):
        with pytest.raises(InputError, match=f"start={start!r} is not possible: a two-stream network has no distribution"):
            LanguageModel(lm.model, start=start)
    with pytest.raises(InputError, match=r"not a causal model \(two-stream\)"):
        lm.conditional([1])
    with pytest.raises(InputError, match="it depends on the order in which these become known"):
        lm.pseudo_log_likelihood([1, 2])


class Doubled(tf.XLNetLMHeadModel):
    """A head that differs from the linear one."""

    def forward(self, *args: Any, perm_mask: Any = None, target_mapping: Any = None, **kwargs: Any) -> Any:
        output = super().forward(*args, perm_mask=perm_mask, target_mapping=target_mapping, **kwargs)
        output.logits = 2 * output.logits
        return output


class Slightly(tf.XLNetLMHeadModel):
    """A head with an error so small that weak weights hide it."""

    def forward(self, *args: Any, perm_mask: Any = None, target_mapping: Any = None, **kwargs: Any) -> Any:
        output = super().forward(*args, perm_mask=perm_mask, target_mapping=target_mapping, **kwargs)
        output.logits = output.logits + 5e-4 * (output.logits > output.logits.mean(-1, keepdim=True))
        return output


def test_networks_with_leaks_or_another_head_are_refused():
    own = strong(tf.XLNetLMHeadModel(xlnet_config()))
    run = own.transformer.forward
    own.transformer.forward = lambda *ids, perm_mask, **others: run(*ids, perm_mask=0 * perm_mask, **others)
    with pytest.raises(ModelError, match=r"lets tokens that come later in the order .* change factors before them"):
        TwoStreamPredictor(TwoStreamModel(own, "leaky"))
    with pytest.raises(ModelError, match="its head on single queries is off by"):
        TwoStreamPredictor(TwoStreamModel(strong(Doubled(xlnet_config())), "doubled"))
    with pytest.raises(ModelError, match="its head on single queries is off by"):
        TwoStreamPredictor(TwoStreamModel(Slightly(xlnet_config()), "slightly other, with weak weights"))
    with pytest.raises(ModelError, match="does not run as a two-stream network"):
        TwoStreamPredictor(TwoStreamModel(strong(tf.XLNetLMHeadModel(xlnet_config(bi_data=True))), "bidirectional data"))


def test_the_error_for_nan_names_the_model():
    own = strong(tf.XLNetLMHeadModel(xlnet_config()))
    chain = TwoStreamPredictor(TwoStreamModel(own, "damaged"))
    own.lm_loss.bias.data[1] = math.nan
    with pytest.raises(ModelError, match="damaged gave NaN"):
        chain.answer_in_order(MIXED)


def test_loading_recognises_the_forward(tmp_path: Path):
    strong(tf.XLNetLMHeadModel(xlnet_config())).save_pretrained(tmp_path / "both")
    strong(tf.XLNetLMHeadModel(xlnet_config(attn_type="uni", mem_len=None))).save_pretrained(tmp_path / "one")
    assert isinstance(chainrule.load(tmp_path / "both").predictor, TwoStreamPredictor)
    assert chainrule.load(tmp_path / "one").engine.strategy == "single"  # left to right only
