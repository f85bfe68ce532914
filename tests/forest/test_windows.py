"""Windows over long texts: each token is scored once, after a context that is long enough."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chainrule.forest import Window, windows

LENGTH = st.integers(1, 80)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int, int, bool]:
    start = draw(st.booleans())
    length = draw(st.integers(1 if start else 2, 80))
    rows = draw(st.integers(2, 30))
    first = draw(st.integers(0 if start else 1, length - 1))
    return first, length, rows, draw(st.integers(1, rows)), start


@given(cases())
def test_every_token_is_scored_exactly_once(case: tuple[int, int, int, int, bool]):
    first, length, *_ = case
    assert [t for w in windows(*case) for t in range(w.first, w.stop)] == list(range(first, length))


@given(cases())
def test_a_window_has_at_most_the_maximum_number_of_rows(case: tuple[int, int, int, int, bool]):
    _, _, rows, _, start = case
    for w in windows(*case):
        assert 0 <= w.begin <= w.first < w.stop
        assert w.stop - 1 - w.begin + start <= rows  # all but its last token, after the start symbol


@given(cases())
def test_the_context_of_a_token_is_long_enough(case: tuple[int, int, int, int, bool]):
    _, _, rows, stride, start = case
    for w in windows(*case):
        for token in range(w.first, w.stop):
            seen = token - w.begin
            assert seen + start >= 1
            assert seen >= min(token, rows - stride - start)


@given(cases())
def test_windows_move_on_by_the_stride(case: tuple[int, int, int, int, bool]):
    _, length, _, stride, _ = case
    parts = windows(*case)
    assume(len(parts) > 1)
    assert [w.stop - w.first for w in parts[1:-1]] == [stride] * len(parts[1:-1])
    assert 1 <= parts[-1].stop - parts[-1].first <= stride
    assert parts[-1].stop == length


@pytest.mark.parametrize(
    ("case", "want"),
    [
        ((0, 8, 8, 4, True), [Window(0, 0, 8)]),  # <s> and 7 tokens are 8 rows
        ((0, 9, 8, 4, True), [Window(0, 0, 8), Window(1, 8, 9)]),
        ((1, 9, 8, 4, False), [Window(0, 1, 9)]),  # no start symbol: 8 rows predict the ninth token
        ((1, 20, 8, 4, False), [Window(0, 1, 9), Window(4, 9, 13), Window(8, 13, 17), Window(11, 17, 20)]),
        ((12, 14, 8, 4, True), [Window(6, 12, 14)]),  # the beginning of a long context is cut
    ],
)
def test_examples(case: tuple, want: list[Window]):
    assert windows(*case) == want
