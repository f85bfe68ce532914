"""LanguageModel: its methods, the forms of their arguments, and the errors for texts that cannot be scored."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from text_zoo import t5, wordpiece
from transformers import LlamaConfig, LlamaForCausalLM

from chainrule import InputError, LanguageModel, ModelError, TableModel
from chainrule.models.causal import PretrainedModel

TEXTS = ["The quick brown fox", "Hello world, hello there!", "a", "naïve café 🎉", "The quick brown dog"]
CONTEXT = 64  # of `tiny`
IDS = st.lists(st.integers(0, 1), min_size=1, max_size=6)


def llama(tokenizer, **options) -> LanguageModel:
    """A random model of 64 positions for a tokenizer."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokenizer.size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=0.3,
    )
    return LanguageModel(PretrainedModel(LlamaForCausalLM(config), "random"), tokenizer, **options)


@pytest.fixture(scope="module")
def pairs() -> LanguageModel:
    return llama(wordpiece())


@pytest.fixture(scope="module")
def without_tokenizer(tiny: LanguageModel) -> LanguageModel:
    """`tiny` without its tokenizer."""
    return LanguageModel(tiny.model, engine=tiny.engine)


@pytest.fixture(scope="module")
def coin() -> LanguageModel:
    rows = {"": [0.3, 0.7], "A": [0.9, 0.1], "B": [0.25, 0.75], "AB": [0.5, 0.5]}
    return LanguageModel(TableModel(["A", "B"], rows, probabilities=True, back_off=True))


# The same text as one of a batch, as ids, and as embeddings


def test_a_batch_has_the_scores_of_its_texts(tiny: LanguageModel):
    scores = tiny.score_batch(TEXTS)
    for text, score in zip(TEXTS, scores, strict=True):
        alone = tiny.score(text)
        assert (score.text, score.ids.tolist()) == (text, alone.ids.tolist())
        assert score.logprobs == pytest.approx(alone.logprobs, abs=1e-5)


def test_a_text_and_its_ids_have_the_same_factors(tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXTS[0])
    want = tiny.score(TEXTS[0]).logprobs.tolist()
    for form in (ids, ids.tolist(), tuple(ids.tolist()), torch.from_numpy(ids), ids.astype(np.int32), ids.astype(np.uint16)):
        assert tiny.score(form).logprobs.tolist() == want


def test_texts_ids_and_arrays_in_one_batch(tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXTS[1])
    first, second, third = tiny.score_batch([ids.tolist(), TEXTS[0], ids])
    assert first.logprobs.tolist() == third.logprobs.tolist()
    assert (first.text, second.text, third.text) == (None, TEXTS[0], None)
    assert second.logprob == pytest.approx(tiny.score(TEXTS[0]).logprob, abs=1e-5)


def test_ids_and_their_embeddings_give_the_same_factors_to_the_bit(tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXTS[0]).tolist()
    embeddings = tiny.embed(ids)
    assert embeddings.shape == (len(ids), tiny.model.width)
    want = tiny.score(ids, end=True).logprobs.tolist()
    assert tiny.score(ids, embeddings=embeddings, end=True).logprobs.tolist() == want
    assert tiny.score(embeddings=embeddings, end=True).logprobs.tolist() == want
    assert tiny.score(TEXTS[0], embeddings=embeddings.numpy(), end=True).logprobs.tolist() == want


def test_embeddings_of_a_text_are_those_of_its_ids(tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXTS[0])
    for form in (TEXTS[0], ids, ids.tolist(), torch.from_numpy(ids)):
        assert torch.equal(tiny.embed(form), tiny.embed(tuple(ids.tolist())))
    assert len(tiny.embed("<s>", special="parse")) == 1 < len(tiny.embed("<s>", special="text"))


@given(IDS)
def test_ids_and_embeddings_of_a_table(ids: list[int]):
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 2], "A": [0, 3], "BB": [5, 0]}, back_off=True))
    assert lm.score(embeddings=lm.embed(ids)).logprobs.tolist() == lm.score(ids).logprobs.tolist()


