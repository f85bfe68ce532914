"""The cutting of documents into parts."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from chainrule.corpus.plan import cut
from chainrule.text.beginnings import distinct, shared


@given(st.lists(st.text("ab ", max_size=12), max_size=60), st.integers(1, 200))
def test_each_document_is_in_one_part_and_parts_are_in_sorted_order(texts, size):
    parts = cut(texts, size)
    assert sorted(itertools.chain(*parts)) == list(range(len(texts)))
    assert all(part == sorted(part) and part for part in parts)
    bounds = [(min(texts[i] for i in part), max(texts[i] for i in part)) for part in parts]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(bounds))
    assert len(parts) <= max(1, -(-sum(map(len, texts)) // size))


@given(st.lists(st.text("ab", min_size=1, max_size=30), min_size=1, max_size=80), st.integers(20, 300))
def test_parts_have_about_the_size(texts, size):
    longest = max(map(len, texts))
    for part in cut(texts, size):
        # A part ends near an even cut: an eighth of its documents earlier or later, and a text more on each side
        assert sum(len(texts[i]) for i in part) <= size + 2 * longest * (2 + len(texts) * size // (8 * sum(map(len, texts))))


def test_texts_with_one_beginning_meet_in_one_part():
    templates = [f"{letter * 40} " for letter in "abcd"]
    texts = [templates[i % 4] + str(i) for i in range(64)]
    parts = cut(texts, -(-sum(map(len, texts)) // 4))
    assert [{texts[i][0] for i in part} for part in parts] == [{"a"}, {"b"}, {"c"}, {"d"}]
    alone = sum(distinct(texts[i] for i in range(n, n + 16)) for n in range(0, 64, 16))
    assert sum(distinct(texts[i] for i in part) for part in parts) == distinct(texts) < alone


def test_one_giant_document():
    texts = ["b", "a" * 1000, "c"] + ["d"] * 5
    assert sorted(itertools.chain(*cut(texts, 10))) == list(range(8))
    assert cut([], 10) == []


@given(st.text("ab", max_size=9), st.text("ab", max_size=9))
def test_shared_beginning(a, b):
    both = zip(a, b, strict=False)
    assert shared(a, b) == len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], both)))
