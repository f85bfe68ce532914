"""Targets, draws and last_n: other tokens in place of each token of a text, and the last tokens alone."""

from __future__ import annotations

import math
from typing import Any

import model_kinds
import numpy as np
import pyarrow as pa
import pytest
import torch
from random_tables import random_table

from chainrule import InputError, LanguageModel, TableModel

TEXT = [7, 8, 9, 4, 12, 13]
TARGETS = [[4], [], [9, 9, 0], [5, 4], [11], [250, 1]]


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return model_kinds.KINDS["forest"].make()


def logprobs_after(lm: LanguageModel, context: list[int], **options: Any) -> np.ndarray:
    return lm.conditional(context, **options).logprobs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_targets_have_the_bits_of_the_conditional(tiny: LanguageModel, temperature: float):
    plain = tiny.score(TEXT, top=2, temperature=temperature)
    score = tiny.score(TEXT, top=2, targets=TARGETS, draws=3, temperature=temperature)
    assert tiny.invariant
    assert score.logprobs.tobytes() == plain.logprobs.tobytes()
    assert score.ranks.tolist() == plain.ranks.tolist()
    for i, ids in enumerate(TARGETS):
        logprob_V = logprobs_after(tiny, TEXT[:i], temperature=temperature)
        assert score.target_ids[i].tolist() == ids
        assert score.target_logprobs[i].tobytes() == logprob_V[ids].tobytes()
        assert score.draw_logprobs[i].tobytes() == logprob_V[score.draw_ids[i]].tobytes()


TEXTS = {
    "forest": TEXT, "batch": TEXT, "single": TEXT, "bfloat16": TEXT, "masked": [5, 6, 7, 4], "table": [1, 2, 0],
    "two-stream": [1, 2, 3, 4], "any-order": [1, 2, 0, 1], "sums": [1, 2, 0],
}  # fmt: skip
ANY_ORDER = ("masked", "table", "two-stream", "any-order", "sums")


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in TEXTS]
    + [(name, {"order": order, "seed": 3}) for name in ANY_ORDER for order in ("right-to-left", "random")],
)
def test_a_target_is_the_factor_of_the_text_with_it(name: str, options: Any):
    """In every kind of model, in its own order and in others: the text with one token replaced has the target as its factor."""
    lm, text = model_kinds.KINDS[name].make(), TEXTS[name]
    plain = lm.score(text, **options)
    ids = [2, 1] if len(text) < 5 else [2, 21]
    targets = [ids[: 1 + t % 2] for t in range(len(plain))]
    if name == "masked":
        targets = [[5, 6][: len(each)] for each in targets]
    both = lm.score_batch([text, text[:-1], text], targets=[targets, None, targets[::-1]], **options)
    close = 2e-2 if name == "bfloat16" else 2e-5
    for number, lists in ((0, targets), (2, targets[::-1])):
        score = both[number]
        assert score.logprobs == pytest.approx(plain.logprobs, abs=close)
        for t, place in enumerate(plain.places.tolist()):
            for n, id in enumerate(lists[t]):
                replaced = [*text[:place], id, *text[place + 1 :]]
                want = lm.score(replaced, **options).logprobs[t]
                assert score.target_logprobs[t][n] == pytest.approx(want, abs=close)
    assert both[1].target_ids == [] or all(not len(each) for each in both[1].target_ids)


def test_targets_and_draws_in_windows_after_contexts_and_of_embeddings(tiny: LanguageModel):
    ids = np.random.default_rng(0).integers(0, 250, 40)
    targets = [[int(i), 5] for i in range(40)]
    windowed = tiny.score(ids, window=16, stride=4, targets=targets, draws=1, end=None)
    for t in (0, 15, 16, 25, 39):
        seen = ids[t + 1 - windowed.contexts[t] : t]
        logprob_V = logprobs_after(tiny, seen.tolist())
        assert windowed.target_logprobs[t].tobytes() == logprob_V[targets[t]].tobytes()
    after = tiny.score(ids[5:], context=ids[:5], targets=targets[5:], draws=2)
    whole = tiny.score(ids, targets=targets, draws=2)
    embedded = tiny.score(ids, embeddings=tiny.embed(ids), targets=targets, draws=2)
    assert [a.tobytes() for a in after.target_logprobs] == [a.tobytes() for a in whole.target_logprobs[5:]]
    assert after.draw_ids.tolist() == whole.draw_ids[5:].tolist()
    assert [a.tobytes() for a in embedded.target_logprobs] == [a.tobytes() for a in whole.target_logprobs]
    given = tiny.score(ids, start="given", targets=targets[1:])
    assert len(given.target_ids) == 39


