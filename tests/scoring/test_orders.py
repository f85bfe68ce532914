"""order=: factors in any order, through the façade, whatever predicts them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import START, tiny, tiny_any_order
from oracle import factors_in_order
from text_zoo import byte_level

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.predictors.base import Accepts, Cloze, Support
from chainrule.engine.predictors.in_order import InOrder
from chainrule.engine.question import Answer
from chainrule.forest.permutations import OrderedSequence, names_several_orders, resolve
from chainrule.verdict import Verdict

LETTERS = "ABC"
IDS = [3, 50, 7, 11, 12]
ORDERS = [(3, 1, 4, 0, 2), (0, 4, 2, 1, 3)]


@dataclass
class Sums(InOrder):
    """The slow, obvious chain: a causal model's joint of all texts of the length, summed over what is not known."""

    lm: LanguageModel
    causal = True
    how = "sums over all texts of the length"
    support = Support(np.zeros(0, np.int64), "all tokens but none")
    strategy, reason, invariance, accepts = "sums", "", Verdict(False, "sums"), Accepts()

    @property
    def model(self) -> Any:
        return self.lm.model

    def conditionals(self, places: list[Cloze], **_: Any) -> np.ndarray:
        found = []
        for place in places:
            texts = np.array(list(product(range(len(LETTERS)), repeat=len(place.ids_L))))
            p = np.exp([self.lm.score(list(text)).logprob for text in texts])
            p = p * (texts[:, place.seen] == place.ids_L[place.seen]).all(1)
            found.append(np.bincount(texts[:, place.target], p, minlength=len(LETTERS)) / p.sum())
        return np.log(np.array(found))

    def answer_in_order(self, sequences: list[OrderedSequence], top: int = 0, **_: Any) -> Answer:
        asked = [
            (s, Cloze(s.ids_L, s.seen(t), int(s.order_T[t]), s.start_id)) for s in sequences for t in range(len(s.order_T))
        ]
        each = [self.conditionals([place])[0] for _, place in asked]
        logprob = np.array([row[s.ids_L[place.target]] for row, (s, place) in zip(each, asked, strict=True)])
        rank = np.array([(row > p).sum() + 1 for row, p in zip(each, logprob, strict=True)], np.int32)
        best = np.array([np.argsort(-row)[:top] for row in each], np.int32).reshape(len(each), top)
        top_logprob = np.array([row[b] for row, b in zip(each, best, strict=True)]).reshape(len(each), top)
        entropy = np.array([-(np.exp(row) * row).sum() for row in each])
        return Answer(logprob, rank, entropy, best, top_logprob, 0, 0)


@pytest.fixture
def letters() -> LanguageModel:
    """Three letters that depend on the two before; other orders are sums."""
    draw = np.random.default_rng(0)
    rows = {context: draw.normal(size=3) for n in range(3) for context in map("".join, product(LETTERS, repeat=n))}
    lm = LanguageModel(TableModel(LETTERS, rows, back_off=True))
    lm.predictor.any_order = Sums(LanguageModel(lm.model))
    return lm


# Orders


@given(st.integers(1, 30), st.integers(0, 5), st.integers(1, 9))
def test_random_orders_are_permutations_that_the_seed_decides(length: int, seed: int, count: int):
    found = resolve(f"random:{count}", length, seed)
    assert len(found) == count
    assert all(sorted(order.tolist()) == list(range(length)) for order in found)
    assert [o.tolist() for o in resolve(f"random:{count}", length, seed)] == [o.tolist() for o in found]
    assert resolve("random", length, seed)[0].tolist() == found[0].tolist()


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
def test_what_is_no_order_is_refused(order: object):
    lm = tiny_any_order("llama").lm
    with pytest.raises(InputError, match=r"is not an order|is not a permutation of the 3 positions"):
        lm.score([5, 6, 7], order=order)


def test_the_item_that_an_order_does_not_fit_is_named():
    lm = tiny_any_order("llama").lm
    with pytest.raises(InputError, match=r"item 1: order \(1, 0\) is not a permutation of the 3 positions"):
        lm.score_batch([[5, 6], [5, 6, 7]], order=(1, 0))
    with pytest.raises(InputError, match=r"does not fit a single token: its only order is \(0,\)"):
        lm.score([5], order=(1, 0))


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", None])
def test_a_seed_that_is_none_is_refused(seed: object):
    with pytest.raises(InputError, match="seed must be a whole number of 0 or more"):
        tiny_any_order("llama").lm.score(IDS, order="random", seed=seed)


# Scores