def test_embeddings_replace_those_of_the_ids(tiny: LanguageModel):
    """The factors are those of the ids, and their contexts are the embeddings, here of other tokens."""
    ids, others = [5, 6, 7], [9, 10, 11]
    mixed = tiny.score(ids, embeddings=tiny.embed(others)).logprobs
    expected = [tiny.conditional(others[:i]).logprob(ids[i]) for i in range(3)]
    assert mixed == pytest.approx(expected, abs=1e-5)
    assert abs(mixed[1] - tiny.score(ids).logprobs[1]) > 1e-3


def test_conditional_of_each_prefix_has_the_factors_of_score(tiny: LanguageModel):
    score = tiny.score(TEXTS[0])
    for i, id in enumerate(score.ids.tolist()):
        step = tiny.conditional(score.ids[:i])
        assert step.context == score.contexts[i] == i + 1
        assert step.logprob(id) == pytest.approx(score.logprobs[i], abs=1e-5)
        assert step.rank(id) == score.ranks[i]
        assert step.entropy == pytest.approx(score.entropies[i], abs=1e-5)


@pytest.mark.parametrize("empty", [None, "", [], (), np.zeros(0, np.int64)])
def test_conditional_of_an_empty_context_is_that_of_the_first_token(coin: LanguageModel, empty):
    assert np.exp(coin.conditional(empty).logprobs) == pytest.approx([0.3, 0.7], abs=1e-15)


# Contexts


def test_a_context_has_no_factors(coin: LanguageModel):
    whole, score = coin.score("ABB"), coin.score("BB", context="A")
    assert score.logprobs.tolist() == whole.logprobs[1:].tolist()
    assert score.contexts.tolist() == [2, 3]
    assert (score.kind, score.context, score.boundary) == ("conditional", "A", "same")


def test_one_context_for_all_texts_or_one_for_each(coin: LanguageModel):
    one = coin.score_batch(["A", "B"], context="B")
    assert np.exp(one.logprob) == pytest.approx([0.25, 0.75], abs=1e-15)
    several = coin.score_batch(["A", "A", "A", "A"], context=["B", "A", None, ""])
    assert np.exp(several.logprob) == pytest.approx([0.25, 0.9, 0.3, 0.3], abs=1e-15)
    assert [score.kind for score in several] == ["conditional", "conditional", "joint", "joint"]
    assert [score.boundary for score in several] == ["same", "same", None, None]


def test_contexts_of_ids(coin: LanguageModel):
    assert coin.score([1], context=[0, 1]).logprob == math.log(0.5)
    one = coin.score_batch([[1], [1]], context=[0])  # for all
    several = coin.score_batch([[1], [1]], context=[[0], [1]])
    assert np.exp([one.logprob, several.logprob]) == pytest.approx(np.array([[0.1, 0.1], [0.1, 0.75]]), abs=1e-15)
    assert coin.score([1], context="A").logprob == math.log(0.1)


def test_a_given_start_has_no_effect_after_a_context(coin: LanguageModel):
    score = coin.score("B", context="A", start="given")
    assert (score.logprobs.tolist(), score.contexts.tolist()) == ([math.log(0.1)], [1])
    assert score.kind == "conditional"


def test_boundary_is_same_if_the_tokens_are_those_of_the_joined_text(tiny: LanguageModel):
    same = tiny.score(" quick", context="The")
    apart = tiny.score("e quick", context="Th")
    assert (same.boundary, apart.boundary) == ("same", "apart")
    joined = [*same.request.context_ids, *same.ids]
    assert joined == tiny.tokenizer.encode("The quick").tolist()
    whole = tiny.score("The quick").logprobs
    assert same.logprobs == pytest.approx(whole[len(same.request.context_ids) :], abs=1e-5)


