"""Words: their factors, and the correction for where they begin and end, against sums over the whole vocabulary."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import regex
import text_zoo
import torch
from oracle import conditionals
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from chainrule import InputError, LanguageModel, ModelError, TableModel
from chainrule.loading import load
from chainrule.text.words import spans_of_texts

FAMILIES = ["byte_level", "llama", "unigram", "wordpiece", "word_end", "byte_level_prefix", "byt5"]
TEXTS = [
    "Hello world, hello there! How are you today?",
    "the quick brown fox  jumps\nover (the) lazy dog's back.",
    "jugs",
]
TABLE = {"": [0.4, 0.3, 0.2, 0.1], (" a",): [0.1, 0.2, 0.5, 0.2], ("c",): [0.3, 0.4, 0.1, 0.2], (" b",): [0.25] * 4}


@pytest.fixture(scope="module")
def family() -> Callable[[str], LanguageModel]:
    """A random model in float64 for a tokenizer of the zoo."""
    made: dict[str, LanguageModel] = {}

    def make(name: str) -> LanguageModel:
        if name not in made:
            tokenizer = getattr(text_zoo, name)()
            torch.manual_seed(0)
            config = LlamaConfig(
                vocab_size=tokenizer.size + 5, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3,
                bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id,
            )  # fmt: skip
            made[name] = load(LlamaForCausalLM(config).double(), tokenizer=tokenizer.hf, start=tokenizer.bos_id or 0)
        return made[name]

    return make


@pytest.fixture
def table() -> LanguageModel:
    tokens = [" a", " b", "c", "</s>"]
    return LanguageModel(TableModel(tokens, TABLE, probabilities=True, back_off=True, end="</s>"))


def test_a_table(table: LanguageModel):
    """.4 · .5 · .9 / .8 and .4 · .75 / .9: Z at the start is .4 + .3 + .1, after c .3 + .4 + .2, after b .75."""
    words = table.words(" ac b")
    assert [w.word for w in words] == ["ac", "b"]
    assert np.exp(words.logprob_uncorrected).tolist() == pytest.approx([0.2, 0.4], abs=1e-12)
    assert np.exp(words.logprob).tolist() == pytest.approx([0.225, 1 / 3], abs=1e-12)
    assert words.surprisal_bits.tolist() == pytest.approx([2.152003, 1.584963], abs=1e-6)
    # A text that begins within a word has its own set: c and the end
    assert np.exp(table.words("c b").logprob).tolist() == pytest.approx([0.2 * 0.9 / 0.3, 1 / 3], abs=1e-12)


def test_the_probabilities_of_all_words_sum_to_1():
    """Words of up to three tokens: after two tokens that continue a word, none continues it. The end counts once."""
    tokens = [" a", " b", "c", "</s>"]
    rows = TABLE | {("c", "c"): [0.4, 0.4, 0.0, 0.2], (" b", "c", "c"): [0.1, 0.6, 0.0, 0.3]}
    lm = LanguageModel(TableModel(tokens, rows, probabilities=True, back_off=True, end="</s>"))
    strings = ["".join([first, *rest]) for first in (" a", " b") for n in range(3) for rest in product(["c"], repeat=n)]
    for before in ("", " a", " bc b"):
        words = lm.words([before + string for string in strings])
        last = [words.logprob[stop - 1] for stop in words.offsets[1:]]
        end = lm.score(before, end=True).logprobs[-1] if before else math.log(0.1)
        mass = lm.words(before + " a")
        z = mass.logprob_uncorrected[-1] - mass.logprob[-1] + math.log(sum(TABLE[(" a",)][i] for i in (0, 1, 3)))
        assert sum(np.exp(last)) + math.exp(end - z) == pytest.approx(1, abs=1e-12)


def spelled(lm: LanguageModel, ids: list[int]) -> str:
    return b"".join(lm.tokenizer.token_bytes(id) for id in ids).decode("utf-8", "replace")


def always_begins(lm: LanguageModel, before: list[int], units: str) -> bool:
    """Whether any token begins a word after these: after white space, and for UAX 29 after punctuation, symbols …"""
    text = spelled(lm, before)
    if lm.tokenizer.space_mark == "after":
        return units == "unicode"
    classes = r"[\p{WB=ALetter}\p{WB=Numeric}\p{WB=Katakana}\p{WB=ExtendNumLet}]"
    return text[-1:].isspace() or (
        units == "unicode" and lm.tokenizer.space_mark is None and not regex.match(classes, text[-1:])
    )


def begins_word(lm: LanguageModel, before: list[int], token: int, units: str, first: int) -> bool:
    """Whether a token begins a word after others, from the text that they spell together."""
    tokenizer = lm.tokenizer
    if token in tokenizer.special_ids and token != tokenizer.unk_id:
        return True
    if not tokenizer.token_bytes(token) or token == tokenizer.unk_id:
        return False
    if not before:
        return begins_with_space(lm, token) == begins_with_space(lm, first)
    if tokenizer.space_mark is not None:  # from the string of the token, as it is in the vocabulary
        string = tokenizer.hf.convert_ids_to_tokens(token)
        kinds = {unicodedata.category(character) for character in string.removesuffix("</w>")}
        closing = bool(kinds) and all(kind[0] == "P" for kind in kinds) and not kinds <= {"Ps", "Pi"}
        return not string.startswith("##") and (units == "unicode" or not closing)
    prefix, whole = spelled(lm, before), spelled(lm, [*before, token])
    if units == "unicode":
        whole = prefix + tokenizer.token_bytes(token).decode("utf-8", "replace").partition("\ufffd")[0]
        return len(whole) > len(prefix) and len(prefix) in {m.start() for m in regex.finditer(r"(?V1w)\b", whole)}
    return len(whole.split()) > len(prefix.split()) or (whole != prefix and not whole[len(prefix) :].strip())


@pytest.mark.parametrize("units", ["whitespace", "unicode"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_correction_against_the_whole_vocabulary(family: Callable[[str], LanguageModel], name: str, units: str):
    """Σ over all next tokens of the model's own distribution, each judged by the text that it spells."""
    lm = family(name)
    for text in TEXTS:
        words = lm.words(text, units)
        ids = words.scores.requests[0].ids.tolist()
        logprob_TV = conditionals(lm.model.lm, [lm.start.id, *ids])
        for w in range(len(words)):
            if words.boundary[w] != "clean":
                continue
            first = int(words.first[w])
            want = words.logprob_uncorrected[w]
            for sign, place in ((-1, first), (1, first + int(words.tokens[w]))):
                if not place or not always_begins(lm, ids[:place], units):
                    begins = [v for v in range(lm.tokenizer.size) if begins_word(lm, ids[:place], v, units, ids[0])]
                    want += sign * np.logaddexp.reduce(logprob_TV[place][begins])
            assert words.logprob[w] == pytest.approx(want, abs=1e-9), (text, words[w])