def test_targets_cost_no_row(tiny: LanguageModel):
    texts = [TEXT, TEXT[:3], [*TEXT[:3], 99]]
    plain = tiny.score_batch(texts)
    asked = tiny.score_batch(texts, targets=[TARGETS, [[1]] * 3, [[2, 3]] * 4], draws=2)
    assert (asked.rows, asked.distinct_contexts) == (plain.rows, plain.distinct_contexts)
    assert asked.logprobs.tobytes() == plain.logprobs.tobytes()


def test_many_texts_have_the_bits_of_each_alone(tiny: LanguageModel):
    """More contexts than a block of the readout has rows, with beginnings in common and other targets."""
    random = np.random.default_rng(5)
    texts = [[*random.integers(1, 4, 4).tolist(), *random.integers(1, 250, random.integers(1, 30)).tolist()] for _ in range(70)]
    targets = [[random.integers(0, 250, random.integers(0, 4)).tolist() for _ in text] for text in texts]
    together = tiny.score_batch(texts, targets=targets, draws=2)
    assert together.distinct_contexts > 1024
    for text, lists, score in zip(texts[::7], targets[::7], together[::7], strict=True):
        alone = tiny.score(text, targets=lists, draws=2)
        assert score.targets.ids.tolist() == alone.targets.ids.tolist() == [id for ids in lists for id in ids]
        assert score.targets.logprobs.tobytes() == alone.targets.logprobs.tobytes()
        assert score.draw_ids.tolist() == alone.draw_ids.tolist()


def test_draws_do_not_depend_on_the_batch_or_their_number(tiny: LanguageModel):
    few, many = tiny.score(TEXT, draws=2, seed=4), tiny.score_batch([[9, 9], TEXT, TEXT], draws=5, seed=4)
    assert few.draw_ids.tolist() == many[1].draw_ids[:, :2].tolist() == many[2].draw_ids[:, :2].tolist()
    assert few.draw_logprobs.tobytes() == np.ascontiguousarray(many[1].draw_logprobs[:, :2]).tobytes()
    assert tiny.score(TEXT, draws=5, seed=5).draw_ids.tolist() != many[1].draw_ids.tolist()
    assert len({tuple(row) for row in many[1].draw_ids.T.tolist()}) == 5


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_have_the_probabilities_of_the_model(temperature: float):
    """20,000 draws of each token, within 5 standard deviations; impossible tokens are never drawn."""
    p = np.array([0.5, 0.0, 0.3, 0.2, 0.0])
    lm = LanguageModel(TableModel(list("ABCDE"), {"": p}, probabilities=True, back_off=True))
    score = lm.score("AC", draws=20_000, seed=1, temperature=temperature)
    q = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    for drawn, logprobs in zip(score.draw_ids, score.draw_logprobs, strict=True):
        share = np.bincount(drawn, minlength=5) / 20_000
        assert (np.abs(share - q) <= 5 * np.sqrt(q * (1 - q) / 20_000)).all()
        assert np.exp(logprobs) == pytest.approx(q[drawn], abs=1e-12)
    assert score.draw_ids[0].tolist() != score.draw_ids[1].tolist()


def test_an_impossible_context_has_no_draw():
    """With sums over all texts, a context of probability 0 gives no distribution."""
    lm = LanguageModel(TableModel(["A", "B"], {"": [1.0, 0.0], "A": [0.5, 0.5], "B": [0.5, 0.5]}, probabilities=True))
    score = lm.score("BA", order=(1, 0), draws=2, targets=[[0, 1], [1]])
    assert score.logprobs.tolist() == [-math.inf, math.log(0.5)]
    after_b = lm.score("AB", order="right-to-left", draws=1, context=None)
    assert after_b.draw_ids.tolist()[1][0] in (0, 1)
    impossible = lm.score("BAA"[:2], order=(0, 1), draws=2)
    assert impossible.draw_ids.shape == (2, 2)