def test_the_contexts_of_the_exercises():
    lm = tiny_any_order("llama").lm
    score = lm.score(IDS, order=ORDERS[0])
    seen = {int(score.places[i]): score.context_positions(i).tolist() for i in range(5)}
    assert [seen[place] for place in ORDERS[0]] == [[], [3], [3, 1], [3, 1, 4], [3, 1, 4, 0]]
    score = lm.score(IDS, order=ORDERS[1])
    assert [score.ordering.contexts_of(place).tolist() for place in ORDERS[1]] == [[], [0], [0, 4], [0, 4, 2], [0, 4, 2, 1]]
    assert score.contexts[list(ORDERS[1])].tolist() == [1, 2, 3, 4, 5]  # the start symbol counts


@given(data=st.data())
def test_places_steps_and_contexts_fit_together(data: st.DataObject):
    lm = tiny_any_order("llama").lm
    ids = data.draw(st.lists(st.integers(2, 60), min_size=2, max_size=6))
    context = data.draw(st.lists(st.integers(2, 60), max_size=3))
    start = data.draw(st.sampled_from([None, "given", 5]))
    order = data.draw(st.permutations(range(len(ids))))
    score = lm.score(ids, context=context, order=order, start=start)
    first = int(start == "given" and not context)
    own = [len(context) + place for place in order]
    assert score.ordering.order.tolist() == own[first:]
    assert score.ordering.given.tolist() == [*range(len(context)), *own[:first]]
    assert score.places.tolist() == sorted(order[first:])
    assert score.ids.tolist() == [ids[place] for place in score.places]
    for i in range(len(score)):
        known = [*range(len(context)), *own[: own.index(len(context) + int(score.places[i]))]]
        assert score.context_positions(i).tolist() == known
        assert score.contexts[i] == len(known) + (score.start.id is not None)
    if score.start.id is not None:
        fed = [*range(len(context)), *own]
        want = factors_in_order(tiny_any_order("llama").own, context + ids, fed, score.start.id)
        assert np.abs(score.logprobs - want[len(context) :]).max() < 1e-5
    assert score.kind == ("conditional" if context or score.start.id is None else "joint")


def test_one_line_says_the_order_and_that_the_length_is_given():
    lm = tiny_any_order("llama").lm
    said = lm.score(IDS, order=ORDERS[1]).ordering.describe()
    assert said.startswith("order 0, 4, 2, 1, 3; the length (5 tokens) is given; the model gets each token with its position")
    said = lm.score(IDS, order=(1, 0, 2, 3, 4), context=[2]).ordering.describe()
    assert said.startswith("order 2, 1, 3, 4, 5; given: place 0; the length (6 tokens) is given; ")
    said = lm.score(IDS, order="left-to-right").ordering.describe()
    assert said.startswith("order left to right; the model")
    many = tiny_any_order("llama", 40).lm.score([7] * 40, order="right-to-left").ordering.describe()
    assert many.startswith("order 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, … (24 more); ")


def test_tables_and_json_carry_the_order():
    lm = tiny_any_order("llama").lm
    scores = lm.score_batch([IDS, IDS[::-1]], order=ORDERS[0], context=[2])
    whole, tokens = scores.to_arrow().to_pydict(), scores.to_arrow("token").to_pydict()
    assert whole["order"] == [[4, 2, 5, 1, 3]] * 2
    assert (whole["given"], whole["length"], whole["length_given"]) == ([[0]] * 2, [6] * 2, [True] * 2)
    assert tokens["position"] == [1, 2, 3, 4, 5] * 2
    assert tokens["step"] == [3, 1, 4, 0, 2] * 2
    assert tokens["context_positions"][:5] == [[0, 4, 2, 5], [0, 4], [0, 4, 2, 5, 1], [0], [0, 4, 2]]
    said = json.loads(scores.to_json())[0]
    assert said["ordering"]["order"] == [4, 2, 5, 1, 3]
    assert (said["ordering"]["length"], said["ordering"]["length_given"]) == (6, True)
    assert [f["context_positions"] for f in said["factors"]] == tokens["context_positions"][:5]
    assert "order" not in tiny("llama").lm.score_batch([IDS]).to_arrow().column_names


@pytest.mark.parametrize("given_place", [0, 3, -1])
def test_bytes_and_spans_where_a_token_is_given_in_the_middle(given_place: int):
    """With a given start the token that comes first in the order is given, wherever it stands."""
    any_order = tiny_any_order("llama", 40, vocab_size=byte_level().size).lm
    lm = LanguageModel(any_order.model, byte_level(), engine=any_order.engine)
    text = "naïve café is a place"
    length = len(lm.tokenizer.encode(text))
    given_place %= length
    order = [given_place, *(place for place in range(length)[::-1] if place != given_place)]
    score, whole = lm.score(text, order=order, start="given"), lm.score(text, order=order)
    keep = [i for i in range(length) if i != given_place]
    assert score.tokens == [whole.tokens[i] for i in keep]
    assert score.spans.char_spans == [whole.spans.char_spans[i] for i in keep]
    assert score.bytes == len(text.encode()) - len(whole.token_bytes[given_place])
    table = lm.score_batch([text], order=order, start="given").to_arrow("token").to_pydict()
    assert list(zip(table["begin"], table["stop"], strict=True)) == score.spans.char_spans


