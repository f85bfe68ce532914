"""The layout of items as one forest, with windows, and the node of each token's factor."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chainrule import InputError
from chainrule.engine.plan import plan
from chainrule.engine.question import Item
from chainrule.forest import Forest, windows

START = 99
ITEMS = st.lists(
    st.tuples(st.lists(st.integers(0, 3), min_size=2, max_size=20), st.booleans(), st.integers(0, 1)), min_size=1, max_size=6
)


def item(ids: list[int], given: int = 0, start: int | None = START, embeddings: torch.Tensor | None = None) -> Item:
    return Item(np.array(ids), given, start, embeddings)


@given(ITEMS, st.none() | st.integers(2, 12))
def test_each_token_to_score_has_one_factor_in_order(drawn: list, rows: int | None):
    items = [item(ids, given, START if start else None) for ids, start, given in drawn]
    job = plan(items, rows, None, None)
    wanted = [b.ids[max(b.given, b.start_id is None) :] for b in items]
    assert job.question.token_N[job.node_T].tolist() == np.concatenate(wanted).tolist()
    assert (job.question.forest.parent_N[job.node_T] >= 0).all()
    assert job.question.wanted_N.sum() == len(set(job.node_T.tolist()))
    assert job.context_T.max() <= (rows or max(len(b.ids) - (b.start_id is None) for b in items))


@given(ITEMS, st.none() | st.integers(2, 12), st.integers(1, 3))
def test_the_plan_equals_that_of_one_item_at_a_time(drawn: list, rows: int | None, stride: int):
    items = [item(ids, given, START if start else None) for ids, start, given in drawn]
    for extra in items[::3]:
        extra.embeddings = torch.zeros(len(extra.ids), 2)
    job = plan(items, rows, None, None if rows is None else min(stride, rows))
    forest, node_T, windows_S = plan_one_by_one(items, rows, min(stride, rows or 1))
    for name in ("symbol_N", "depth_N", "parent_N", "end_N", "path_T", "offset_S1"):
        assert getattr(job.question.forest, name).tolist() == getattr(forest, name).tolist()
    assert job.node_T.tolist() == node_T
    assert job.windows_S.tolist() == windows_S


def plan_one_by_one(items: list[Item], rows: int | None, stride: int) -> tuple[Forest, list[int], list[int]]:
    """A slow and simple plan: the forest, the node of each factor, and the number of windows of each item."""
    sequences, own, counts, used = [], [], [], 0
    for b in items:
        head, symbols = [] if b.start_id is None else [b.start_id], b.ids.tolist()
        if b.embeddings is not None:
            symbols, used = [-1 - used - i for i in range(len(symbols))], used + len(symbols)
        first = b.given if head else max(1, b.given)
        cuts = windows(first, len(symbols), rows or len(symbols) + 1, stride, start_symbol=bool(head))
        sequences += [np.array(head + symbols[w.begin : w.stop]) for w in cuts]
        own += [range(w.first - w.begin + len(head), w.stop - w.begin + len(head)) for w in cuts]
        counts.append(len(cuts))
    forest = Forest.build(sequences)
    return forest, [int(forest.path(s)[position]) for s, positions in enumerate(own) for position in positions], counts


def test_no_items_give_an_empty_plan():
    job = plan([], 8, None, None)
    assert (len(job.question.forest), len(job.node_T), len(job.windows_S)) == (0, 0, 0)


def test_windows_share_only_the_start_symbol():
    job = plan([item(list(range(10)))], 4, None, 2)
    assert job.windows_S.tolist() == [4]
    assert job.context_T.tolist() == [1, 2, 3, 4, 3, 4, 3, 4, 3, 4]
    forest = job.question.forest
    windows = [forest.symbol_N[forest.path(s)].tolist() for s in range(4)]
    assert windows == [[99, 0, 1, 2, 3], [99, 2, 3, 4, 5], [99, 4, 5, 6, 7], [99, 6, 7, 8, 9]]


def test_the_default_stride_is_half_of_a_window_shorter_than_the_models():
    job = plan([item(list(range(9)))], 100, 4, None)
    assert job.context_T.tolist() == [1, 2, 3, 4, 3, 4, 3, 4, 4]


def test_a_text_that_fits_is_not_cut():
    job = plan([item(list(range(100)))], 100, None, None)
    assert job.windows_S.tolist() == [1]
    assert job.context_T.max() == 100


def test_embeddings_have_their_own_nodes():
    table = torch.zeros(3, 2)
    job = plan([item([5, 6, 7]), item([5, 6, 7], embeddings=table), item([5, 6, 8], embeddings=table + 1)], None, None, None)
    forest = job.question.forest
    assert len(forest) == 10  # the start symbol, and three times three
    assert job.question.token_N[job.node_T].tolist() == [5, 6, 7, 5, 6, 7, 5, 6, 8]
    rows = -1 - forest.symbol_N[job.node_T[3:]]
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert job.question.alphabet.embedding_MD.tolist() == [[0, 0]] * 3 + [[1, 1]] * 3


@pytest.mark.parametrize("ids", [[1], [1, 2]])
def test_a_text_without_a_factor_is_refused(ids: list[int]):
    with pytest.raises(InputError, match=r"item 1: a single token with a given start.*start='bos'"):
        plan([item([1, 2, 3], start=None), item(ids, given=len(ids), start=None)], None, None, None)


def test_the_error_names_the_first_item_that_cannot_be_scored():
    too_long, empty = item(list(range(9))), item([1], start=None)
    with pytest.raises(InputError, match="item 1: it needs a context of 9"):
        plan([item([1]), too_long, empty], 8, False, None)
    with pytest.raises(InputError, match="item 1: a single token"):
        plan([item([1]), empty, too_long], 8, False, None)


def test_window_false_refuses_long_items():
    plan([item(list(range(8)))], 8, False, None)
    plan([item(list(range(9)), start=None)], 8, False, None)
    with pytest.raises(InputError, match="item 1: it needs a context of 9 embeddings, and the model takes 8"):
        plan([item([1]), item(list(range(9)))], 8, False, None)
    with pytest.raises(InputError, match="it needs a context of 9 embeddings, and the model takes 8"):
        plan([item(list(range(10)), start=None)], 8, False, None)
    with pytest.raises(InputError, match="needs a context of 20"):
        plan([item(list(range(20)), given=19)], 8, False, None)  # one window would suffice, but it would cut the context


@pytest.mark.parametrize("window", [1, 0, -3, 2.0, "8", np.float64(4)])
def test_an_invalid_window_is_refused(window: object):
    with pytest.raises(InputError, match=r"window must be a whole number of embeddings, 2 or more, not .*"):
        plan([item([1, 2])], 8, window, None)


def test_a_window_longer_than_the_models_context_is_refused():
    with pytest.raises(InputError, match="window 9 is longer than the model's own context of 8"):
        plan([item([1, 2])], 8, 9, None)


@pytest.mark.parametrize("stride", [0, 9, -1, 1.5, True])
def test_an_invalid_stride_is_refused(stride: object):
    with pytest.raises(InputError, match=f"stride must be from 1 to the window's 8 embeddings, not {stride!r}"):
        plan([item([1, 2])], 8, None, stride)
