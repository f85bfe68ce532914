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
def test_a_window_feeds_no_more_rows_than_there_are(case: tuple[int, int, int, int, bool]):
    _, _, rows, _, start = case
    for w in windows(*case):
        assert 0 <= w.begin <= w.first < w.stop
        assert w.stop - 1 - w.begin + start <= rows  # all but its last token, after the start symbol


@given(cases())
def test_a_token_is_conditioned_on_something_and_on_enough(case: tuple[int, int, int, int, bool]):
    _, _, rows, stride, start = case
    for w in windows(*case):
        for token in range(w.first, w.stop):
            seen = token - w.begin
            assert seen + start >= 1
            assert seen >= min(token, rows - stride - start)


@given(cases())
def test_windows_move_on_by_the_stride(case: tuple[int, int, int, int, bool]):
    _, length, _, stride, _ = case
    found = windows(*case)
    assume(len(found) > 1)
    assert [w.stop - w.first for w in found[1:-1]] == [stride] * len(found[1:-1])
    assert 1 <= found[-1].stop - found[-1].first <= stride
    assert found[-1].stop == length


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
