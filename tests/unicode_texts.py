"""Texts in any script, and what every tokenizer's spans of them must be."""

from itertools import pairwise

from hypothesis import strategies as st

from chainrule.text import Spans

UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MIXED = st.lists(st.one_of(UNICODE, st.sampled_from(["naïve café ", "שלום ", "👩‍👩‍👧", "e\u0301", "日本語", "  ", "\n"])))
TEXTS = MIXED.map("".join)
# Not lossless: SentencePiece's sign for a space, and the symbols of a tokenizer written in the text (<s>).
PLAIN_TEXTS = TEXTS.map(lambda text: text.replace("▁", "_").replace("<", "("))


def shown(text: str, spans: Spans) -> list[str]:
    return [text[begin:end] for begin, end in spans.char_spans]


def check_sound(text: str, spans: Spans) -> None:
    """Ordered and within the text; what two tokens share is one character at most."""
    for size, each in ((len(text.encode()), spans.byte_spans), (len(text), spans.char_spans)):
        assert all(0 <= begin <= end <= size for begin, end in each)
        assert [begin for begin, _ in each] == sorted(begin for begin, _ in each)
        assert [end for _, end in each] == sorted(end for _, end in each)
    for (_, end), (begin, _) in pairwise(spans.char_spans):
        assert end - begin <= 1