def begins_with_space(lm: LanguageModel, token: int) -> bool:
    return lm.tokenizer.token_bytes(token).decode("utf-8", "replace")[:1].isspace()


@pytest.mark.parametrize("correction", ["full", "none"])
@pytest.mark.parametrize("name", FAMILIES)
def test_words_add_up(family: Callable[[str], LanguageModel], name: str, correction: str):
    """Each factor counts for one word, or for none; corrected words add up to the joint but for the first and last Z."""
    lm = family(name)
    texts = [*TEXTS, "  two  spaces before, and after \n"]
    words, scores = lm.words(texts, correction=correction), lm.score_batch(texts)
    assert np.array_equal(words.scores.logprobs, scores.logprobs)
    assert [r.ids.tolist() for r in words.scores.requests] == [r.ids.tolist() for r in scores.requests]
    assert words.scores.offsets.tolist() == scores.offsets.tolist()
    for s, text in enumerate(texts):
        own = slice(words.offsets[s], words.offsets[s + 1])
        assert words.words[own] == text.split()
        known = np.nan_to_num(words.logprob_uncorrected[own])
        assert known.sum() + words.logprob_outside[s] == pytest.approx(scores.logprob[s], abs=1e-9)
        for w in range(own.start, own.stop):
            if words.tokens[w]:
                factors = scores.logprobs[words.first[w] : words.first[w] + words.tokens[w]]
                assert words.logprob_uncorrected[w] == pytest.approx(factors.sum(), abs=1e-9)
                assert words.entropy[w] == scores.entropies[words.first[w]]
        if correction == "none":
            np.testing.assert_array_equal(words.logprob, words.logprob_uncorrected)
        elif set(words.boundary[own]) == {"clean"}:
            first, last = (lm.words(part) for part in (words.words[own.start], text))
            z_before = first.logprob_uncorrected[0] - first.logprob[0]
            assert np.isfinite(z_before)
            assert words.logprob[own].sum() - known.sum() <= 1e-9 - min(0.0, words.logprob_uncorrected[own][0])
            assert last.logprob[-1] == pytest.approx(words.logprob[own][-1], abs=1e-9)


