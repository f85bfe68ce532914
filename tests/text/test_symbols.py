"""Names of control symbols in texts, and contexts cut by a window: both are reported in the result."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from text_zoo import byte_level
from transformers import GPT2Config, GPT2LMHeadModel

from chainrule import LanguageModel, TableModel
from chainrule.errors import InputError
from chainrule.models.causal import PretrainedModel

TEXT = "The quick</s> fox"


def test_the_name_of_a_symbol_is_plain_text_by_default(tiny: LanguageModel):
    with pytest.warns(
        UserWarning, match="a text contains the name of the control symbol </s>, which is read as plain text.*special='parse'"
    ):
        default = tiny.score(TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text, parsed, plain = (tiny.score(t, special=s) for t, s in ((TEXT, "text"), (TEXT, "parse"), ("The quick", None)))
    assert (default.special, text.special, parsed.special, plain.special) == ("text", "text", "parse", None)
    assert default.logprobs.tolist() == text.logprobs.tolist()
    assert "</s>" not in text.tokens
    assert "".join(text.tokens) == TEXT
    assert parsed.ids.tolist() == tiny.tokenizer.encode(TEXT, "parse").tolist()
    assert 1 in parsed.ids
    assert parsed.logprobs.tolist() == tiny.score(parsed.ids).logprobs.tolist()
    for score in (text, parsed):  # the spans are those of the tokens
        assert "".join(TEXT[a:b] for a, b in score.spans.char_spans) == TEXT
    assert parsed.remarks == ["the names of control symbols in the text were read as the symbols"]
    assert text.remarks == ["the names of control symbols in the text were read as plain text"]
    assert plain.remarks == []
    with pytest.raises(InputError, match=r"special='literal' must be 'text'.*or 'parse'"):
        tiny.score(TEXT, special="literal")
    with pytest.raises(InputError, match="context_special=1 must be"):
        tiny.score(TEXT, context_special=1)


def test_text_and_context_are_read_separately(tiny: LanguageModel):
    context, text = "A <s> b", " c</s>"
    by_ids = {}
    for special in ("text", "parse"):
        for before in ("text", "parse"):
            score = tiny.score(text, context=context, special=special, context_special=before)
            assert (score.special, score.context_special) == (special, before)
            assert (0 in score.request.context_ids, 1 in score.ids) == (before == "parse", special == "parse")
            by_ids[special, before] = tiny.score(score.ids, context=score.request.context_ids).logprob
            assert score.logprob == pytest.approx(by_ids[special, before], abs=1e-9)
    assert len(set(by_ids.values())) == 4
    assert tiny.score(text, context=context, special="parse").context_special == "parse"  # by default as the text


def test_every_method_reads_control_symbols(tiny: LanguageModel):
    for special, holds in (("text", False), ("parse", True)):
        ids = tiny.tokenizer.encode(TEXT, special).tolist()
        assert tiny.conditional(TEXT, special=special).logprobs.tolist() == tiny.conditional(ids).logprobs.tolist()
        ranked = tiny.rank(TEXT, [" a", " b</s>"], special=special)
        assert {r.text: 1 in r.score.ids for r in ranked} == {" a": False, " b</s>": holds}
        assert all((1 in r.score.request.context_ids) == holds for r in ranked)
        assert tiny.explain(TEXT, special=special).score.ids.tolist() == ids
        generated = tiny.generate(TEXT, special=special, max_tokens=2)
        assert generated.request.context_ids.tolist() == ids
        assert generated.context_special == special
        among = tiny.generate("a", among=[" b</s>"], special=special).ids.tolist()
        assert among == tiny.tokenizer.encode(" b</s>", special).tolist()
        assert (among[-1] == 1) == holds
        rows = tiny.score_batch([TEXT, "a"], special=special).to_dicts()
        assert [row["special"] for row in rows] == [special, None]
        embedded = tiny.score(TEXT, embeddings=tiny.embed(ids), special=special)
        assert embedded.ids.tolist() == ids


def test_a_symbol_by_its_name_is_one_token(tiny: LanguageModel):
    assert tiny.conditional("a").logprob("</s>") == tiny.conditional("a").logprob(1)


def test_a_generated_symbol_is_reported(tiny: LanguageModel):
    generated = tiny.generate("The", max_tokens=40, end=False, method="sample", n=20, seed=3)
    symbols = [g for g in generated if 0 in g.ids or 1 in g.ids]
    assert 0 < len(symbols) < len(generated)
    assert {g.special for g in symbols} == {"parse"}
    assert {g.special for g in generated if g not in symbols} == {None}


# Contexts cut by a window


def test_a_context_cut_by_a_window_is_reported(tiny: LanguageModel):
    long = tiny.tokenizer.encode("word " * 80)[:70].tolist()
    cut, whole = tiny.score([5, 6], context=long), tiny.score([5, 6], context=long[:60])
    assert (cut.windows, cut.cut, cut.least_context) == (1, True, 63)
    assert (whole.windows, whole.cut, whole.least_context) == (1, False, 61)
    batch = tiny.score_batch([[5, 6], [5, 6], long, [7]], context=[long, long[:60], None, None])
    assert batch.cut.tolist() == [True, False, True, False]
    assert batch.least_context.tolist() == [63, 61, 1, 1]
    assert [score.cut for score in batch] == batch.cut.tolist()
    assert [score.least_context for score in batch] == batch.least_context.tolist()
    rows = batch.to_dicts()
    assert [row["cut"] for row in rows] == batch.cut.tolist()
    assert [row["least_context"] for row in rows] == batch.least_context.tolist()
    assert (cut.summary()["cut"], cut.summary()["least_context"]) == (True, 63)
    assert whole.remarks == []
    remarks = ["a window shortened the context of some factors: the shortest has 63 embeddings"]
    assert cut.remarks == remarks
    assert remarks[0] in str(tiny.explain(cut))
    assert remarks[0] in cut._repr_html_()
    assert tiny.explain(cut).to_dict()["cut"] is True
    assert not tiny.score([7, 8, 9], start="given").cut
    assert tiny.score([7, 8, 9, 10], start="given", window=2).cut
    assert not tiny.score([5, 6, 7], order="left-to-right").cut


@pytest.mark.parametrize("order", [[1, 0], "right-to-left", None])
def test_a_score_in_an_order_has_no_cut(order: object):
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 2], "A": [0, 3]}, back_off=True))
    assert not lm.score_batch(["AB", "BA"], order=order).cut.any()
    assert not lm.score("AB", context="B", order=order).cut


def test_a_model_with_a_context_of_one():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=byte_level().size, n_positions=1, n_embd=8, n_layer=1, n_head=1)
    lm = LanguageModel(PretrainedModel(GPT2LMHeadModel(config).eval(), "one"), byte_level(), start="bos")
    assert np.isfinite(lm.score([5]).logprob)
    for options in ({}, {"window": 1}, {"window": False}):
        with pytest.raises(InputError, match=r"a context of 2 embeddings, and the model takes 1; shorten it$"):
            lm.score([5, 6], **options)
    with pytest.raises(InputError, match="window 2 is longer than the model's own context of 1"):
        lm.score([5], window=2)
    assert lm.score([5, 6], start="given").least_context == 1
    assert lm.conditional().context == 1
