"""Spans of tokens: the bytes and characters of a text that each token covers."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import text_zoo
from hypothesis import example, given
from hypothesis import strategies as st
from unicode_texts import TEXTS, UNICODE, check_sound, shown

from chainrule.text import align, spells


def chars_of(text: str, begin: int, end: int) -> list[int]:
    """The naive computation: every character with any byte in begin..end."""
    owner = [rank for rank, character in enumerate(text) for _ in character.encode()]
    return sorted(set(owner[begin:end]))


@given(TEXTS, st.lists(st.integers(0, 200)))
def test_pieces_that_spell_the_text_partition_it(text: str, cuts: list[int]):
    raw = text.encode()
    bounds = sorted([0, len(raw), *(cut for cut in cuts if cut <= len(raw))])
    spans = align(text, [raw[begin:end] for begin, end in pairwise(bounds)])
    assert spans.exact
    assert spans.byte_spans == list(pairwise(bounds))
    for (begin, end), (first, last) in zip(spans.byte_spans, spans.char_spans, strict=True):
        if begin < end:
            assert list(range(first, last)) == chars_of(text, begin, end)
    check_sound(text, spans)


@given(TEXTS, st.lists(st.one_of(st.binary(max_size=6), UNICODE.map(str.encode)), max_size=30), st.booleans())
@example("\u3000a", [b"\xe3", b"\x80", b"\x80", b"A"], False)
@example("xﬁ", [b"x\xe3", b"\x80", b"\x80f", b"i"], False)
@example("ﬁ", [b"f", b"", b"i"], False)
def test_any_pieces_get_valid_spans(text: str, pieces: list[bytes], hinted: bool):
    hints = [(rank, rank + 2) for rank in range(len(pieces))] if hinted else None
    spans = align(text, pieces, hints)
    assert len(spans.byte_spans) == len(spans.char_spans) == len(pieces)
    assert spans.exact == spells(text, pieces)
    check_sound(text, spans)


def test_an_added_space_at_either_end_does_not_shift_the_spans():
    before = align("Hi you", [b" ", b"Hi", b" you"])
    assert before.exact
    assert before.byte_spans == [(0, 0), (0, 2), (2, 6)]
    after = align("Hi you", [b"Hi ", b"you "])
    assert after.exact
    assert after.byte_spans == [(0, 3), (3, 6)]
    assert not align("Hi you", [b"  Hi", b" you"]).exact


def test_parts_of_a_character_show_the_character():
    spans = align("a€b", [b"a\xe2", b"\x82", b"\xacb"])
    assert spans.byte_spans == [(0, 2), (2, 3), (3, 5)]
    assert shown("a€b", spans) == ["a€", "€", "€b"]


@pytest.mark.parametrize(
    ("text", "pieces", "want"),
    [
        ("Héllo  WORLD", [b" hello", b" wor", b"ld"], ["Héllo", "  WOR", "LD"]),  # case, accents, spaces
        ("Hello, you", [b" hello", b" ,", b" you"], ["Hello", ",", " you"]),  # spaces that are not in the text
        ("Hello, you", [b"hello ", b", ", b"you "], ["Hello", ", ", "you"]),
        ("a ☃ b", [b" a", b"", b" b"], ["a", " ☃", " b"]),  # unknown
        ("a ☃ é b", [b" a", b"", b"", b" b"], ["a", " ☃", " é", " b"]),
        ("☃a", [b"", b"a"], ["☃", "a"]),
        ("banana b", [b"", b" b"], ["banana", " b"]),  # an unknown token takes some text
        ("ﬁne", [b"f", b"i", b"ne"], ["ﬁ", "ﬁ", "ne"]),
        ("e\u0301t", ["é".encode(), b"t"], ["e\u0301", "t"]),  # an accent goes with its letter
        ("①②", [b"1", b"2"], ["①", "②"]),
        ("a  b", [b"<s>", b"a", b" ", b"b", b"</s>"], ["", "a", "  ", "b", ""]),
        ("A   b", [b"a", b" ", b" ", b" b"], ["A", " ", " ", " b"]),
        ("x\u200d\u0007y", [b"x", b"y"], ["x", "y"]),  # dropped characters are not assigned
        ("CAFÉS", [b"caf\xc3", b"\xa9s"], ["CAFÉ", "ÉS"]),
        ("x  CAFÉS", [b"X", b" caf\xc3", b"\xa9s"], ["x", "  CAFÉ", "ÉS"]),
        ("¼", [b"1", b"", b"4"], ["¼", "¼", "¼"]),
        ("xﬁ", [b"x\xe3", b"\x80", b"\x80f", b"i"], ["x", "x", "ﬁ", "ﬁ"]),
        ("€ A", [b"\xe2", b"\x82", b"\xac", b"a"], ["€", "€", "€", "A"]),
        ("A  ☃", [b"a", b" ", b""], ["A", " ", " ☃"]),
        ("A\u0301", [b"a", "\u0301".encode()], ["A", "\u0301"]),
        ("\u2003B", [b"\xe3", b"\x80", b"\x80", b"b"], ["\u2003", "\u2003", "\u2003", "B"]),
        ("\u2003\u2003B", [b"\xe3", b"\x80", b"\x80", b"b"], ["\u2003\u2003", "", "", "B"]),
        ("Bz", [b"", b"b", b"z"], ["", "B", "z"]),  # no text is left for an unknown token
        ("", [b"x"], [""]),
    ],
)
def test_changed_text_is_matched(text: str, pieces: Sequence[bytes], want: list[str]):
    spans = align(text, pieces)
    assert shown(text, spans) == want
    assert not spans.exact
    check_sound(text, spans)


def test_parts_of_a_character_keep_their_bytes_in_changed_text():
    assert align("A€", [b"a", b"\xe2\x82", b"\xac"]).byte_spans == [(0, 1), (1, 3), (3, 4)]


def test_offsets_resolve_ambiguous_bytes():
    text, pieces = "abba b", [b"", b"b"]
    assert shown(text, align(text, pieces)) == ["a", "b"]
    assert shown(text, align(text, pieces, [(0, 5), (5, 6)])) == ["abba ", "b"]
    assert shown("xyz", align("xyz", [b"", b""], [(0, 2), (2, 3)])) == ["xy", "z"]


def test_long_text_takes_linear_time():
    text = "Ünknown wörds ☃ " * 5_000
    pieces = [b"unknown", b" words", b"", b" "] * 5_000
    spans = align(text, pieces)
    assert shown(text, spans)[-4:] == ["Ünknown", " wörds", " ☃", " "]


def test_long_unknown_text_takes_linear_time():
    text = "☃ " * 50_000 + "."
    assert shown(text, align(text, [b""] * 50_000 + [b"."]))[-3:] == [" ☃", " ☃", " ."]


@pytest.mark.parametrize("name", text_zoo.LOSSY)
@given(text=TEXTS)
def test_lossy_tokenizers_get_valid_spans(name: str, text: str):
    tokenizer = text_zoo.LOSSY[name]()
    ids = tokenizer.encode(text)
    spans = tokenizer.spans(text, ids)
    assert len(spans.char_spans) == len(ids)
    check_sound(text, spans)


WORDS = st.lists(st.sampled_from(["Hello", "the", "World", "naïve", "café", "dog", "QUICK", "five"]), min_size=1)


@pytest.mark.parametrize("name", ["wordpiece", "word_end", "t5"])
@given(words=WORDS, space=st.sampled_from([" ", "  ", "\n"]))
def test_spans_of_lossy_tokenizers_cover_the_words(name: str, words: list[str], space: str):
    """The tokens of a text of known words cover exactly its words, in order."""
    tokenizer, text = text_zoo.LOSSY[name](), space.join(words)
    spans = tokenizer.spans(text, tokenizer.encode(text))
    covered = [rank for begin, end in spans.char_spans for rank in range(begin, end)]
    assert covered == sorted(set(covered))
    assert set(range(len(text))) - set(covered) <= {rank for rank, character in enumerate(text) if character.isspace()}
