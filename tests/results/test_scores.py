"""One score, and batches of scores: sums, units, bytes, spans and input order."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_zoo import wordpiece

from chainrule import LanguageModel, TableModel
from chainrule.models.causal import PretrainedModel
from chainrule.results import units

TEXTS = ["The quick brown fox", "naïve café 🎉", "a", "日本語のテキスト", "The quick brown dog"]
LETTERS = "ABCDE"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    """Five letters, one of them impossible. Their probabilities differ by many powers of ten."""
    row = [1e-12, 0, 0.3, 1e-3]
    return LanguageModel(TableModel(LETTERS, {"": [*row, 1 - sum(row)]}, probabilities=True, back_off=True, end="E"))


# Sums and units


@given(st.text("ACDE", min_size=1, max_size=300))
def test_logprob_is_the_exact_sum_rounded_once(lm: LanguageModel, text: str):
    score = lm.score(text)
    assert score.logprobs.dtype == np.float64
    assert score.logprob == float(sum(map(Fraction, score.logprobs.tolist())))
    assert lm.score_batch(["A", text]).logprob[1] == score.logprob


def test_a_float32_model_is_summed_in_float64(tiny: LanguageModel):
    score = tiny.score("The quick brown fox " * 20)
    assert (score.logprobs.dtype, score.entropies.dtype) == (np.float64, np.float64)
    assert score.logprob == math.fsum(score.logprobs.tolist())
    assert (score.logprobs != score.logprobs.astype(np.float32)).any()


@given(st.text(LETTERS, min_size=1, max_size=40))
def test_units_are_the_same_number(lm: LanguageModel, text: str):
    score = lm.score(text)
    if "B" in text:
        assert (score.logprob, score.bits, score.perplexity, score.bits_per_byte) == (-math.inf, math.inf, math.inf, math.inf)
        return
    assert score.bits == pytest.approx(-score.logprob / math.log(2), rel=1e-14)
    assert score.surprisals_bits == pytest.approx(-np.log2(np.exp(score.logprobs)), rel=1e-12)
    assert score.perplexity == pytest.approx(math.exp(-score.logprob / len(text)), rel=1e-14)
    assert score.bits_per_byte == pytest.approx(score.bits / len(text), rel=1e-14)


def test_units_by_hand():
    assert units.bits(math.log(1 / 8)) == pytest.approx(3, abs=1e-15)
    assert math.copysign(1, units.bits(0.0)) == 1
    assert units.perplexity(3 * math.log(1 / 8), 3) == pytest.approx(8, abs=1e-14)
    assert units.perplexity(-1e6, 1) == math.inf  # too large for a float
    assert units.perplexity(-math.inf, 5) == math.inf
    assert units.bits_per_byte(-1.0, 0) is None
    assert units.bits_per_byte(math.log(1 / 4), 4) == pytest.approx(0.5, abs=1e-15)


def test_perplexity_of_a_corpus_is_over_all_its_tokens(lm: LanguageModel):
    scores = lm.score_batch(["CCC", "D"])
    assert scores.perplexity == pytest.approx((0.3**3 * 1e-3) ** (-1 / 4), rel=1e-13)
    assert lm.score_batch(["CCC", "B"]).perplexity == math.inf
    assert lm.score_batch(["A" * 500]).perplexity == pytest.approx(1e12, rel=1e-12)
    assert lm.score_batch([]).perplexity == 1


def test_ranks_and_entropies(lm: LanguageModel):
    score = lm.score(LETTERS)
    assert score.ranks.tolist() == [4, 5, 2, 3, 1]
    p = np.array([1e-12, 0.3, 1e-3, 1 - 0.3 - 1e-3 - 1e-12])
    assert score.entropies == pytest.approx(np.full(5, -(p * np.log(p)).sum()), abs=1e-12)
    assert score.logprob_variances == pytest.approx(np.full(5, p @ (np.log(p) - p @ np.log(p)) ** 2), abs=1e-12)


# Bytes


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_are_those_of_the_text_in_utf8(tiny: LanguageModel, text: str):
    size = len(text.encode("utf-8"))
    for options in ({}, {"end": True}, {"context": "Hello "}, {"context": "Hello ", "end": True}):
        score = tiny.score(text, **options)
        assert score.bytes == size  # without the context and the end symbol
        assert score.bits_per_byte == pytest.approx(-score.logprob / math.log(2) / size, rel=1e-14)


@pytest.mark.parametrize("text", [t for t in TEXTS if len(t) > 1])
@pytest.mark.parametrize("end", [None, True])
def test_a_first_token_that_is_given_has_no_bytes(tiny: LanguageModel, text: str, end: bool | None):
    score = tiny.score(text, start="given", end=end)
    first = tiny.tokenizer.token_bytes(tiny.tokenizer.encode(text)[0])
    assert score.bytes == len(text.encode()) - len(first)
    assert b"".join(score.token_bytes[: len(score) - bool(end)]) == text.encode()[len(first) :]


def test_an_end_symbol_alone_has_no_bytes(tiny: LanguageModel):
    score = tiny.score([3], start="given", end=True)
    assert (len(score), score.bytes, score.bits_per_byte) == (1, 0, None)


def test_bytes_of_ids_are_those_of_their_tokens(tiny: LanguageModel):
    for text in TEXTS:
        assert tiny.score(tiny.tokenizer.encode(text), end=True).bytes == len(text.encode())


def test_bytes_of_a_text_that_the_tokenizer_changes(tiny: LanguageModel):
    """With [UNK] and lower case, the bytes are those of the text, not of the tokens."""
    lm = LanguageModel(tiny.model, wordpiece(), engine=tiny.engine)
    assert isinstance(lm.model, PretrainedModel)
    text = "Hello ☃ WORLD"
    assert lm.score(text).bytes == len(text.encode())


# Spans


def test_spans_lie_in_the_text(tiny: LanguageModel):
    for text in TEXTS:
        score = tiny.score(text, end=True)
        assert len(score.spans.char_spans) == len(score)
        assert [text.encode()[a:b] for a, b in score.spans.byte_spans[:-1]] == score.token_bytes[:-1]
        assert score.spans.byte_spans[-1] == (len(text.encode()), len(text.encode()))
        assert score.spans.char_spans[-1] == (len(text), len(text))


def test_spans_with_a_given_first_token_and_after_a_context(tiny: LanguageModel):
    text = TEXTS[0]
    assert tiny.score(text, start="given").spans.char_spans == tiny.score(text).spans.char_spans[1:]
    score = tiny.score(" brown fox", context="The quick")
    assert [" brown fox"[a:b] for a, b in score.spans.char_spans] == score.tokens
    assert tiny.score(tiny.tokenizer.encode(text)).spans is None


# Batches


def test_order_is_kept(tiny: LanguageModel):
    texts = [*TEXTS[::-1], *TEXTS, TEXTS[0]]
    scores = tiny.score_batch(texts)
    assert [score.text for score in scores] == texts
    assert scores.logprob[0] == scores.logprob[-2]
    assert scores.logprob[4] == scores.logprob[5] == scores.logprob[-1]


def test_items_slices_and_negative_indices(tiny: LanguageModel):
    scores = tiny.score_batch(TEXTS)
    assert len(scores) == len(TEXTS)
    assert scores[-1].text == TEXTS[-1]
    assert scores[np.int64(1)].text == TEXTS[1]
    assert [s.text for s in scores[1:4:2]] == TEXTS[1:4:2]
    assert [s.text for s in scores[::-1]] == TEXTS[::-1]
    assert scores[9:] == []
    for index in (len(TEXTS), -len(TEXTS) - 1):
        with pytest.raises(IndexError):
            scores[index]


def test_arrays_are_those_of_the_scores_concatenated(tiny: LanguageModel):
    scores = tiny.score_batch(TEXTS, top=2)
    for name in ("ids", "logprobs", "contexts", "ranks", "entropies", "top_ids", "top_logprobs"):
        joined = np.concatenate([getattr(score, name) for score in scores])
        assert np.array_equal(joined, getattr(scores, name))
        assert len(joined) == scores.tokens.sum() == scores.offsets[-1]
    assert scores.logprob.tolist() == [score.logprob for score in scores]
    assert scores.tokens.tolist() == [len(score) for score in scores]
    assert not np.isnan(scores.logprobs).any()


def test_shared_prefixes_are_computed_once(tiny: LanguageModel):
    scores = tiny.score_batch([[5, 6, 7, 8], [5, 6, 7, 9], [5, 6, 7, 8], [5, 6]])
    assert scores.distinct_contexts == scores.rows == 4  # <s>, 5, 6, 7
    assert scores.contexts.tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2]


def test_repr(lm: LanguageModel):
    assert repr(lm.score("CC")) == "Score(log Pr = -2.407946 nats, 2 tokens, 'CC')"
    assert "log Pr given its context = " in repr(lm.score("CC", context="D"))
    assert "3 token ids" in repr(lm.score([2, 2, 2]))
    assert "1 token, 'C')" in repr(lm.score("C"))
    assert re.fullmatch(r"Scores\(1 sequence, 2 tokens, perplexity [\d.]+\)", repr(lm.score_batch(["CC"])))
    assert repr(lm.explain("CC")) == "Explanation(Pr(x) = exp(-2.407946) = 0.09, 2 factors, 'CC')"
    best, other = map(repr, lm.rank("D", ["CC", "C"]))
    assert re.fullmatch(r"Ranked\('C', log Pr = -[\d.]+ nats, 0.[\d]+ of the set, index 1\)", best)
    assert "'CC'" in other
    ordering = lm.score("CC", order="left-to-right").ordering
    assert repr(ordering) == f"Ordering({ordering.describe()})"
    assert repr(lm.score_batch(["CC", "C"])) == "Scores(2 sequences, 3 tokens, perplexity 3.333)"
    assert len(repr(lm.score("C" * 500))) < 150