def test_the_corrections_of_neighbours_cancel(family: Callable[[str], LanguageModel]):
    """The sum over the words is the joint, −log Z at the start, + log Z at the end."""
    lm = family("byte_level")
    words = lm.words(TEXTS[0])
    logprob_TV = conditionals(lm.model.lm, [lm.start.id, *words.scores.requests[0].ids.tolist()])
    size = lm.tokenizer.size
    at_start = [v for v in range(size) if v in lm.tokenizer.special_ids or not begins_with_space(lm, v)]
    at_end = [v for v in range(size) if v in lm.tokenizer.special_ids or begins_with_space(lm, v)]
    edges = np.logaddexp.reduce(logprob_TV[-1][at_end]) - np.logaddexp.reduce(logprob_TV[0][at_start])
    assert words.logprob.sum() == pytest.approx(lm.score(TEXTS[0]).logprob + edges, abs=1e-9)


def test_without_a_start_symbol_a_given_first_word_has_no_number(family: Callable[[str], LanguageModel]):
    words = family("byte_level").words("Hello world, hello", start="given", previous=2)
    assert words[0].logprob is words[0].surprisal_bits is None
    assert all(w.logprob is not None for w in words[1:])
    table = words.to_arrow()
    assert table["logprob"].to_pylist()[0] is None
    assert table["entropy_bits"].to_pylist()[0] is None
    bits = table["surprisal_bits"].to_pylist()
    assert table["surprisal_bits_prev1"].to_pylist() == [None, None, bits[1]]
    assert table["surprisal_bits_prev2"].to_pylist() == [None, None, None]


def test_columns(family: Callable[[str], LanguageModel]):
    table = family("byte_level").words(["Hello world", "the dog"], previous=1).to_arrow()
    assert table.column_names[:18] == [
        "index", "word", "word_index", "begin", "stop", "tokens", "logprob", "surprisal_bits", "surprisal_bits_prev1",
        "logprob_uncorrected", "entropy_bits", "boundary", "crossing", "unit", "correction", "rule", "start", "start_id",
    ]  # fmt: skip
    assert table["index"].to_pylist() == [0, 0, 1, 1]
    assert table["word_index"].to_pylist() == [0, 1, 0, 1]
    assert table["begin"].to_pylist() == [0, 6, 0, 4]
    assert table["surprisal_bits_prev1"].to_pylist()[::2] == [None, None]
    assert {"model", "revision", "dtype", "window", "chainrule"} <= set(table.column_names)


def test_each_word_is_the_same_alone_and_among_others(family: Callable[[str], LanguageModel]):
    lm = family("byte_level")
    together = lm.words(TEXTS)
    for s, text in enumerate(TEXTS):
        np.testing.assert_array_equal(lm.words(text).logprob, together.logprob[together.offsets[s] : together.offsets[s + 1]])


def test_unicode_words():
    texts = ["don't stop, 3.14 (e.g.)!", "日本語 caf\u0065\u0301s", "a_b  c\n"]
    spans, name = spans_of_texts(texts, "unicode")
    assert name == "unicode"
    words = [[text[a:b] for a, b in own] for text, own in zip(texts, spans, strict=True)]
    assert words == [
        ["don't", "stop", ",", "3.14", "(", "e.g", ".", ")", "!"], ["日", "本", "語", "cafe\u0301s"], ["a_b", "c"],
    ]  # fmt: skip