def test_rank_sorts_candidates_and_keeps_their_index(tiny: LanguageModel):
    candidates = [" dog", " cat", " lazy dog", "?"]
    ranked = tiny.rank("The quick brown", candidates)
    alone = [tiny.score(c, context="The quick brown").logprob for c in candidates]
    assert [r.index for r in ranked] == sorted(range(4), key=lambda i: -alone[i])
    assert [r.logprob for r in ranked] == pytest.approx(sorted(alone, reverse=True), abs=1e-5)
    assert all(r.text == candidates[r.index] and r.score.text == r.text for r in ranked)
    assert all(r.logprob == r.score.logprob for r in ranked)


def test_rank_puts_impossible_candidates_last_and_keeps_the_order_of_ties():
    lm = LanguageModel(TableModel(["A", "B", "C", "D"], {"": [0, 0.4, 0.4, 0.2]}, probabilities=True))
    assert [(r.index, r.text) for r in lm.rank(None, ["A", "B", "C", "D"])] == [(1, "B"), (2, "C"), (3, "D"), (0, "A")]
    assert lm.rank(None, []) == []


# Pairs


def test_a_pair_has_the_format_of_encoders(pairs: LanguageModel):
    a, b = "It is raining .", "I need an umbrella ."
    score = pairs.score((a, b))
    tokenizer = pairs.tokenizer
    ids_a, ids_b = tokenizer.encode(a).tolist(), tokenizer.encode(b).tolist()
    sep = tokenizer.sep_id
    assert score.ids.tolist() == [*ids_a, sep, *ids_b, sep]  # without [CLS], which has no factor
    assert score.contexts.tolist() == list(range(1, len(score) + 1))  # all contexts include [CLS]
    assert (score.start.policy, score.start.id, score.start.token) == ("cls", tokenizer.cls_id, "[CLS]")
    assert score.kind == "joint"
    assert list(score.segment_logprobs) == ["A", "sep_A", "B", "sep_B"]
    assert math.fsum(score.segment_logprobs.values()) == pytest.approx(score.logprob, abs=1e-12)
    alone = pairs.score([*ids_a, sep, *ids_b, sep], start=tokenizer.cls_id)
    assert score.logprobs.tolist() == alone.logprobs.tolist()
    cut = len(ids_a)
    assert score.segment_logprobs["A"] == math.fsum(alone.logprobs[:cut])
    assert score.segment_logprobs["sep_A"] == alone.logprobs[cut]
    assert score.segment_logprobs["B"] == math.fsum(alone.logprobs[cut + 1 : -1])


def test_the_end_symbol_of_a_pair_has_a_segment(pairs: LanguageModel):
    end = pairs.tokenizer.mask_id
    score = pairs.score(("a b", "c"), end=end)
    assert list(score.segment_logprobs) == ["A", "sep_A", "B", "sep_B", "end"]
    assert score.segment_logprobs["end"] == score.logprobs[-1]
    assert math.fsum(score.segment_logprobs.values()) == pytest.approx(score.logprob, abs=1e-12)


def test_pairs_among_texts_and_candidates(pairs: LanguageModel):
    text, pair = pairs.score_batch(["a b", ("a", "b")], start="given")
    assert (text.start.policy, text.kind, text.segment_logprobs) == ("given", "conditional", {})
    assert (pair.start.policy, pair.kind, len(pair.segment_logprobs)) == ("cls", "joint", 4)
    assert len(pairs.rank(None, [("a", "b"), ("b", "a")])) == 2


# Start and end


def test_start_policies(tiny: LanguageModel):
    text = TEXTS[0]
    bos, eos, given_, id = (tiny.score(text, start=s) for s in ("bos", "eos", "given", 7))
    assert [s.start.id for s in (bos, eos, given_, id)] == [tiny.tokenizer.bos_id, tiny.tokenizer.eos_id, None, 7]
    assert [s.start.policy for s in (bos, eos, given_, id)] == ["bos", "eos", "given", "id"]
    assert len(given_) == len(bos) - 1
    assert given_.contexts.tolist() == list(range(1, len(bos)))
    assert bos.logprobs[0] != eos.logprobs[0] != id.logprobs[0]
    assert id.logprobs[0] == pytest.approx(tiny.score([7, *id.ids], start="given").logprobs[0], abs=1e-5)