def test_pairs_and_alternatives():
    lm = tiny_any_order("llama").lm
    score = lm.score(IDS, order="right-to-left", top=3)
    for i in range(len(IDS)):
        place = Cloze(np.array(IDS), score.context_positions(i), i, START)
        [row] = lm.predictor.conditionals([place])
        best = np.argsort(-row, kind="stable")[:3]
        assert score.top_ids[i].tolist() == best.tolist()
        assert score.top_logprobs[i].tolist() == row[best].tolist()
        assert score.ranks[i] == (row > score.logprobs[i]).sum() + 1


# Causal models


@pytest.mark.parametrize("order", ["left-to-right", (0, 1, 2, 3, 4)])
def test_left_to_right_a_causal_model_goes_the_ordinary_way(order: object):
    lm = tiny("llama").lm
    want, found = lm.score(IDS, top=2), lm.score(IDS, top=2, order=order)
    for name in ("logprobs", "ids", "contexts", "ranks", "entropies", "top_ids", "top_logprobs"):
        assert getattr(found, name).tolist() == getattr(want, name).tolist()
    assert want.ordering is None
    assert found.ordering.left_to_right
    assert "causal" in found.ordering.how
    long = lm.score(IDS * 20, window=7, stride=2, order="left-to-right")
    assert long.logprobs.tolist() == lm.score(IDS * 20, window=7, stride=2).logprobs.tolist()
    assert long.context_positions(50).tolist() == list(range(50 - int(long.contexts[50]) + 1, 50))


def test_other_orders_of_a_causal_model_go_to_the_chain(letters: LanguageModel):
    joint = letters.score("ABCA").logprob
    for order in permutations(range(4)):
        score = letters.score("ABCA", order=order, top=2)
        assert score.logprob == pytest.approx(joint, abs=1e-12)  # one coherent joint
        assert score.ids.tolist() == [0, 1, 2, 0]
    assert score.ordering.how == Sums.how
    assert score.ordering.describe().endswith("; all tokens but none")
    with pytest.raises(InputError, match="windows are for causal models, left to right"):
        letters.score("ABC", order="right-to-left", window=2)


def test_orders_that_go_different_ways_keep_their_places(letters: LanguageModel):
    """Left to right on the engine, the others by the chain, all put together again in the order asked for."""
    orders = ["right-to-left", "left-to-right", (1, 0, 2), (0, 1, 2)]
    found = letters.score_batch(["ABC", "CCA"], order=orders, top=2)
    for text, mixture in zip(["ABC", "CCA"], found, strict=True):
        for score, order in zip(mixture, orders, strict=True):
            alone = letters.score(text, order=order, top=2)
            assert score.text == text
            assert score.logprobs.tolist() == alone.logprobs.tolist()
            assert score.top_ids.tolist() == alone.top_ids.tolist()
            assert score.ordering.to_dict() == alone.ordering.to_dict()
    assert not found[0][0].invariant  # as the weaker of the two ways


def test_a_context_and_the_end(letters: LanguageModel):
    with pytest.raises(InputError, match="no end symbol is predicted: leave end= or order= out"):
        tiny_any_order("llama").lm.score(IDS, order="random", end=True)
    behind = letters.score("BC", context="A", order="right-to-left")
    assert behind.logprob == pytest.approx(letters.score("BC", context="A").logprob, abs=1e-12)


def test_a_single_token_that_is_given_has_no_factor():
    with pytest.raises(InputError, match="item 1: a single token with a given start has no factor"):
        tiny_any_order("llama").lm.score_batch([[5, 6], [5]], start="given", order="random:3")
    assert len(tiny_any_order("llama").lm.score([5], order="random")) == 1


def test_embeddings_and_rank_take_no_such_orders():
    lm = tiny("llama").lm
    with pytest.raises(InputError, match="give token ids for any other order"):
        lm.score(embeddings=lm.embed(IDS), order="random")
    with pytest.raises(InputError, match="rank takes one order"):
        lm.rank([5], [[6], [7]], order="random:2")
    any_order = tiny_any_order("llama").lm
    ranked = any_order.rank([5], [[6, 8], [7, 9]], order="right-to-left")
    assert ranked[0].logprob == any_order.score([[6, 8], [7, 9]][ranked[0].index], context=[5], order=(1, 0)).logprob