def test_regions_and_functions(family: Callable[[str], LanguageModel]):
    """A region is the sum of its words; one that cuts a token says so, and its factor counts where the token begins."""
    lm = family("byte_level")
    text = "Hello world, hello there!"
    words = lm.words(text)
    regions = lm.words(text, ["Hello world,", "hello", "there!"])
    assert regions.unit == "given"
    np.testing.assert_allclose(regions.logprob, [words.logprob[:2].sum(), *words.logprob[2:]], atol=1e-9)
    by_spans = lm.words(text, [(0, 12), (13, 18), (19, 25)])
    np.testing.assert_array_equal(by_spans.logprob, regions.logprob)
    by_function = lm.words([text], str.split)
    assert by_function.unit == "split"
    np.testing.assert_array_equal(by_function.logprob, words.logprob)
    gap = lm.words(text, [(13, 18)])
    assert gap.logprob.tolist() == [regions.logprob[1]]
    assert gap.logprob_outside[0] == pytest.approx(lm.score(text).logprob - gap.logprob_uncorrected[0], abs=1e-9)
    cut = lm.words(text, [(0, 8), (8, 12), (12, 25)])
    crossing = lm.score(text).tokens[1]
    assert len(crossing) > 3
    assert [w.boundary for w in cut] == ["token crosses", "token crosses", "clean"]
    assert cut.crossing == {0: [crossing], 1: [crossing]}
    assert cut.logprob_uncorrected.sum() == pytest.approx(lm.score(text).logprob, abs=1e-9)


def test_where_words_adjoin_nothing_is_corrected(family: Callable[[str], LanguageModel]):
    """Units that are not words do not end where a word does: un|do|ing as a prefix of all that may follow."""
    lm = family("byt5")
    words = lm.words("undoing it", [(0, 2), (2, 4), (4, 7), (8, 10)])
    np.testing.assert_array_equal(words.logprob[1], words.logprob_uncorrected[1])
    whole = lm.words("undoing it")
    assert words.logprob[:3].sum() == pytest.approx(whole.logprob[0], abs=1e-9)
    assert set(words.boundary) == {"clean"}


def test_a_context(family: Callable[[str], LanguageModel]):
    """The words after a context are those of the joined text."""
    lm = family("byte_level")
    joined = lm.words("Hello world, hello there!")
    after = lm.words(" hello there!", context="Hello world,")
    np.testing.assert_allclose(after.logprob, joined.logprob[2:], atol=1e-9)
    assert [w.begin for w in after] == [1, 7]
    several = lm.words([" hello there!", "Hello world,"], context=["Hello world,", None])
    np.testing.assert_allclose(several.logprob, [*after.logprob, *joined.logprob[:2]], atol=1e-9)


def test_windows(family: Callable[[str], LanguageModel]):
    lm = family("byte_level")
    text = " ".join(["hello world,"] * 30)
    words, scores = lm.words(text, window=20), lm.score_batch([text], window=20)
    np.testing.assert_array_equal(words.scores.logprobs, scores.logprobs)
    np.testing.assert_array_equal(words.scores.contexts, scores.contexts)
    assert len(words) == 60
    # Without a token after it, the end of the text is read where the next window begins
    ids, stride = words.scores.requests[0].ids.tolist(), 10
    tail = [lm.start.id, *ids[len(ids) - (20 - stride) :]]
    spaces = [v for v in range(lm.tokenizer.size) if v in lm.tokenizer.special_ids or begins_with_space(lm, v)]
    after = np.logaddexp.reduce(conditionals(lm.model.lm, tail)[-1][spaces])
    no_space = [v for v in range(lm.tokenizer.size) if v in lm.tokenizer.special_ids or not begins_with_space(lm, v)]
    before = np.logaddexp.reduce(conditionals(lm.model.lm, [lm.start.id])[-1][no_space])
    assert (words.logprob - words.logprob_uncorrected).sum() == pytest.approx(after - before, abs=1e-9)


@pytest.mark.parametrize("length", [19, 20, 21])
def test_a_text_that_fills_the_window(family: Callable[[str], LanguageModel], length: int):
    """One more token would not fit: the factors are those of `score`, and windows=False takes what it takes there."""
    lm = family("byt5")
    text = "abc d" * 9
    text = text[: length - 1] + "e"
    words, scores = lm.words(text, window=20), lm.score(text, window=20)
    np.testing.assert_array_equal(words.scores.logprobs, scores.logprobs)
    np.testing.assert_array_equal(words.scores.contexts, scores.contexts)
    assert words.scores.windows.tolist() == [scores.windows]
    assert np.isfinite(words.logprob).all()


