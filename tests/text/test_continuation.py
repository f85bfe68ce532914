"""Texts after a context, and the pair format of BERT."""

import pytest
import text_zoo
from hypothesis import given
from unicode_texts import PLAIN_TEXTS

from chainrule.errors import InputError
from chainrule.text import Segment, Tokenizer, encode_after, encode_after_batch, encode_pair, spells
from chainrule.text.reading import Reading


def tokens(tokenizer: Tokenizer, ids) -> list[str]:
    return [tokenizer.token(id) for id in ids]


def test_pair_is_the_format_of_bert():
    tokenizer = text_zoo.wordpiece()
    start_id, ids, segments = encode_pair(tokenizer, "Hello world", "the dog")
    hf = tokenizer.hf("Hello world", "the dog")["input_ids"]
    assert [start_id, *ids] == hf
    assert segments == [Segment("A", 0, 3), Segment("sep_A", 3, 4), Segment("B", 4, 6), Segment("sep_B", 6, 7)]
    assert ids[slice(*segments[1][1:])].tolist() == [tokenizer.sep_id]
    assert tokens(tokenizer, ids[slice(*segments[2][1:])]) == [" the", " dog"]


def test_pair_of_empty_texts_is_its_separators():
    start_id, ids, segments = encode_pair(text_zoo.wordpiece(), "", "")
    assert (start_id, ids.tolist()) == (1, [2, 2])
    assert [segment.stop for segment in segments] == [0, 1, 1, 2]


def test_pair_without_separators_is_an_input_error():
    with pytest.raises(InputError, match="context="):
        encode_pair(text_zoo.byte_level(), "a", "b")


@pytest.mark.parametrize("name", ["byte_level", "byte_level_prefix", "llama", "unigram", "wordpiece"])
def test_text_after_a_context_has_the_tokens_of_the_joined_text(name: str):
    tokenizer = (text_zoo.LOSSLESS | text_zoo.LOSSY)[name]()
    continuation = encode_after(tokenizer, "Hello", " world")
    assert continuation.boundary == "same"
    assert [*continuation.context_ids, *continuation.ids] == tokenizer.encode("Hello world").tolist()
    assert continuation.context_ids.tolist() == tokenizer.encode("Hello").tolist()


@pytest.mark.parametrize("name", ["byte_level", "byte_level_prefix", "llama"])
def test_a_token_across_the_boundary_splits_context_and_text(name: str):
    tokenizer = text_zoo.LOSSLESS[name]()
    continuation = encode_after(tokenizer, "Hel", "lo")
    assert continuation.boundary == "apart"
    assert continuation.context_ids.tolist() == tokenizer.encode("Hel").tolist()
    assert "".join(tokens(tokenizer, continuation.ids)) == "lo"  # and not " lo"


def test_wordpiece_apart_begins_a_word():
    continuation = encode_after(text_zoo.wordpiece(), "Hel", "lo")
    assert continuation.boundary == "apart"
    assert tokens(text_zoo.wordpiece(), continuation.ids)[0].startswith(" ")


@pytest.mark.parametrize("name", text_zoo.LOSSLESS)
@given(context=PLAIN_TEXTS, text=PLAIN_TEXTS)
def test_context_and_continuation_spell_the_joined_text(name: str, context: str, text: str):
    tokenizer = text_zoo.LOSSLESS[name]()
    continuation = encode_after(tokenizer, context, text)
    joined = tokenizer.encode(context + text).tolist()
    both = [*continuation.context_ids.tolist(), *continuation.ids.tolist()]
    assert spells(context + text, [tokenizer.token_bytes(id) for id in both])
    assert continuation.context_ids.tolist() == tokenizer.encode(context).tolist()
    assert continuation.boundary == "same" if both == joined else continuation.boundary == "apart"


def test_empty_context_and_empty_text():
    tokenizer = text_zoo.llama()
    assert encode_after(tokenizer, "", "Hello").ids.tolist() == tokenizer.encode("Hello").tolist()
    assert encode_after(tokenizer, "Hello", "").ids.tolist() == []
    assert {encode_after(tokenizer, *texts).boundary for texts in [("", ""), ("", "Hello"), ("Hello", "")]} == {"same"}


