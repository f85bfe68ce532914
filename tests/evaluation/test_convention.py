"""The harness's conventions, against its rules written out for one request at a time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from harness_models import FAMILIES, with_start
from text_zoo import CORPUS, byte_level, unigram

from chainrule import InputError, LanguageModel
from chainrule.evaluation.convention import UNBOUNDED, Convention, Part, longest_context
from chainrule.text import Tokenizer
from chainrule.text.start_end import Start

REQUESTS = [
    ("Hello world,", " hello there!"),
    ("Hello world, ", "hello there!"),
    ("a \n\n ", "b"),
    ("How are", " you today?"),
    ("", "Hello world"),
    ("", "<s>Hello"),
    ("<s>Hello", " there"),
    ("<|endoftext|>Hello", " there"),
    ("naïve c", "afé, Ελληνικά"),
    *((line[:cut], line[cut:]) for line in CORPUS[:5] for cut in (3, 9, 17)),
]


def written_out(tokenizer: Tokenizer, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Context and continuation as the harness's documentation describes them."""
    hf = tokenizer.hf
    prefix = hf.bos_token_id if hf.bos_token_id is not None else hf.eos_token_id

    def encode(text: str) -> list[int]:
        return hf.encode(text, add_special_tokens=not text.startswith(hf.decode(prefix)))

    if not context:
        ids = hf.encode(continuation, add_special_tokens=False)
        return ([prefix], ids) if ids[0] != prefix else (ids[:1], ids[1:])
    while context[-1:].isspace():
        context, continuation = context[:-1], context[-1] + continuation
    before = encode(context)
    return before, encode(context + continuation)[len(before) :]


@pytest.mark.parametrize("make", [make for make, _ in FAMILIES.values()], ids=list(FAMILIES))
def test_requests_are_split_as_in_the_harness(make):
    tokenizer = make()
    parts = Convention(tokenizer, 1000).parts(REQUESTS)
    got = [(part.context_ids.tolist(), part.ids.tolist()) for part in parts]
    assert got == [written_out(tokenizer, *request) for request in REQUESTS]


def test_equal_contexts_are_one_array():
    a, b, c = Convention(byte_level(), 1000).parts([("Hello", " a"), ("Hello ", "b"), ("hello", " a")])
    assert a.context_ids is b.context_ids is not c.context_ids


def test_a_context_of_white_space_alone_counts_as_empty():
    [part] = Convention(byte_level(), 1000).parts([("  \n", "a")])
    assert part.context_ids.tolist() == [byte_level().bos_id]
    assert part.ids.tolist() == byte_level().encode("  \na").tolist()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (("Hello", ""), r"^item 1: the continuation '' has no tokens of its own after the context 'Hello'$"),
        (("", ""), r"^item 1: the continuation '' has no tokens"),
        (("", "<s>"), r"^item 1: the continuation '<s>' has no tokens"),
        (("a", "b" * 40), r"^item 1: the continuation 'b+' has \d+ tokens, but max_length is 8$"),
    ],
)
def test_requests_without_an_answer(request_: tuple[str, str], message: str):
    with pytest.raises(InputError, match=message):
        Convention(byte_level(), 8).parts([("a", "b"), request_])


def test_a_tokenizer_without_symbols_needs_a_start():
    with pytest.raises(InputError, match=r"has neither BOS nor EOS.*choose start="):
        Convention(unigram(), 8).parts([("", "a")])
    [part] = Convention(unigram(), 8, Start("id", 5, "x")).parts([("", "a")])
    assert part.context_ids.tolist() == [5]
    assert Convention(unigram(), 8).parts([("Hello", " world")])[0].context_ids.tolist() == unigram().encode("Hello").tolist()


def test_a_start_symbol_replaces_the_tokenizers_own():
    tokenizer = with_start()
    plain = tokenizer.encode("Hello").tolist()
    eos, bos, given = Start("eos", 2, "</s>"), Start("bos", 1, "<s>"), Start("given", None, None)
    firsts = {start.policy: Convention(tokenizer, 99, start).encode(["Hello"])["Hello"] for start in (eos, bos, given)}
    assert firsts == {"eos": [2, *plain], "bos": [1, *plain], "given": plain}
    assert Convention(tokenizer, 99, bos).encode(["<s>Hello"])["<s>Hello"][:2] == [1, tokenizer.encode("<s>Hello", "parse")[1]]
    assert Convention(tokenizer, 99, given).parts([("", "a")])[0].context_ids.tolist() == [1]  # the prefix, as in the harness


@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 9, 10, 11, 23])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_windows(length: int, most: int):
    """Every token once, in order; the longest contexts; the prefix in the first window only."""

    class Letters:
        bos_id, eos_id = 99, None
        encode_batch = staticmethod(lambda texts, special: [np.arange(len(text)) for text in texts])
        token_bytes = staticmethod(lambda id: b"<s>")

    parts = Convention(Letters(), most).windows("x" * length)  # type: ignore[arg-type]
    assert [id for part in parts for id in part.ids.tolist()] == list(range(length))
    stream, done = [99, *range(length)], 0
    for i, part in enumerate(parts):
        assert len(part.ids) == min(most, length - i * most)
        whole = [*part.context_ids.tolist(), *part.ids.tolist()]
        done += len(part.ids)
        assert whole == stream[done + 1 - len(whole) : done + 1]
        assert len(whole) == (most + 1 if i or length >= most else length + 1)
    if parts:
        assert parts[0].context_ids.tolist() == [99]


def test_long_contexts_are_cut_from_the_left():
    convention = Convention(byte_level(), 6)
    for context, ids, kept in ((9, 1, 6), (9, 3, 4), (4, 3, 4), (3, 3, 3), (9, 6, 1)):
        part = convention.cut(Part(np.arange(context), np.arange(ids)))
        assert part.context_ids.tolist() == list(range(context - kept, context))


def test_the_longest_context_is_that_of_the_config():
    config, inner = SimpleNamespace, byte_level()
    assert longest_context(config(max_position_embeddings=7, n_ctx=9), inner) == 7
    assert longest_context(config(n_positions=5, max_position_embeddings=7), inner) == 5
    assert longest_context(config(max_position_embeddings=7, text_config=config(n_ctx=3)), inner) == 3
    assert longest_context(config(), inner) == longest_context(None, inner) == UNBOUNDED
    limited = SimpleNamespace(hf=SimpleNamespace(model_max_length=512))
    assert longest_context(config(), limited) == 512  # type: ignore[arg-type]


def test_tables_have_a_vocabulary_of_their_own(abc: LanguageModel, tmp_path: Path):
    [part] = Convention(abc.tokenizer, 9).parts([("AB", "C")])
    assert (part.context_ids.tolist(), part.ids.tolist()) == ([0, 1], [2])
