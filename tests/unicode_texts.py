"""Texts in any script, and a check of the spans of their tokens."""

from itertools import pairwise

from hypothesis import strategies as st

from chainrule.text import Spans

UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MIXED = st.lists(st.one_of(UNICODE, st.sampled_from(["naïve café ", "שלום ", "👩‍👩‍👧", "e\u0301", "日本語", "  ", "\n"])))
TEXTS = MIXED.map("".join)
# Not lossless are SentencePiece's character for a space, and the names of symbols in the text (<s>).
PLAIN_TEXTS = TEXTS.map(lambda text: text.replace("▁", "_").replace("<", "("))


def shown(text: str, spans: Spans) -> list[str]:
    return [text[begin:end] for begin, end in spans.char_spans]


def check_sound(text: str, spans: Spans) -> None:
    """Spans are ordered and within the text, and two tokens share at most one character."""
    for size, pairs in ((len(text.encode()), spans.byte_spans), (len(text), spans.char_spans)):
        assert all(0 <= begin <= end <= size for begin, end in pairs)
        assert [begin for begin, _ in pairs] == sorted(begin for begin, _ in pairs)
        assert [end for _, end in pairs] == sorted(end for _, end in pairs)
    for (_, end), (begin, _) in pairwise(spans.char_spans):
        assert end - begin <= 1