def test_a_batch_has_the_tokens_of_its_texts_and_shares_contexts():
    tokenizer = text_zoo.llama()
    contexts = ["Hello wor", "Hello", "Hello wor", "Hello wor", ""]
    texts = ["ld", " world", " x", "d", "ld"]
    batch = encode_after_batch(tokenizer, contexts, texts)
    assert batch[0].context_ids is batch[2].context_ids is batch[3].context_ids
    for continuation, context, text in zip(batch, contexts, texts, strict=True):
        alone = encode_after(tokenizer, context, text)
        assert (continuation.ids.tolist(), continuation.boundary) == (alone.ids.tolist(), alone.boundary)
        assert continuation.context_ids.tolist() == alone.context_ids.tolist()


def test_large_batch_tokenises_each_context_once():
    tokenizer = text_zoo.byte_level()
    count, texts = 0, [f" {number}" for number in range(3000)]
    encode_batch = tokenizer.encode_batch

    class Counting(Tokenizer):
        def encode_batch(self, texts, special="text"):
            nonlocal count
            count += sum(text == "Hello" for text in texts)
            return encode_batch(texts, special)

    batch = encode_after_batch(Counting(tokenizer.hf), ["Hello"] * 3000, texts)
    assert count == 1
    assert ["".join(tokens(tokenizer, continuation.ids)) for continuation in batch] == texts


@pytest.mark.parametrize("name", ["byte_level", "llama"])
@pytest.mark.parametrize("reading", [Reading(a, b) for a in ("text", "parse") for b in ("text", "parse")])
@pytest.mark.parametrize(("context", "text"), [("a <s>", "b b"), ("a a", " b</s>"), ("a <s>", "b</s>"), ("a a", " b b")])
def test_symbols_in_text_and_context_are_read_separately(name: str, reading: Reading, context: str, text: str):
    tokenizer = text_zoo.LOSSLESS[name]()
    continuation = encode_after(tokenizer, context, text, reading)
    assert continuation.context_ids.tolist() == tokenizer.encode(context, reading.context).tolist()
    symbols = [tokenizer.special_ids.intersection(ids.tolist()) for ids in (continuation.context_ids, continuation.ids)]
    wanted = ["<s>" in context and reading.context == "parse", "</s>" in text and reading.text == "parse"]
    assert [bool(ids) for ids in symbols] == wanted
    alike = reading.text == reading.context
    assert continuation.boundary == ("apart" if (context, text) == ("a <s>", "b</s>") and not alike else "same")
    if alike:
        assert [*continuation.context_ids, *continuation.ids] == tokenizer.encode(context + text, reading.text).tolist()
    if name == "byte_level":  # llama adds a space after a symbol, here and in the joined text
        assert "".join(tokens(tokenizer, [*continuation.context_ids, *continuation.ids])) == context + text
    if name == "byte_level" or "<s>" not in context or reading.context == "text":  # see above
        assert tokenizer.encode_continuations([text], reading.text)[0].tolist() == continuation.ids.tolist()


def test_a_symbol_across_the_boundary_splits_context_and_text_if_parsed():
    tokenizer = text_zoo.byte_level()
    assert encode_after(tokenizer, "a <", "s> b", Reading("parse", "parse")).boundary == "apart"
    assert not tokenizer.special_ids.intersection(encode_after(tokenizer, "a <", "s> b").ids.tolist())


def test_a_long_shared_context_that_names_a_symbol():
    tokenizer, context = text_zoo.byte_level(), "The quick brown fox jumps. " * 20 + "<s>" + " The lazy dog sleeps." * 20
    for special in ("text", "parse"):
        batch = encode_after_batch(tokenizer, [context] * 3, [" a", " b</s>", " c"], Reading(special, special))
        for text, continuation in zip([" a", " b</s>", " c"], batch, strict=True):
            assert [*continuation.context_ids, *continuation.ids] == tokenizer.encode(context + text, special).tolist()