def test_end_adds_one_factor(tiny: LanguageModel):
    without, ended = tiny.score(TEXTS[0]), tiny.score(TEXTS[0], end=True)
    assert ended.ids.tolist() == [*without.ids, tiny.tokenizer.eos_id]
    assert ended.logprobs[:-1] == pytest.approx(without.logprobs, abs=1e-5)
    assert ended.logprobs[-1] == pytest.approx(tiny.conditional(TEXTS[0]).logprob(tiny.tokenizer.eos_id), abs=1e-5)


@pytest.mark.parametrize("call", ["score", "score_batch", "explain"])
def test_a_text_that_begins_with_the_start_symbol_raises_a_warning(tiny: LanguageModel, call: str):
    text = ["<s>hello"] if call == "score_batch" else "<s>hello"
    with pytest.warns(UserWarning, match=r"start symbol <s> \(id 0\).*start='given'"):
        getattr(tiny, call)(text, special="parse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(tiny, call)(text, special="parse", start="given")
        getattr(tiny, call)(text, special="parse", start="eos")
        getattr(tiny, call)(text, special="text")


# Texts longer than the model's context


@pytest.fixture(scope="module")
def long_text() -> str:
    return "The quick brown fox jumps over the lazy dog. " * 14


@pytest.mark.parametrize("start", ["bos", "given"])
@pytest.mark.parametrize(("window", "stride"), [(None, None), (None, 1), (None, 64), (20, None), (20, 7), (2, 1)])
def test_every_token_of_a_long_text_is_scored_once(tiny: LanguageModel, long_text: str, start: str, window, stride):
    score = tiny.score(long_text, start=start, window=window, stride=stride)
    ids, symbol = tiny.tokenizer.encode(long_text).tolist(), start == "bos"
    assert score.ids.tolist() == ids[not symbol :]
    assert score.windows > 1
    most, step = window or CONTEXT, stride or (window or CONTEXT) // 2
    assert score.contexts.max() == most
    later = score.contexts[most:]
    assert (later >= most - step + 1).all()
    head = [tiny.tokenizer.bos_id] if symbol else []
    for position in np.unique(np.linspace(0, len(score) - 1, 9).astype(int)).tolist():
        token, seen = position + (not symbol), int(score.contexts[position]) - symbol
        before = [*head, *ids[token - seen : token]]
        want = tiny.score([*before, ids[token]], start="given").logprobs[-1]
        assert score.logprobs[position] == pytest.approx(want, abs=1e-5)


def test_a_text_as_long_as_the_context_needs_no_window(tiny: LanguageModel):
    fits, over = [3, 5] * (CONTEXT // 2), [3, 5] * (CONTEXT // 2) + [3]
    assert tiny.score(fits, window=False).windows == 1
    with pytest.raises(InputError, match=f"context of {CONTEXT + 1} embeddings, and the model takes {CONTEXT}"):
        tiny.score(over, window=False)
    assert tiny.score(over, window=False, start="given").windows == 1  # no start symbol: one more token
    assert tiny.score(over).windows == 2


def test_the_error_names_the_text_and_the_remedy(tiny: LanguageModel, long_text: str):
    with pytest.raises(InputError, match=r"item 1: .*shorten it, or score it in windows") as error:
        tiny.score_batch(["a", long_text], window=False)
    assert error.value.item == 1


def test_the_beginning_of_a_long_context_is_cut(tiny: LanguageModel, long_text: str):
    score = tiny.score(" fox", context=long_text, stride=1)
    ids = [*score.request.context_ids, *score.ids]
    assert score.contexts.max() == CONTEXT
    want = tiny.score(ids[-CONTEXT:]).logprobs[-1]
    assert score.logprobs[-1] == pytest.approx(want, abs=1e-5)


def test_short_and_long_texts_in_one_batch(tiny: LanguageModel, long_text: str):
    scores = tiny.score_batch(["a", long_text, "b"])
    assert [s.windows for s in scores] == [1, scores[1].windows, 1]
    assert scores[1].logprob == pytest.approx(tiny.score(long_text).logprob, abs=1e-5)
    assert scores[2].logprob == pytest.approx(tiny.score("b").logprob, abs=1e-5)


# Options


def test_the_rows_of_a_chunk_do_not_change_numbers(tiny: LanguageModel):
    want = tiny.score_batch(TEXTS).logprobs
    assert tiny.score_batch(TEXTS, rows=3).logprobs == pytest.approx(want, abs=1e-5)


def test_progress_reports_all_contexts(tiny: LanguageModel):
    reports = []
    scores = tiny.score_batch(TEXTS, rows=4, progress=lambda done, of: reports.append((done, of)))
    assert [of for _, of in reports] == [scores.distinct_contexts] * len(reports)
    assert [done for done, _ in reports] == sorted({done for done, _ in reports})
    assert reports[-1][0] == scores.distinct_contexts


def test_top_agrees_with_conditional(tiny: LanguageModel):
    score = tiny.score(TEXTS[0], top=3)
    for i in range(len(score)):
        want = tiny.conditional(score.ids[:i]).top(3)
        assert [token for token, _ in score.top(i)] == [a.token for a in want]
        assert [p for _, p in score.top(i)] == pytest.approx([a.logprob for a in want], abs=1e-5)
    assert tiny.score(TEXTS[0]).top(0) == []


def test_an_empty_batch_has_no_scores(tiny: LanguageModel):
    scores = tiny.score_batch([])
    assert (len(scores), list(scores), scores.logprob.tolist()) == (0, [], [])


def test_repr_describes_the_model(tiny: LanguageModel, coin: LanguageModel):
    assert "LlamaForCausalLM, float32 on cpu, forest strategy, start bos" in repr(tiny)
    assert "TableModel, float64 on cpu" in repr(coin)


def test_a_model_without_a_tokenizer_scores_ids(tiny: LanguageModel, without_tokenizer: LanguageModel):
    score = without_tokenizer.score([5, 6, 7], top=1)
    assert score.logprobs.tolist() == tiny.score([5, 6, 7]).logprobs.tolist()
    assert score.tokens == ["<5>", "<6>", "<7>"]
    assert score.top(0)[0][0].startswith("<")
    assert (score.bytes, score.bits_per_byte, score.spans) == (0, None, None)


# Errors


@pytest.mark.parametrize(
    ("items", "match"),
    [
        (["a", ""], "item 1: an empty text has no token"),
        ([[1], []], "item 1: an empty sequence"),
        (["a", b"b"], r"item 1: bytes is not text.*decode"),
        (["a", "b\ud800"], r"item 1: .*U\+D800.*UTF-8"),
        ([[1], [2, -1]], "item 1: token id -1 at position 1 is out of range.*0 … 4"),
        ([[1], [99999]], "item 1: token id 99999 at position 0 is out of range"),
        ([[1], [1.5]], r"item 1: token ids are whole numbers, not float \(1.5 at position 0 of \[1.5\]\).*embeddings="),
        ([[1], [True]], r"item 1: token ids are whole numbers, not bool \(True at position 0"),
        ([[1], [[1], [1, 2]]], r"item 1: expected the token ids of one text, not 2 sequences \(\[\[1\], \[1, 2\]\]\)"),
        ([[1], [[1, 2], [3, 4]]], r"item 1: expected the token ids of one text, not 2 rows of shape \(2,\); score_batch"),
        (["a", None], r"item 1: the text is missing \(None\)"),
        (["a", 5], r"item 1: expected a text, token ids or a pair of texts, not int \(5\): .*in a list"),
        ([[1], ["b"]], r"item 1: expected one text, not a list of texts \(\['b'\]\)"),
    ],
)
def test_a_batch_names_the_item_that_cannot_be_scored(tiny: LanguageModel, items: list, match: str):
    with pytest.raises(InputError, match=match) as error:
        tiny.score_batch(items)
    assert error.value.item == 1
    assert not error.value.reason.startswith("item")
    assert isinstance(error.value, ValueError)
    with pytest.raises(InputError) as alone:
        tiny.score(items[1]) if items[1] is not None else tiny.score_batch(items[1:])
    assert alone.value.reason == error.value.reason
    assert items[1] is None or (alone.value.item, str(alone.value)) == (None, alone.value.reason)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"context": ["a", "b\udfff"]}, r"item 1: .*U\+DFFF"),
        ({"context": ["a", b"b"]}, "item 1: bytes is not text; decode"),
        ({"context": ["a", [1, 2]]}, r"item 1: the context of a text must be a text, not \[1, 2\]; to use token ids"),
        ({"context": [None, np.array([1, 2])]}, "item 1: the context of a text must be a text"),
    ],
)
def test_a_batch_names_the_item_whose_context_is_wrong(tiny: LanguageModel, options: dict, match: str):
    with pytest.raises(InputError, match=match) as error:
        tiny.score_batch(["x", "y"], **options)
    assert error.value.item == 1


