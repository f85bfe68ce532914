"""Texts extended in an order of prediction, against the own forward of the whole text in that order."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import oracle
import pytest
from masked_zoo import CLS, MASK, SEP, TOKENS, masked, ordered, two_stream
from model_zoo import START, tiny_any_order

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.decoding.ordered_tree import ConditionalTree

FLOAT32 = 2e-5  # nats, as in test_engine
IDS, GIVEN, ORDER = [9, 7, 30, 2, 11, 45], [4, 2], [5, 0, 3, 1]  # the positions of ORDER are still to be filled


def test_an_any_order_model_adds_one_row_per_token(kernels: str):
    """Two branches, one of which is extended again later. The rows of one call have different depths."""
    model = tiny_any_order("llama")
    tree = model.lm.predictor.ordered_tree(ordered(IDS, ORDER, GIVEN, START))

    def want(*tokens: int) -> np.ndarray:
        ids = np.array(IDS)
        ids[ORDER[: len(tokens)]] = tokens
        return oracle.conditionals_in_order(model.own, ids.tolist(), [*GIVEN, *ORDER], START)[len(GIVEN) + len(tokens)]

    assert np.abs(tree.root().logprobs(0).numpy() - want()).max() < FLOAT32
    calls = [([0, 0], [50, 8], [(50,), (8,)]), ([1], [3], [(50, 3)]), ([2, 3], [4, 60], [(8, 4), (50, 3, 60)])]
    for parents, tokens, paths in calls:
        added = tree.extend(parents, tokens)
        for row, path in enumerate(paths):
            assert np.abs(added.logprobs(row).numpy() - want(*path)).max() < FLOAT32


@pytest.mark.parametrize("order", [[3, 0, 1], [0, 1, 3]])
def test_a_masked_model_computes_each_conditional_separately(order: list[int]):
    tiny = masked("bert")
    given, ids = [2], np.array([0, 0, 6, 0])  # ids at positions that are still to be filled are ignored
    tree = tiny.lm.predictor.ordered_tree(ordered(ids, order, given))
    assert type(tree) is ConditionalTree
    results = [tree.root(), tree.extend([0, 0], [4, 5]), tree.extend([1, 2], [7, 7])]
    paths: list[list[tuple[int, ...]]] = [[()], [(4,), (5,)], [(4, 7), (5, 7)]]
    for added, new_paths in zip(results, paths, strict=True):
        for row, path in enumerate(new_paths):
            text = ids.copy()
            text[order[: len(path)]] = path
            visible, target = [*given, *order[: len(path)]], order[len(path)]
            want = oracle.masked_conditional(tiny.own, text, visible, target, (CLS, SEP, MASK), TOKENS)
            logprob_V = added.logprobs(row).numpy()
            assert np.abs(logprob_V[list(TOKENS)] - want[list(TOKENS)]).max() < 1e-5
            assert (logprob_V[[0, 1, 2, 3]] == -np.inf).all()
            assert float(added.entropy_B[row]) == pytest.approx(oracle.entropy(want), abs=1e-5)
            assert float(added.variance_B[row]) == pytest.approx(oracle.variance(want), abs=1e-4)
            assert added.statistics([row], [6], 0).ranks.tolist() == [oracle.rank(want, 6)]


def test_a_two_stream_model_depends_on_the_order():
    tiny = two_stream()
    ids, order, given = [0, 0, 3, 0], [3, 0, 1], [2]
    tree = tiny.lm.predictor.ordered_tree(ordered(ids, order, given))
    first = tree.root().logprobs(0).numpy()
    assert np.abs(first - oracle.two_stream_conditional(tiny.own, [0, 0, 3, 0], [2], 3)).max() < 1e-5
    second = tree.extend([0], [4]).logprobs(0).numpy()
    assert np.abs(second - oracle.two_stream_conditional(tiny.own, [0, 0, 3, 4], [2, 3], 0)).max() < 1e-5


def test_a_causal_model_sums_over_texts_for_another_order():
    draw = np.random.default_rng(3)
    names = ["".join(c) for n in range(3) for c in product("AB", repeat=n)]
    lm = LanguageModel(TableModel(["A", "B"], {name: draw.normal(0, 1, 2) for name in names}))
    joint = {s: math.exp(lm.score(list(s)).logprob) for s in product(range(2), repeat=3)}
    tree = lm.predictor.any_order.ordered_tree(ordered([0, 0, 1], [1, 0], [2], lm.start.id))
    assert np.abs(tree.root().logprobs(0).numpy() - oracle.marginal_conditional(joint, [0, 0, 1], [2], 1)).max() < 1e-12
    added = tree.extend([0, 0], [1, 0])
    for row, token in enumerate((1, 0)):
        want = oracle.marginal_conditional(joint, [0, token, 1], [2, 1], 0)
        assert np.abs(added.logprobs(row).numpy() - want).max() < 1e-12


def test_extending_a_full_text_is_refused():
    tree = masked("bert").lm.predictor.ordered_tree(ordered([0, 5], [0], [1]))
    tree.root()
    with pytest.raises(InputError, match="all 1 positions are filled"):
        tree.extend([0], [4])


def test_an_error_in_a_tree_names_no_item():
    tree = two_stream().lm.predictor.ordered_tree(ordered([1, 2], [0, 1], [], None))
    with pytest.raises(InputError, match=r"^a two-stream network has no distribution") as caught:
        tree.root()
    assert caught.value.item is None


def test_an_order_that_does_not_fit_is_refused_when_the_tree_is_built():
    lm = tiny_any_order("llama").lm
    with pytest.raises(InputError, match="the model has 9 positions"):
        lm.predictor.ordered_tree(ordered([1] * 10, range(10), [], START))
    with pytest.raises(InputError, match="without a start symbol"):
        lm.predictor.ordered_tree(ordered([1, 2], [0, 1], [], None))
