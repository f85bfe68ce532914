"""The stable prefix of a long context is tokenised once for all texts after it, and the tokens do not change."""

from functools import cache

import pytest
import text_zoo
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend
from unicode_texts import PLAIN_TEXTS

from chainrule.text import Tokenizer, encode_after_batch
from chainrule.text.stable_prefix import EMPTY_PREFIX, encodes_words_separately, is_local

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama3": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(GPT4), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "o200k": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(O200K), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}
WORDS = st.sampled_from(
    ["The", "quick", "brown fox", "  ", "\n", "jumps.", "12345", "it's", "I'll", "naïve", "日本", "<s>", "x = 1;\n\t"]
)
CONTEXTS = st.lists(WORDS, min_size=40, max_size=120).map(" ".join)


@cache
def tokenizer(name: str) -> Tokenizer:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = PRE[name]
    if name == "llama3":
        backend.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text_zoo.train(backend, trainers.BpeTrainer, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    return text_zoo.wrap(backend, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("name", PRE)
@given(context=CONTEXTS, ending=PLAIN_TEXTS, texts=st.lists(PLAIN_TEXTS, min_size=1, max_size=4))
@example(context="the quick brown fox " * 30, ending="", texts=["", "jumps", " jumps", "\u0301", "<s>", "s>"])
@example(context="the quick brown fox " * 30, ending="  \n\n  ", texts=[" ", "\n", "x", "1", "'s"])
@example(context="the quick brown fox " * 30, ending="<", texts=["s>", "/s>"])
@example(context="the quick brown fox " * 30, ending="12", texts=["3", "34", "345"])
def test_texts_after_a_shared_context_have_the_joined_tokens(name: str, context: str, ending: str, texts: list[str]):
    tok = tokenizer(name)
    context, texts = context + ending, [*texts, *texts]
    ids = tok.encode(context).tolist()
    for text, continuation in zip(texts, encode_after_batch(tok, [context] * len(texts), texts), strict=True):
        whole = tok.encode(context + text).tolist()
        same = whole[: len(ids)] == ids
        want = whole[len(ids) :] if same else tok.encode_continuations([text])[0].tolist()
        assert continuation.context_ids.tolist() == ids
        assert (continuation.boundary, continuation.ids.tolist()) == ("same" if same else "apart", want)


@pytest.mark.parametrize("name", PRE)
def test_all_but_the_last_words_are_in_the_stable_prefix(name: str):
    context = "The quick brown fox jumps over the lazy dog. " * 30
    prefix = tokenizer(name).stable_prefix(context)
    assert len(context) - 90 < prefix.chars < len(context) - 64
    assert context[prefix.chars] == " "
    assert tokenizer(name).encode(context[: prefix.chars]).tolist() == tokenizer(name).encode(context).tolist()[: prefix.tokens]


@pytest.mark.parametrize("context", ["", "short", "日本語のテキスト" * 100, "1 2 3 4 5 6 7 8 9 " * 30])
def test_a_context_without_a_suitable_boundary_has_no_stable_prefix(context: str):
    assert tokenizer("gpt2").stable_prefix(context) == EMPTY_PREFIX


@pytest.mark.parametrize("name", ["byte_level_prefix", "llama", "unigram", "byt5", "t5", "wordpiece", "word_end", "words"])
def test_tokenizers_that_may_look_past_a_word_have_no_stable_prefix(name: str):
    tok = (text_zoo.LOSSLESS | text_zoo.LOSSY)[name]()
    assert tok.stable_prefix("the quick brown fox jumps over the lazy dog " * 30) == EMPTY_PREFIX


def test_tokenizers_with_dropout_have_no_stable_prefix():
    backend = Backend(models.BPE(dropout=0.5))
    backend.pre_tokenizer = PRE["gpt2"]
    assert not encodes_words_separately(backend)


def test_normalizers_that_cross_words_have_no_stable_prefix():
    for normalizer in (normalizers.Lowercase(), normalizers.Strip(), normalizers.Replace("e q", "z")):
        backend = Backend(models.BPE())
        backend.pre_tokenizer = PRE["gpt2"]
        assert encodes_words_separately(backend)
        backend.normalizer = normalizer
        assert not encodes_words_separately(backend)


@pytest.mark.parametrize("pattern", [GPT4, O200K, r" ?\p{L}+|[^a-z.$]+|\s+(?!\S)", r"\p{N}{1,3}+", r"[.^$]", r"(?:a|b)|\."])
def test_local_expressions(pattern: str):
    assert is_local(pattern)


@pytest.mark.parametrize(
    "pattern", [r"(?<=a)b", r"(?<!a)b", r"a.*b", r"^a", r"a$", r"\bword\b", r"\Ga", r"(a)\1", r"(?>a)b", r"x\z"]
)
def test_expressions_that_may_not_be_local(pattern: str):
    assert not is_local(pattern)
