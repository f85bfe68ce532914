"""Any order by masked models, compared with their own forward of one masked text at a time."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import torch
import transformers as tf
from masked_zoo import (
    CLS,
    MASK,
    MASKED,
    MOST,
    PAD,
    SEP,
    TOKENS,
    Tiny,
    masked,
    ordered,
    strong,
    two_stream,
    untouched,
    whole_space,
)
from text_zoo import wordpiece

import chainrule
from chainrule import InputError, LanguageModel, ModelError, TableModel
from chainrule.engine.predictors.base import Cloze
from chainrule.engine.predictors.causal import CausalPredictor
from chainrule.engine.predictors.masked import MaskedPredictor
from chainrule.engine.question import Settings
from chainrule.models.masked import MaskedModel
from chainrule.text.mask_template import resolve_mask_template

TABLE = LanguageModel(TableModel(["A", "B"], {"": [0, 0]}, back_off=True))
FRAME = (CLS, SEP, MASK)
SUMS = {"float32": 1e-6, "float64": 1e-12}
CLOSE = {"float32": 1e-5, "float64": 1e-12}
MIXED = [
    ordered([4, 5, 6, 7], [2, 0, 3, 1]),
    ordered([7, 7], [1, 0]),
    ordered([4, 5, 6, 7, 5], [4, 1], [0, 3, 2]),
    ordered([6], [0]),
]


def want(tiny: Tiny, sequences: list[Any]) -> np.ndarray:
    """The oracle's distributions, one for each factor."""
    return np.stack(
        [
            oracle.masked_conditional(tiny.own, o.ids_L, o.seen(t), int(o.order_T[t]), FRAME, TOKENS)
            for o in sequences
            for t in range(len(o.order_T))
        ]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MASKED)
def test_in_every_order_all_texts_of_one_length_sum_to_one(name: str, dtype: str):
    chain = masked(name, dtype).lm.predictor
    space = whole_space(TOKENS, 4)
    logprobs = chain.answer_in_order([o for texts in space.values() for o in texts]).logprobs.reshape(len(space), -1, 4)
    assert len(space) == 24
    assert np.abs(np.exp(logprobs.sum(-1)).sum(-1) - 1).max() < SUMS[dtype]
    assert np.ptp(logprobs.sum(-1), 0).max() > 0.01  # for a single text the orders differ


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MASKED)
def test_factors_are_those_of_one_masked_text_at_a_time(name: str, dtype: str):
    tiny = masked(name, dtype)
    answer, expected = tiny.lm.predictor.answer_in_order(MIXED, Settings(top=2)), want(tiny, MIXED)
    tokens = np.concatenate([o.ids_L[o.order_T] for o in MIXED])
    assert np.abs(answer.logprobs - expected[np.arange(len(tokens)), tokens]).max() < CLOSE[dtype]
    assert answer.ranks.tolist() == [oracle.rank(row, token) for row, token in zip(expected, tokens, strict=True)]
    assert answer.entropies == pytest.approx([oracle.entropy(row) for row in expected], abs=CLOSE[dtype])
    assert answer.statistics.logprob_variances == pytest.approx(
        [oracle.variance(row) for row in expected], abs=10 * CLOSE[dtype]
    )
    assert answer.top_ids.tolist() == np.argsort(-expected)[:, :2].tolist()
    assert answer.top_logprobs == pytest.approx(-np.sort(-expected)[:, :2], abs=CLOSE[dtype])


def test_distributions_are_over_tokens_that_can_occur():
    tiny = masked("bert")
    clozes = [Cloze(o.ids_L, o.seen(t), int(o.order_T[t])) for o in MIXED for t in range(len(o.order_T))]
    logprobs = tiny.lm.predictor.conditionals(clozes)
    assert logprobs[:, [PAD, CLS, SEP, MASK]].max() == -math.inf
    assert logprobs[:, list(TOKENS)] == pytest.approx(want(tiny, MIXED)[:, list(TOKENS)], abs=1e-5)
    assert tiny.lm.predictor.answer_in_order(MIXED).logprobs == pytest.approx(
        [row[cloze.ids_L[cloze.target]] for row, cloze in zip(logprobs, clozes, strict=True)], abs=1e-6
    )