def test_a_temperature(family: Callable[[str], LanguageModel]):
    lm = family("byte_level")
    words = lm.words(TEXTS[0], temperature=0.5)
    logprob_TV = 2 * conditionals(lm.model.lm, [lm.start.id, *words.scores.requests[0].ids.tolist()])
    logprob_TV -= np.logaddexp.reduce(logprob_TV, 1, keepdims=True)
    spaces = [v for v in range(lm.tokenizer.size) if v in lm.tokenizer.special_ids or begins_with_space(lm, v)]
    before, after = (np.logaddexp.reduce(logprob_TV[words.first[3] + n * words.tokens[3]][spaces]) for n in (0, 1))
    assert words.logprob[3] == pytest.approx(words.logprob_uncorrected[3] - before + after, abs=1e-9)


def test_impossible_words_stay_impossible():
    rows = {"": [1.0, 0.0, 0.0], (" a",): [0.0, 0.5, 0.5]}
    lm = LanguageModel(TableModel([" a", " b", "c"], rows, probabilities=True, back_off=True))
    assert lm.words(" b a").logprob.tolist() == [-math.inf, math.log(0.5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "a b", "units": "words"}, 'units must be "whitespace", "unicode", a function, or the words'),
        ({"texts": "a b", "correction": "half"}, 'correction must be "full" or "none", not \'half\''),
        ({"texts": "a b", "previous": -1}, "previous must be a whole number of words, 0 or more, not -1"),
        ({"texts": " \n"}, r"the text ' \\n' has no words"),
        ({"texts": ["a", " "]}, "item 1: the text ' ' has no words"),
        ({"texts": []}, "there are no texts"),
        ({"texts": ["a", None]}, r"item 1: the text is missing \(None\)"),
        ({"texts": [[1, 2]]}, r"item 0: words are parts of texts, not of list \(\[1, 2\]\)"),
        ({"texts": "a b", "context": [[5]]}, "the context of words must be a text"),
        (
            {"texts": "a b", "units": ["a", "c"]},
            "the words do not spell the text: word 1 is 'c', but the text goes on with 'b'",
        ),
        ({"texts": "a b", "units": ["a", "b", "c"]}, "word 2 is 'c', but the text goes on with nothing"),
        ({"texts": "a b c", "units": ["a", "b"]}, "after the last word, it goes on with ' c'"),
        ({"texts": "a b", "units": ["a", ""]}, "word 1 is '', which is not a word"),
        ({"texts": "a b", "units": []}, "there are no words"),
        ({"texts": "a b", "units": [(0, 9)]}, r"the span \(0, 9\) is outside the text, which has the characters 0 to 3"),
        ({"texts": "a b", "units": [(0, 2), (1, 3)]}, r"the span \(1, 3\) begins before the end of the one before it, 2"),
        ({"texts": "a b", "units": [(1, 2)]}, r"the span \(1, 2\) has white space only"),
        ({"texts": "a b", "units": [3]}, r"a unit is a word or a pair \(begin, stop\) of characters, not 3"),
        ({"texts": ["a b", "c"], "units": [["a", "b"]]}, "there are 2 texts and the units of 1"),
    ],
)
def test_bad_input(family: Callable[[str], LanguageModel], arguments: dict, message: str):
    with pytest.raises(InputError, match=message):
        family("byte_level").words(**arguments)


def test_a_masked_model_has_no_distribution_of_the_next_token():
    tokenizer = text_zoo.wordpiece()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64,
    )  # fmt: skip
    lm = load(BertForMaskedLM(config), tokenizer=tokenizer.hf)
    with pytest.raises(InputError, match="correction='none' needs no distribution of the next token"):
        lm.words("hello there")
    words = lm.words("hello there", correction="none")
    assert words.logprob.sum() == pytest.approx(lm.score("hello there").logprob, abs=1e-9)


def test_numbers_of_gpt2():
    """Surprisals of "The key to the cabinets were on the table." without a start symbol, if the weights are at hand."""
    try:
        lm = load("gpt2", start="given", device="cpu")
    except ModelError as error:
        pytest.skip(f"GPT-2 is not at hand: {error}")
    bits = lm.score("The key to the cabinets were on the table.").surprisals_bits
    want = [10.35491943, 2.01909447, 3.75830460, 21.04239846, 6.04471540, 9.18673897, 1.02666938, 6.74305582, 2.84871125]
    assert bits.tolist() == pytest.approx(want, abs=1e-3)