def test_contexts_that_do_not_match_are_refused(tiny: LanguageModel, pairs: LanguageModel):
    with pytest.raises(InputError, match="2 texts and 1 contexts; pass one context for all, or one for each text"):
        tiny.score_batch(["a", "b"], context=["c"])
    with pytest.raises(InputError, match="item 1: context token id 99999"):
        tiny.score_batch([[1], [2]], context=[[1], [99999]])
    with pytest.raises(InputError, match="item 1: context= cannot be used with a pair"):
        pairs.score_batch(["a", ("a", "b")], context=[None, "c"])


def test_a_text_of_no_tokens(tiny: LanguageModel):
    with pytest.raises(InputError, match="item 1: the text '   ' has no tokens of its own") as error:
        llama(t5()).score_batch(["a", "   "])
    assert error.value.item == 1


def test_one_token_with_a_given_start_has_no_factor(tiny: LanguageModel):
    with pytest.raises(InputError, match=r"item 1: a single token with a given start.*start='bos'") as error:
        tiny.score_batch([[1, 2], [3]], start="given")
    assert error.value.item == 1
    assert len(tiny.score([3], start="given", end=True)) == 1
    assert len(tiny.score([3], start="given", context=[4])) == 1


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda lm: lm.score(), "nothing to score: give a text"),
        (lambda lm: lm.score_batch("text"), "score_batch takes a list.*use score"),
        (lambda lm: lm.rank("a", "b"), r"rank takes a list.*score\(text, context=...\)"),
        (lambda lm: lm.score(("a", "b")), r"no \[CLS\] and \[SEP\].*context="),
        (lambda lm: lm.conditional([99999]), "token id 99999"),
        (lambda lm: lm.conditional(start="given"), "given start.*context of one token"),
        (lambda lm: lm.conditional([3] * CONTEXT), f"{CONTEXT + 1} embeddings.*takes {CONTEXT}: shorten it"),
        (lambda lm: lm.embed([1, 99999]), "token id 99999 at position 1"),
        (lambda lm: lm.embed([1.5]), "whole numbers"),
        (lambda lm: lm.embed([]), "empty sequence"),
        (lambda lm: lm.embed(""), "empty text"),
        (lambda lm: lm.score("a", start="cls"), "start='cls' is not a start policy: choose 'auto'"),
        (lambda lm: lm.score("a", start=99999), "start=99999 is out of range.*0 to "),
        (lambda lm: lm.score("a", start=True), "start=True is not a token id"),
        (lambda lm: lm.score("a", end=-1), "end=-1 is out of range"),
    ],
)
def test_invalid_arguments_are_refused(tiny: LanguageModel, call: Callable, match: str):
    with pytest.raises(InputError, match=match):
        call(tiny)