@pytest.mark.parametrize("name", MASKED)
def test_tokens_later_in_the_order_have_no_effect_at_all(name: str):
    chain = masked(name).lm.predictor
    a = chain.answer_in_order([ordered([4, 5, 6, 7, 4], [3, 0, 4, 1, 2])])
    b = chain.answer_in_order(
        [ordered([4, 7, 4, 7, 4], [3, 0, 4, 1, 2])]
    )  # others at the positions 1 and 2, the last in the order
    assert np.array_equal(a.logprobs[:3], b.logprobs[:3])
    assert np.array_equal(a.entropies[:4], b.entropies[:4])
    assert a.logprobs[4] != b.logprobs[4]


def test_each_masked_text_runs_once_without_padding(monkeypatch: pytest.MonkeyPatch):
    tiny, seen = masked("bert"), []
    run = MaskedModel.hidden
    monkeypatch.setattr(MaskedModel, "hidden", lambda self, ids: (seen.append(ids.clone()), run(self, ids))[1])
    texts = [
        ordered([4, 5, 6], [0, 1, 2]),
        ordered([4, 5, 7], [0, 1, 2]),
        ordered([4, 7, 7], [0, 2, 1]),
        ordered([5, 5], [1, 0]),
    ]
    answer = tiny.lm.predictor.answer_in_order(texts, Settings(rows=10))
    shapes = [tuple(ids.shape) for ids in seen]
    rows = [tuple(row) for ids in seen for row in ids.tolist()]
    assert shapes == [(2, 4), (2, 5), (2, 5)]  # two texts of 2 tokens; ???, 4??, 45?, 4?7 of 3
    assert len(set(rows)) == len(rows) == 6
    assert answer.rows == 2 * 4 + 4 * 5
    assert answer.contexts == 2 + 5  # 4?? is read at two positions
    assert np.array_equal(answer.logprobs, tiny.lm.predictor.answer_in_order(texts, Settings(rows=10)).logprobs)


def test_no_sequences_and_no_conditionals():
    for chain in (masked("bert").lm.predictor, two_stream().lm.predictor, TABLE.predictor.any_order):
        assert chain.answer_in_order([]).logprobs.shape == (0,)
        assert chain.conditionals([]).shape == (0, chain.model.head.size)
    assert masked("bert").lm.pseudo_log_likelihoods([]) == []


def test_the_given_network_is_unchanged():
    own = untouched("deberta_v3")
    own.deberta.forward = forward = own.deberta.forward  # as hooks of other libraries do
    chain = LanguageModel(MaskedModel(own, "hooked")).predictor
    chain.answer_in_order(MIXED)
    assert own.deberta.forward is forward
    assert "forward" not in vars(masked("bert").lm.model.lm.bert)


def test_progress_counts_conditionals():
    calls: list[tuple[int, int]] = []
    masked("bert").lm.predictor.answer_in_order(
        MIXED, Settings(rows=1, progress=lambda done, total: calls.append((done, total)))
    )
    assert calls[-1] == (9, 9)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize(
    ("ids", "order", "message"),
    [
        ([4, MASK, 5], [0, 1, 2], r"item 1: token '<3>' \(id 3\) at position 1 cannot occur.*4 of 8 ids.*<0>, <1>, <2>, <3>"),
        ([4, 5, 8], [0, 1, 2], r"token '<8>' \(id 8\) at position 2 cannot occur"),
        ([-1, 5], [0, 1], r"id -1\) at position 0"),
        ([4] * (MOST - 1), range(MOST - 1), rf"{MOST - 1} tokens, {MOST + 1} with <1> and <2>, and the model takes {MOST}"),
    ],
)
def test_texts_that_cannot_be_scored(ids: list[int], order: Any, message: str):
    with pytest.raises(InputError, match=message):
        masked("bert").lm.predictor.answer_in_order([ordered([4], [0]), ordered(ids, order)])


