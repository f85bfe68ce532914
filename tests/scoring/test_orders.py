"""order=: factors in any order, through `LanguageModel`, for every kind of model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from model_zoo import START, tiny, tiny_any_order
from oracle import factors_in_order
from text_zoo import byte_level

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.predictors.base import Accepts, Cloze, Support
from chainrule.engine.predictors.in_order import InOrder
from chainrule.engine.question import DEFAULTS, Answer, Settings
from chainrule.forest.permutations import OrderedSequence, names_several_orders, resolve
from chainrule.statistics import Statistics
from chainrule.verdict import Verdict

LETTERS = "ABC"
IDS = [3, 50, 7, 11, 12]
ORDERS = [(3, 1, 4, 0, 2), (0, 4, 2, 1, 3)]


@dataclass
class Sums(InOrder):
    """A slow reference: the joint of a causal model over all texts of the length, summed over unknown positions."""

    lm: LanguageModel
    causal = True
    how = "sums over all texts of the length"
    support = Support(np.zeros(0, np.int64), "no token left out")
    strategy, reason, invariance, accepts = "sums", "", Verdict(False, "sums"), Accepts()

    @property
    def model(self) -> Any:
        return self.lm.model

    def conditionals(self, clozes: list[Cloze], **_: Any) -> np.ndarray:
        rows = []
        for cloze in clozes:
            texts = np.array(list(product(range(len(LETTERS)), repeat=len(cloze.ids_L))))
            p = np.exp([self.lm.score(list(text)).logprob for text in texts])
            p = p * (texts[:, cloze.seen] == cloze.ids_L[cloze.seen]).all(1)
            rows.append(np.bincount(texts[:, cloze.target], p, minlength=len(LETTERS)) / p.sum())
        return np.log(np.array(rows))

    def answer_in_order(
        self, sequences: list[OrderedSequence], settings: Settings = DEFAULTS, asked: AskedTokens = NONE
    ) -> Answer:
        assert not len(asked)
        top = settings.top
        clozes = [
            (s, Cloze(s.ids_L, s.seen(t), int(s.order_T[t]), s.start_id)) for s in sequences for t in range(len(s.order_T))
        ]
        rows = [self.conditionals([cloze])[0] for _, cloze in clozes]
        logprob = np.array([row[s.ids_L[cloze.target]] for row, (s, cloze) in zip(rows, clozes, strict=True)])
        rank = np.array([(row > p).sum() + 1 for row, p in zip(rows, logprob, strict=True)], np.int32)
        best = np.array([np.argsort(-row)[:top] for row in rows], np.int32).reshape(len(rows), top)
        top_logprob = np.array([row[b] for row, b in zip(rows, best, strict=True)]).reshape(len(rows), top)
        entropy = np.array([-(np.exp(row) * row).sum() for row in rows])
        return Answer(Statistics(logprob, rank, entropy, entropy * 0, best, top_logprob, np.zeros((len(rows), 0))), 0, 0)


@pytest.fixture
def letters() -> LanguageModel:
    """Three letters that depend on the two before. Other orders are computed by `Sums`."""
    draw = np.random.default_rng(0)
    rows = {context: draw.normal(size=3) for n in range(3) for context in map("".join, product(LETTERS, repeat=n))}
    lm = LanguageModel(TableModel(LETTERS, rows, back_off=True))
    lm.predictor.any_order = Sums(LanguageModel(lm.model))
    return lm


# Orders


@given(st.integers(1, 30), st.integers(0, 5), st.integers(1, 9))
def test_random_orders_are_permutations_determined_by_the_seed(length: int, seed: int, count: int):
    orders = resolve(f"random:{count}", length, seed)
    assert len(orders) == count
    assert all(sorted(order.tolist()) == list(range(length)) for order in orders)
    assert [o.tolist() for o in resolve(f"random:{count}", length, seed)] == [o.tolist() for o in orders]
    assert resolve("random", length, seed)[0].tolist() == orders[0].tolist()


def test_named_orders():
    assert resolve("left-to-right", 3)[0].tolist() == [0, 1, 2]
    assert resolve("right-to-left", 3)[0].tolist() == [2, 1, 0]
    mixed = resolve([(1, 0, 2), "right-to-left", "random:2"], 3)
    assert [o.tolist() for o in mixed[:2]] == [[1, 0, 2], [2, 1, 0]]
    assert len(mixed) == 4
    assert [names_several_orders(o) for o in ("random", "random:1", [0, 1], [(0, 1)], ["random"])] == [
        False,
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "order",
    ["backwards", "random:0", "random:-1", "random:x", "left-to-right:2", [0, 1], [0, 1, 1], [1, 2, 3], [0, 1, -1], 3,
     2.5, [0.0, 1.0, 2.0], [True, False, True], np.zeros((1, 3), int), [[0, 1, 2], [0, 1]], {}, b"random", [],
    ["random", "sideways"]],
    ids=str,
)  # fmt: skip
def test_invalid_orders_are_rejected(order: object):
    lm = tiny_any_order("llama").lm
    with pytest.raises(InputError, match=r"is not an order|is not a permutation of the 3 positions"):
        lm.score([5, 6, 7], order=order)


def test_the_error_names_the_item_that_an_order_does_not_fit():
    lm = tiny_any_order("llama").lm
    with pytest.raises(InputError, match=r"item 1: order \(1, 0\) is not a permutation of the 3 positions"):
        lm.score_batch([[5, 6], [5, 6, 7]], order=(1, 0))
    with pytest.raises(InputError, match=r"does not fit a single token: its only order is \(0,\)"):
        lm.score([5], order=(1, 0))


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", None])
def test_invalid_seeds_are_rejected(seed: object):
    with pytest.raises(InputError, match="seed must be a whole number of 0 or more"):
        tiny_any_order("llama").lm.score(IDS, order="random", seed=seed)


# Scores


def test_the_contexts_of_the_exercises():
    lm = tiny_any_order("llama").lm
    score = lm.score(IDS, order=ORDERS[0])
    contexts = {int(score.places[i]): score.context_positions(i).tolist() for i in range(5)}
    assert [contexts[position] for position in ORDERS[0]] == [[], [3], [3, 1], [3, 1, 4], [3, 1, 4, 0]]
    score = lm.score(IDS, order=ORDERS[1])
    contexts = [score.ordering.contexts_of(position).tolist() for position in ORDERS[1]]
    assert contexts == [[], [0], [0, 4], [0, 4, 2], [0, 4, 2, 1]]
    assert score.contexts[list(ORDERS[1])].tolist() == [1, 2, 3, 4, 5]  # the start symbol counts


@st.composite
def ordered(draw: st.DrawFn) -> tuple[list[int], list[int], Any, list[int]]:
    """Tokens, a context, a start and an order."""
    ids = draw(st.lists(st.integers(2, 60), min_size=2, max_size=6))
    context = draw(st.lists(st.integers(2, 60), max_size=3))
    return ids, context, draw(st.sampled_from([None, "given", 5])), draw(st.permutations(range(len(ids))))


@given(drawn=ordered())
@example(drawn=([19, 2], [34, 43, 34], None, [0, 1]))  # in float32, the roundings of both computations add up to 1.1e-5
def test_positions_steps_and_contexts_are_consistent(drawn: tuple[list[int], list[int], Any, list[int]]):
    """In float64: a rounding is far below the difference that a wrong context makes."""
    ids, context, start, order = drawn
    tiny64 = tiny_any_order("llama", dtype="float64")
    lm = tiny64.lm
    score = lm.score(ids, context=context, order=order, start=start)
    first = int(start == "given" and not context)
    positions = [len(context) + i for i in order]
    assert score.ordering.order.tolist() == positions[first:]
    assert score.ordering.given.tolist() == [*range(len(context)), *positions[:first]]
    assert score.places.tolist() == sorted(order[first:])
    assert score.ids.tolist() == [ids[position] for position in score.places]
    for i in range(len(score)):
        known = [*range(len(context)), *positions[: positions.index(len(context) + int(score.places[i]))]]
        assert score.context_positions(i).tolist() == known
        assert score.contexts[i] == len(known) + (score.start.id is not None)
    if score.start.id is not None:
        inputs = [*range(len(context)), *positions]
        expected = factors_in_order(tiny64.own, context + ids, inputs, score.start.id)
        assert np.abs(score.logprobs - expected[len(context) :]).max() < 1e-12
    assert score.kind == ("conditional" if context or score.start.id is None else "joint")


def test_describe_names_the_order_and_the_given_length():
    lm = tiny_any_order("llama").lm
    line = lm.score(IDS, order=ORDERS[1]).ordering.describe()
    assert line.startswith("order 0, 4, 2, 1, 3; the length (5 tokens) is given; the model gets each token with its position")
    line = lm.score(IDS, order=(1, 0, 2, 3, 4), context=[2]).ordering.describe()
    assert line.startswith("order 2, 1, 3, 4, 5; given: position 0; the length (6 tokens) is given; ")
    line = lm.score(IDS, order="left-to-right").ordering.describe()
    assert line.startswith("order left to right; the model")
    line = tiny_any_order("llama", 40).lm.score([7] * 40, order="right-to-left").ordering.describe()
    assert line.startswith("order 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, … (24 more); ")


def test_tables_and_json_contain_the_order():
    lm = tiny_any_order("llama").lm
    scores = lm.score_batch([IDS, IDS[::-1]], order=ORDERS[0], context=[2])
    sequences, tokens = scores.to_arrow().to_pydict(), scores.to_arrow("token").to_pydict()
    assert sequences["order"] == [[4, 2, 5, 1, 3]] * 2
    assert (sequences["given"], sequences["length"], sequences["length_given"]) == ([[0]] * 2, [6] * 2, [True] * 2)
    assert tokens["position"] == [1, 2, 3, 4, 5] * 2
    assert tokens["step"] == [3, 1, 4, 0, 2] * 2
    assert tokens["context_positions"][:5] == [[0, 4, 2, 5], [0, 4], [0, 4, 2, 5, 1], [0], [0, 4, 2]]
    item = json.loads(scores.to_json())[0]
    assert item["ordering"]["order"] == [4, 2, 5, 1, 3]
    assert (item["ordering"]["length"], item["ordering"]["length_given"]) == (6, True)
    assert [f["context_positions"] for f in item["factors"]] == tokens["context_positions"][:5]
    assert "order" not in tiny("llama").lm.score_batch([IDS]).to_arrow().column_names


@pytest.mark.parametrize("given_position", [0, 3, -1])
def test_bytes_and_spans_with_a_given_token_at_any_position(given_position: int):
    """With start "given", the first token in the order is given, at any position of the text."""
    any_order = tiny_any_order("llama", 40, vocab_size=byte_level().size).lm
    lm = LanguageModel(any_order.model, byte_level(), engine=any_order.engine)
    text = "naïve café is a place"
    length = len(lm.tokenizer.encode(text))
    given_position %= length
    order = [given_position, *(i for i in range(length)[::-1] if i != given_position)]
    score, full = lm.score(text, order=order, start="given"), lm.score(text, order=order)
    kept = [i for i in range(length) if i != given_position]
    assert score.tokens == [full.tokens[i] for i in kept]
    assert score.spans.char_spans == [full.spans.char_spans[i] for i in kept]
    assert score.bytes == len(text.encode()) - len(full.token_bytes[given_position])
    table = lm.score_batch([text], order=order, start="given").to_arrow("token").to_pydict()
    assert list(zip(table["begin"], table["stop"], strict=True)) == score.spans.char_spans


def test_alternatives_and_ranks():
    lm = tiny_any_order("llama").lm
    score = lm.score(IDS, order="right-to-left", top=3)
    for i in range(len(IDS)):
        cloze = Cloze(np.array(IDS), score.context_positions(i), i, START)
        [row] = lm.predictor.conditionals([cloze])
        best = np.argsort(-row, kind="stable")[:3]
        assert score.top_ids[i].tolist() == best.tolist()
        assert score.top_logprobs[i].tolist() == row[best].tolist()
        assert score.ranks[i] == (row > score.logprobs[i]).sum() + 1


# Causal models


@pytest.mark.parametrize("order", ["left-to-right", (0, 1, 2, 3, 4)])
def test_left_to_right_a_causal_model_scores_as_without_an_order(order: object):
    lm = tiny("llama").lm
    expected, score = lm.score(IDS, top=2), lm.score(IDS, top=2, order=order)
    for name in ("logprobs", "ids", "contexts", "ranks", "entropies", "top_ids", "top_logprobs"):
        assert getattr(score, name).tolist() == getattr(expected, name).tolist()
    assert expected.ordering is None
    assert score.ordering.left_to_right
    assert "causal" in score.ordering.how
    long = lm.score(IDS * 20, window=7, stride=2, order="left-to-right")
    assert long.logprobs.tolist() == lm.score(IDS * 20, window=7, stride=2).logprobs.tolist()
    assert long.context_positions(50).tolist() == list(range(50 - int(long.contexts[50]) + 1, 50))


def test_other_orders_of_a_causal_model_use_its_any_order_predictor(letters: LanguageModel):
    joint = letters.score("ABCA").logprob
    for order in permutations(range(4)):
        score = letters.score("ABCA", order=order, top=2)
        assert score.logprob == pytest.approx(joint, abs=1e-12)  # one coherent joint
        assert score.ids.tolist() == [0, 1, 2, 0]
    assert score.ordering.how == Sums.how
    assert score.ordering.describe().endswith("; no token left out")
    with pytest.raises(InputError, match="windows are for causal models, left to right"):
        letters.score("ABC", order="right-to-left", window=2)


def test_orders_of_different_predictors_are_returned_in_input_order(letters: LanguageModel):
    """Left to right runs on the engine, other orders on the any-order predictor."""
    orders = ["right-to-left", "left-to-right", (1, 0, 2), (0, 1, 2)]
    mixtures = letters.score_batch(["ABC", "CCA"], order=orders, top=2)
    for text, mixture in zip(["ABC", "CCA"], mixtures, strict=True):
        for score, order in zip(mixture, orders, strict=True):
            alone = letters.score(text, order=order, top=2)
            assert score.text == text
            assert score.logprobs.tolist() == alone.logprobs.tolist()
            assert score.top_ids.tolist() == alone.top_ids.tolist()
            assert score.ordering.to_dict() == alone.ordering.to_dict()
    assert not mixtures[0][0].invariant  # that of the weaker predictor


def test_a_context_and_the_end(letters: LanguageModel):
    with pytest.raises(InputError, match="no end symbol is predicted: leave end= or order= out"):
        tiny_any_order("llama").lm.score(IDS, order="random", end=True)
    score = letters.score("BC", context="A", order="right-to-left")
    assert score.logprob == pytest.approx(letters.score("BC", context="A").logprob, abs=1e-12)


def test_a_single_token_that_is_given_has_no_factor():
    with pytest.raises(InputError, match="item 1: a single token with a given start has no factor"):
        tiny_any_order("llama").lm.score_batch([[5, 6], [5]], start="given", order="random:3")
    assert len(tiny_any_order("llama").lm.score([5], order="random")) == 1


def test_embeddings_and_rank_reject_several_or_other_orders():
    lm = tiny("llama").lm
    with pytest.raises(InputError, match="give token ids for any other order"):
        lm.score(embeddings=lm.embed(IDS), order="random")
    with pytest.raises(InputError, match="rank takes one order"):
        lm.rank([5], [[6], [7]], order="random:2")
    any_order = tiny_any_order("llama").lm
    ranked = any_order.rank([5], [[6, 8], [7, 9]], order="right-to-left")
    assert ranked[0].logprob == any_order.score([[6, 8], [7, 9]][ranked[0].index], context=[5], order=(1, 0)).logprob