def test_last_n_is_the_score_of_the_last_tokens(tiny: LanguageModel):
    text = "It is raining in the old town."
    whole, last = tiny.score(text, end=True), tiny.score(text, end=True, last_n=4)
    assert last.logprobs.tobytes() == whole.logprobs[-5:].tobytes()
    assert last.ids.tolist() == whole.ids[-5:].tolist()
    assert last.kind == "conditional"
    assert "tokens of the text are given" in last.condition
    assert last.spans.char_spans == whole.spans.char_spans[-5:]
    assert last.contexts.tolist() == whole.contexts[-5:].tolist()
    ids = whole.ids[:-1].tolist()
    assert last.logprobs[:-1].tobytes() == tiny.score(ids[-4:], context=ids[:-4]).logprobs.tobytes()
    assert tiny.score(text, last_n=10_000).kind == tiny.score(text).kind == "joint"
    batch = tiny.score_batch([text, "Two", text], context=["A", None, None], last_n=2, targets=[[[1], [2]]] * 3)
    assert batch.tokens.tolist() == [2, 2, 2]
    assert batch.kinds == [score.kind for score in batch] == ["conditional"] * 3


def test_tables_and_json(tiny: LanguageModel):
    scores = tiny.score_batch([TEXT, TEXT[:2]], targets=[TARGETS, [[1], None]], draws=2)
    table = scores.to_arrow("token")
    assert table["target_id"].type == pa.list_(pa.int64())
    assert table["draw_logprob"].type == pa.list_(pa.float64())
    assert table["target_id"].to_pylist() == [*TARGETS, [1], []]
    flat = [float(p) for row in table["target_logprob"].to_pylist() for p in row]
    assert flat == scores.targets.logprobs.tolist()
    assert table["draw_id"].to_pylist() == scores.draw_ids.tolist()
    factors = scores[0].to_dict()["factors"]
    assert [factor["target_id"] for factor in factors] == TARGETS
    assert factors[3]["draw_logprob"] == scores[0].draw_logprobs[3].tolist()
    assert not {"target_id", "draw_id"} & set(tiny.score_batch([TEXT]).to_arrow("token").column_names)
    assert scores[0].target_logprobs[0].base is not None  # a view
    part = scores.part(slice(1, 2))
    assert part.target_ids[0].tolist() == [1]
    assert part.draw_ids.tolist() == scores[1].draw_ids.tolist()


def test_forms_of_targets(tiny: LanguageModel):
    want = [array.tolist() for array in tiny.score(TEXT, targets=[[1, 2]] * 6).target_logprobs]
    rows = np.array([[1, 2]] * 6)
    for targets in (rows, torch.from_numpy(rows), tuple(map(tuple, rows.tolist())), iter(rows), pa.array(rows.tolist())):
        assert [array.tolist() for array in tiny.score(TEXT, targets=targets).target_logprobs] == want
    mixture = tiny.score_batch([TEXT], targets=[[[1, 2]] * 6])
    assert [array.tolist() for array in mixture[0].target_logprobs] == want


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": [[1]]}, "targets has 1 lists of ids, and the text has 6 factors"),
        ({"targets": [1, 2, 3, 4, 5, 6]}, "1 (number 0) is no list"),
        ({"targets": [[1], [2], [10**6], [], [], []]}, "token id 1000000 in targets[2] is out of range"),
        ({"targets": [[1], [-1], [], [], [], []]}, "token id -1 in targets[1]"),
        ({"targets": [[1], [0.5], [], [], [], []]}, "targets[1]: token ids are whole numbers"),
        ({"targets": "abc"}, "the targets of a text must be a list, not one str"),
        ({"draws": -1}, "draws must be a whole number from 0"),
        ({"draws": 1.5}, "draws must be a whole number"),
        ({"last_n": 0}, "last_n must be a whole number from 1"),
        ({"last_n": 2, "order": "random"}, "last_n= takes the last tokens of one text, left to right"),
        ({"last_n": 2, "targets": [[1]] * 6}, "targets has 6 lists of ids, and the text has 2 factors"),
    ],
)
def test_errors(tiny: LanguageModel, options: dict[str, Any], message: str):
    with pytest.raises(InputError) as error:
        tiny.score(TEXT, **options)
    assert message in str(error.value)


def test_errors_of_batches_name_the_item(tiny: LanguageModel):
    with pytest.raises(InputError, match="item 1") as error:
        tiny.score_batch([TEXT, TEXT], targets=[TARGETS, [[1]]])
    assert error.value.item == 1
    with pytest.raises(InputError, match="1 entries in targets and 2 texts"):
        tiny.score_batch([TEXT, TEXT], targets=[TARGETS])


def test_all_tokens_as_targets_are_the_distribution():
    lm = random_table(3)
    score = lm.score("ABC", targets=[[0, 1, 2]] * 3)
    for t, logprobs in enumerate(score.target_logprobs):
        assert math.fsum(np.exp(logprobs)) == pytest.approx(1, abs=1e-12)
        assert logprobs.tobytes() == lm.conditional("ABC"[:t]).logprobs.tobytes()