def test_missing_symbols_are_named():
    lm = llama(t5())
    assert lm.start.policy == "given"
    with pytest.raises(InputError, match=r"start='bos'.*no BOS symbol.*start='given'"):
        lm.score("hello", start="bos")
    with pytest.raises(InputError, match=r"end=True.*no EOS symbol.*end=ID"):
        lm.score("hello", end=True)
    with pytest.raises(InputError, match="no EOS"):
        LanguageModel(lm.model, t5(), start="eos")


def test_a_pair_is_not_a_context(pairs: LanguageModel):
    with pytest.raises(InputError, match="not a pair"):
        pairs.conditional(("a", "b"), start=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("top", v) for v in (-1, 10**6, True, 1.5, "3")],
        *[("rows", v) for v in (0, -4, True, "many", 10**9)],
        *[("window", v) for v in (0, 1, -3, CONTEXT + 1, 2.5, "all")],
        *[("stride", v) for v in (0, -1, CONTEXT + 1, 2.5, True)],
    ],
)
def test_options_out_of_range_are_named_with_their_value(tiny: LanguageModel, option: str, value):
    with pytest.raises(InputError, match=option) as error:
        tiny.score("hello", **{option: value})
    assert str(value) in str(error.value)
    assert error.value.item is None


def test_an_unknown_option_is_a_type_error(tiny: LanguageModel):
    with pytest.raises(TypeError, match="unexpected keyword argument 'tops'"):
        tiny.score("hello", tops=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'strides'"):
        tiny.score_batch(["hello"], strides=1)


@pytest.mark.parametrize(
    ("embeddings", "match"),
    [
        (torch.zeros(2, 5), r"\(T, 32\).*float32 of shape \(2, 5\)"),
        (torch.zeros(32), r"\(T, 32\).*shape \(32,\)"),
        (torch.zeros(1, 2, 32), r"\(T, 32\)"),
        (torch.zeros(2, 32, dtype=torch.int64), r"\(T, 32\).*int64"),
        (torch.zeros(2, 32), "2 embeddings were passed with 3 token ids"),
        ([[1.0], [1.0, 2.0]], r"\(T, 32\)"),
        ("embeddings", r"\(T, 32\)"),
    ],
)
def test_embeddings_of_a_wrong_shape_or_type_are_refused(tiny: LanguageModel, embeddings, match: str):
    with pytest.raises(InputError, match=match):
        tiny.score([1, 2, 3], embeddings=embeddings)


def test_embeddings_that_are_not_those_of_a_token(tiny: LanguageModel):
    rows = torch.cat([tiny.embed([3]), torch.full((1, 32), 0.123)])
    with pytest.raises(InputError, match=r"row 1 of the embeddings is not in the model.*score\(ids, embeddings=...\)"):
        tiny.score(embeddings=rows)
    assert len(tiny.score([3, 4], embeddings=rows)) == 2
    with pytest.raises(InputError, match="put the context's embeddings before them"):
        tiny.score([3, 4], embeddings=rows, context="a")
    with pytest.raises(ModelError, match="NaN"):
        tiny.score([3, 4], embeddings=torch.full((2, 32), math.nan))


def test_text_needs_a_tokenizer(without_tokenizer: LanguageModel):
    for call in (
        lambda: without_tokenizer.score("a"),
        lambda: without_tokenizer.conditional("a"),
        lambda: without_tokenizer.score([1], context="a"),
    ):
        with pytest.raises(InputError, match="this model has no tokenizer, so it scores token ids"):
            call()


def test_an_unknown_character_of_a_table_is_named(coin: LanguageModel):
    with pytest.raises(InputError, match="'C' is not in the vocabulary"):
        coin.score("AC")