def test_invalid_conditionals():
    chain, ids = masked("bert").lm.predictor, np.array([4, 5, 6])
    for cloze, message in ((Cloze(ids, np.array([0]), 3), "position 3 is outside the text"),
                        (Cloze(ids, np.array([0, 1]), 1), "position 1 is seen"),
                        (Cloze(np.array([MASK, 5]), np.array([0]), 1), "cannot occur")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            chain.conditionals([Cloze(ids, np.array([0]), 1), cloze])
    with pytest.raises(InputError, match="item 0: token '<2>'"):
        chain.answer([Cloze(ids, np.array([0]), 1)], np.array([SEP]))
    chain.conditionals([Cloze(np.array([4, MASK, 999]), np.array([0]), 1)])  # unseen tokens are not read


def test_reserved_positions_are_counted():
    assert masked("bert").lm.model.max_rows == MOST
    assert masked("roberta").lm.model.max_rows == MOST - PAD - 1
    masked("roberta").lm.predictor.answer_in_order([ordered([4] * (MOST - 3), range(MOST - 3))])
    with pytest.raises(InputError, match=f"takes {MOST - 1}"):
        masked("roberta").lm.predictor.answer_in_order([ordered([4] * (MOST - 2), range(MOST - 2))])


def wordy(**options: Any) -> LanguageModel:
    tokenizer = wordpiece()
    config = tf.BertConfig(vocab_size=tokenizer.size + 3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=24, max_position_embeddings=32)  # fmt: skip
    torch.manual_seed(0)
    return LanguageModel(MaskedModel(strong(tf.BertForMaskedLM(config)), "wordy"), tokenizer, **options)


def test_the_support_comes_from_the_tokenizer():
    lm, tokenizer = wordy(), wordpiece()
    assert lm.predictor.support.left_out.tolist() == [1, 2, 3, *range(tokenizer.size, tokenizer.size + 3)]  # [UNK] can occur
    assert "3 symbols ([CLS], [SEP], [MASK]) and 3 ids without a token" in lm.predictor.support.description
    assert lm.predictor.how == "positions not yet predicted are masked ([MASK], id 3), between [CLS] and [SEP]"
    assert (lm.predictor.strategy, bool(lm.invariant)) == ("masked", False)
    assert "masked strategy, start cls" in repr(lm)


def test_the_start_of_a_masked_model_is_its_frame():
    assert wordy().start.to_dict() == {"kind": "joint", "policy": "cls", "id": 1, "token": "[CLS]"}
    assert wordy(start="cls").start.policy == "cls"
    assert wordy(start="given").start.kind == "conditional"
    for start in ("bos", "eos", 5):
        with pytest.raises(InputError, match=r"come after \[CLS\] \(id 1\)"):
            wordy(start=start)


def test_requests_that_require_a_next_token_are_refused():
    lm = wordy()
    for call in (lambda: lm.conditional("hello"), lambda: lm.verify(), lambda: lm.embed([5]), lambda: lm.engine,
                lambda: lm.score(embeddings=torch.zeros(2, 16))):  # fmt: skip
        with pytest.raises(InputError, match=r"wordy is not a causal model \(masked\)"):
            call()


def test_symbols_come_from_the_tokenizer_or_else_from_the_config():
    config = {"mask": 5, "cls": 6, "sep": None, "eos": 7, "unk": 6, "pad": 4}
    sizes = {"vocab_size": 250, "embeddings": 250, "model": "m"}
    with_it, without = resolve_mask_template(wordpiece(), config, **sizes), resolve_mask_template(None, config, **sizes)
    assert (with_it.before, with_it.after, with_it.mask) == (1, 2, 3)
    assert (without.before, without.after, without.mask) == (6, 7, 5)
    assert without.excluded.tolist() == [4, 5, 6, 7]
    for lacking, message in (("mask", "mask_token"), ("cls", "cls_token or bos_token"), ("eos", "sep_token or eos_token")):
        with pytest.raises(ModelError, match=f"m is a masked model.*has a {message} among its 250 ids"):
            resolve_mask_template(None, config | {lacking: None}, **sizes)
        with pytest.raises(ModelError, match=message):
            resolve_mask_template(None, config | {lacking: 250}, **sizes)


class Neighbourly(tf.BertForMaskedLM):
    """A head that reads the position before, so that it cannot run at single positions."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits + output.logits.roll(1, 1)
        return output


class Slightly(tf.BertForMaskedLM):
    """A head with an error so small that weak weights hide it: a tenth of the context effect."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits + 0.1 * (output.logits.roll(1, 1) - output.logits).clamp(-0.005, 0.005)
        return output


class Moody(tf.BertForMaskedLM):
    """Changes its settings in each run."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.mood = "worse"
        return super().forward(*args, **kwargs)


def refused(own: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        LanguageModel(MaskedModel(own, "odd"))


def test_models_that_do_not_agree_with_their_own_forward_are_refused():
    refused(strong(Neighbourly(MASKED["bert"]())), "odd .Neighbourly. cannot be scored exactly here.*off by")
    refused(Slightly(MASKED["bert"]()), "odd .Slightly. cannot be scored exactly here.*off by")
    refused(strong(Moody(MASKED["bert"]())), "changes itself as it runs")


def test_the_error_for_nan_names_the_model():
    own = copy.deepcopy(untouched("bert"))
    lm = LanguageModel(MaskedModel(own, "damaged"))
    own.cls.predictions.bias.data[5] = math.nan
    with pytest.raises(ModelError, match="damaged gave NaN"):
        lm.predictor.answer_in_order([ordered([4, 5], [0, 1])])
    refused(own, "off by inf")


def save(folder: Path, own: Any) -> None:
    own.save_pretrained(folder)
    wordpiece().hf.save_pretrained(folder)


def small(kind: type, **options: Any) -> Any:
    widths = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    return kind(vocab_size=wordpiece().size, max_position_embeddings=32, **widths, **options)


@pytest.mark.parametrize(
    "own",
    [lambda: tf.BertForMaskedLM(small(tf.BertConfig)), lambda: tf.BertForPreTraining(small(tf.BertConfig)),
     lambda: tf.AlbertForPreTraining(small(tf.AlbertConfig, embedding_size=8)),
     lambda: tf.ElectraForMaskedLM(small(tf.ElectraConfig, embedding_size=8))],
)  # fmt: skip
def test_loading_recognises_the_config(tmp_path: Path, own: Any):
    save(tmp_path, own())
    lm = chainrule.load(tmp_path)
    assert isinstance(lm.predictor, MaskedPredictor)
    assert lm.start.token == "[CLS]"
    assert np.isfinite(lm.pseudo_log_likelihood("Hello there").pll_nats)


def test_a_discriminator_has_no_head(tmp_path: Path):
    save(tmp_path, tf.ElectraForPreTraining(small(tf.ElectraConfig, embedding_size=8)))
    with pytest.raises(ModelError, match="is not a complete language model: ElectraForMaskedLM"):
        chainrule.load(tmp_path)


def test_a_decoder_stays_causal(tmp_path: Path):
    save(tmp_path, tf.BertLMHeadModel(small(tf.BertConfig, is_decoder=True)))
    lm = chainrule.load(tmp_path)
    assert isinstance(lm.predictor, CausalPredictor)
    assert lm.predictor.any_order.strategy == "marginal"


SPECIAL = {"pad_token_id": PAD, "cls_token_id": CLS, "sep_token_id": SEP, "mask_token_id": MASK}
WIDTHS = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
HASHING = {
    **{"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 16], "attn_layers": ["local", "lsh"], "attention_head_size": 8},
    **{"feed_forward_size": 48, "is_decoder": False, "max_position_embeddings": 256},
}


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (tf.ReformerConfig(**WIDTHS, **SPECIAL, **HASHING), 161),  # random hashes in texts of several chunks
        (tf.NystromformerConfig(**WIDTHS, **SPECIAL, segment_means_seq_len=16, num_landmarks=8), 14),
    ],
    ids=["random", "depends on the batch"],
)
def test_networks_whose_results_depend_on_chance_or_the_batch_are_refused(config: Any, tokens: int):
    torch.manual_seed(0)
    own = tf.AutoModelForMaskedLM.from_config(config)
    with pytest.raises(ModelError, match=f"cannot be scored exactly here.* one text of {tokens} tokens"):
        LanguageModel(MaskedModel(strong(own), "tiny"))
