"""Filling places in any order: every kind of model against its own conditionals, step by step, and against all fillings."""

from __future__ import annotations

import copy
import math
from collections import Counter
from functools import cache
from itertools import permutations, product

import numpy as np
import pytest
from masked_zoo import TOKENS, masked, two_stream
from model_zoo import tiny, tiny_any_order, untouched_any_order
from text_zoo import byte_level

from chainrule import InputError, LanguageModel, TableModel
from chainrule.display.views import text_in_colour
from chainrule.engine.predictors.base import Cloze
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.any_order import AnyOrderModel

SMALL = {"vocab_size": 3, "bos_token_id": 0, "eos_token_id": None}


@cache
def table(names: str = "ABC", length: int = 4) -> LanguageModel:
    """A random table over every context shorter than `length`, which predicts in any order by sums over all texts."""
    draw = np.random.default_rng(3)
    contexts = ["".join(c) for n in range(length) for c in product(names, repeat=n)]
    return LanguageModel(TableModel(list(names), {c: draw.normal(0, 1.5, len(names)) for c in contexts}))


KINDS = {  # the model, and the tokens that can occur
    "llama": lambda: (tiny_any_order("llama", 5, **SMALL).lm, range(3)),
    "gpt2": lambda: (tiny_any_order("gpt2", 5, **SMALL).lm, range(3)),
    "masked": lambda: (masked("bert").lm, TOKENS),
    "two-stream": lambda: (two_stream().lm, range(5)),
    "table": lambda: (table(), range(3)),
}
pytestmark = pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")  # among three tokens they do
BLANKS = [0, 2, 3]  # of four places
ORDER = (2, 0, 1)  # of the blanks
WAYS = [{"method": "greedy"}, {"method": "sample", "n": 5, "seed": 2}, {"method": "beam", "n": 3},
        {"method": "best", "n": 3}]  # fmt: skip


def template(tokens) -> list[int | None]:
    return [None, tokens[1], None, None]


def filling(lm, ids, given, order) -> OrderedSequence:
    return OrderedSequence(np.array(ids, np.int64), np.array(order, np.int64), np.array(given, np.int64), lm.start.id)


def step_by_step(lm, ids, given, order) -> np.ndarray:
    """The distribution at each place, in the order of prediction, one question at a time."""
    one = filling(lm, ids, given, order)
    ask = [Cloze(one.ids_L, one.seen(t), place, lm.start.id) for t, place in enumerate(order)]
    return np.concatenate([lm.predictor.any_order.conditionals([place]) for place in ask])


def all_fillings(lm, tokens, order=ORDER) -> dict[tuple[int, ...], float]:
    """Every filling of the template, and its log probability."""
    texts = [(a, tokens[1], b, c) for a, b, c in product(tokens, repeat=3)]
    ask = [filling(lm, text, [1], [BLANKS[i] for i in order]) for text in texts]
    return dict(zip(texts, lm.predictor.any_order.answer_in_order(ask).logprob_N.reshape(-1, 3).sum(1).tolist(), strict=True))


def whole(s) -> tuple[int, ...]:
    return tuple(s.request.ids.tolist())


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]()


@pytest.mark.parametrize("options", WAYS, ids=lambda options: options["method"])
def test_the_result_is_the_score_of_the_blanks_given_the_rest(kind, options):
    lm, tokens = kind
    found = lm.infill(template(tokens), order=ORDER, top=2, **options)
    order, made = [BLANKS[i] for i in ORDER], found if isinstance(found, list) else [found]
    assert len(made) == options.get("n", 1)
    for s in made:
        ids = whole(s)
        assert (s.kind, s.finish, s.end) == ("conditional", "length", None)
        assert (ids[1], len(ids), [ids[place] for place in BLANKS]) == (tokens[1], 4, s.ids.tolist())
        wanted = step_by_step(lm, ids, [1], order)[np.argsort(order)]
        np.testing.assert_allclose(s.logprobs, wanted[np.arange(3), s.ids], rtol=0, atol=1e-5)
        np.testing.assert_allclose(s.running_logprobs, s.logprobs, rtol=0, atol=1e-5)
        assert [[name for name, _ in s.top(i)] for i in range(3)] == [
            [lm.tokenizer.token(v) if lm.tokenizer else f"<{v}>" for v in np.argsort(-row)[:2]] for row in wanted
        ]
        assert s.contexts.tolist() == [1 + (lm.start.id is not None) + order.index(place) for place in BLANKS]
        assert s.places.tolist() == BLANKS


def test_greedy_takes_the_most_probable_token_in_each_step(kind):
    lm, tokens = kind
    for blanks in permutations(range(3)):
        s, order = lm.infill(template(tokens), order=blanks), [BLANKS[i] for i in blanks]
        assert [whole(s)[place] for place in order] == step_by_step(lm, whole(s), [1], order).argmax(1).tolist()
        assert (s.ranks == 1).all()


def test_best_and_a_wide_beam_find_the_most_probable_fillings(kind):
    lm, tokens = kind
    every = all_fillings(lm, tokens)
    most = sorted(every, key=every.get, reverse=True)[:5]
    for options in ({"method": "best"}, {"method": "best", "num_beams": 1}, {"method": "beam", "num_beams": len(every)}):
        found = lm.infill(template(tokens), order=ORDER, n=5, **options)
        assert [whole(s) for s in found] == most
        np.testing.assert_allclose([s.logprob for s in found], [every[text] for text in most], rtol=0, atol=1e-5)
        assert all(s.certificate.certain for s in found if s.certificate)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_best_is_the_best_where_greedy_is_not(name):
    lm, tokens = KINDS[name]()
    misled = 0
    for order in permutations(range(3)):
        every = all_fillings(lm, tokens, order)
        most = max(every, key=every.get)
        assert whole(lm.infill(template(tokens), order=order, method="best", num_beams=1)) == most
        misled += whole(lm.infill(template(tokens), order=order)) != most
    assert misled


def test_each_order_is_a_distribution_and_only_sums_have_the_same_in_all(kind):
    lm, tokens = kind
    every = np.array([list(all_fillings(lm, tokens, order).values()) for order in permutations(range(3))])
    assert np.abs(np.exp(every).sum(1) - 1).max() < 1e-5
    spread = np.ptp(every, 0).max()
    assert spread < 1e-9 if lm.predictor.accepts.left_to_right else spread > 0.01
    drawn = {
        order: [whole(s) for s in lm.infill(template(tokens), order=order, method="sample", n=20, seed=4)]
        for order in permutations(range(3))
    }
    assert drawn[0, 1, 2] != drawn[2, 1, 0]


@pytest.mark.parametrize("order", [None, ORDER])
def test_samples_come_as_often_as_the_conditional_joint_says(order):
    lm, draws = table(), 6000
    joint = {text: lm.score(text).logprob for text in product(range(3), repeat=4) if text[1] == 1}
    total = np.logaddexp.reduce(list(joint.values()))
    expected = {text: draws * math.exp(p - total) for text, p in joint.items()}
    seen = Counter(whole(s) for s in lm.infill([None, 1, None, None], order=order, method="sample", n=draws, seed=1))
    assert seen.total() == draws
    degrees = len(expected) - 1
    chi_square = sum((seen[text] - n) ** 2 / n for text, n in expected.items())
    assert chi_square < degrees + 3.3 * math.sqrt(2 * degrees)  # one in a thousand lies beyond


def test_altered_samples_say_what_they_were_drawn_from(kind):
    lm, tokens = kind
    order = [BLANKS[i] for i in ORDER]
    for s in lm.infill(template(tokens), order=ORDER, method="sample", n=5, seed=3, temperature=0.5):
        rows = step_by_step(lm, whole(s), [1], order) * 2
        rows -= np.logaddexp.reduce(rows, 1)[:, None]
        assert s.sampling_logprob == pytest.approx(sum(rows[t, whole(s)[place]] for t, place in enumerate(order)), abs=1e-5)
        assert (s.sampling, s.seed) == ("temperature 0.5", 3)


@pytest.mark.parametrize("order", [(1, 2, 0), "right-to-left", "random"], ids=str)
@pytest.mark.parametrize("options", WAYS, ids=lambda options: options["method"])
def test_a_text_in_an_order_is_scored_in_that_order(kind, options, order):
    lm, tokens = kind
    context = [tokens[1]]
    found = lm.generate(context, max_tokens=3, order=order, top=1, **options)
    for s in found if isinstance(found, list) else [found]:
        again = lm.score(s.ids, context=context, order=order, seed=options.get("seed", 0), top=1)
        np.testing.assert_allclose(s.logprobs, again.logprobs, rtol=0, atol=0 if lm.invariant else 1e-5)
        assert s.logprob == pytest.approx(again.logprob, abs=0 if lm.invariant else 1e-5)
        assert (s.kind, s.finish, len(s)) == ("conditional", "length", 3)
        assert s.ordering.order.tolist() == again.ordering.order.tolist()
        assert s.contexts.tolist() == again.contexts.tolist()
        assert s.ranks.tolist() == again.ranks.tolist()


@pytest.mark.parametrize("name", ["llama", "gpt2", "masked"])
def test_without_an_order_they_grow_left_to_right(name):
    lm, _ = KINDS[name]()
    grown, ordered = lm.generate(max_tokens=3), lm.generate(max_tokens=3, order="left-to-right")
    assert grown.kind == "joint"
    assert (grown.ids.tolist(), grown.logprob) == (ordered.ids.tolist(), ordered.logprob)
    assert grown.logprob == lm.score(grown.ids).logprob
    assert grown.contexts.tolist() == [1, 2, 3]


def test_nothing_given_at_all_is_the_joint(kind):
    lm, tokens = kind
    if lm.start.id is None:
        with pytest.raises(InputError, match="from one known token at least"):
            lm.infill([None, None])
        return
    s = lm.infill([None, None], order=(1, 0), method="best")
    assert s.kind == "joint"
    texts = [list(text) for text in product(tokens, repeat=2)]
    assert s.logprob == pytest.approx(lm.score_batch(texts, order=(1, 0)).logprob.max(), abs=1e-5)


def test_watching_in_the_order_of_prediction(kind):
    lm, tokens = kind
    s = lm.infill(template(tokens), order=ORDER, top=2, on_token=(steps := []).append)
    assert [step.id for step in steps] == [whole(s)[BLANKS[i]] for i in ORDER]
    assert [step.step for step in steps] == [0, 1, 2]
    assert sorted(step.context for step in steps) == sorted(s.contexts.tolist())
    assert steps[-1].running_logprob == pytest.approx(s.logprob, abs=1e-5)
    assert all(step.alternatives[0].id == step.id for step in steps)


# -- rows


def test_an_any_order_model_runs_one_row_a_token(monkeypatch):
    lm = tiny_any_order("llama", 9).lm
    assert lm.invariant.reason  # tried now, and not among the rows that are counted
    seen, hidden = [], lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: seen.append(x.shape[1]) or hidden(x, **o))
    lm.infill([5, None, 7, None, None], order=(2, 1, 0))
    assert seen == [3, 1, 1, 5]  # start and two given; two of three blanks; and all but the last once more, to be scored
    seen.clear()
    made = lm.infill([5, None, 7, None, None], order=(2, 1, 0), method="sample", n=20, seed=1)
    paths = {whole(s)[::-1][: 1 + n] for s in made for n in range(2)}  # the places 4, 3
    assert len({whole(s) for s in made}) > 3
    assert seen[0] == 3
    assert sum(seen[1:3]) == len(paths)


# -- texts


def test_blanks_in_a_text():
    lm = table()
    for text, lengths, order in [("A____B", None, None), ("A____B", [2], (1, 0)), ("____AB____", None, (1, 0)),
                                 ("____", [3], (1, 2, 0)), ("____A____", [1, 2], (2, 0, 1)), ("A____", [3], None),
                                 ("____C", (2,), None), ("________", [1, 2], None)]:  # fmt: skip
        parts = text.split("____")
        counts = [1] * (len(parts) - 1) if lengths is None else lengths
        ids: list[int | None] = [*map("ABC".index, parts[0])]
        for count, part in zip(counts, parts[1:], strict=True):
            ids += [None] * count + [*map("ABC".index, part)]
        s, same = lm.infill(text, lengths, order=order), lm.infill(ids, order=order)
        assert s.text == "".join("ABC"[id] for id in whole(s)) == same.text
        assert [(a is None or a == b) for a, b in zip(ids, whole(s), strict=True)] == [True] * len(ids)
        assert (s.ids.tolist(), s.logprobs.tolist()) == (same.ids.tolist(), same.logprobs.tolist())
        assert s.places.tolist() == [place for place, id in enumerate(ids) if id is None]
        assert s.finish == "length"
        assert s.to_dict()["text"] == s.text
        assert str(lm.explain(s))


def test_what_is_shown_of_a_filling():
    lm = table()
    s = lm.infill("____AB____", [1, 1], order=(1, 0))
    assert repr(s) == f"Generated(log Pr given its context = {s.logprob:.6f} nats, 2 tokens, {s.text!r})"
    told = str(lm.explain(s)).splitlines()
    assert told[0] == "conditional: the tokens in the other places are given"
    assert [line.split(" =")[0].strip() for line in told[2:4]] == ["Pr(x_3 | s, e_1, e_2)", "Pr(x_0 | s, e_1, e_2, e_3)"]
    assert told[-1].startswith(f"Pr(x) given the other places = exp({s.logprob:.6f})")
    shown = text_in_colour(s)
    assert shown.plain == s.text
    assert [shown.plain[span.start : span.end] for span in shown.spans if span.style == "dim"] == ["AB"]
    assert str(lm.explain(lm.generate("A", max_tokens=2, order=(1, 0)))).count("given what stands before") == 2
    given = two_stream().lm.infill([1, None, None], order=(1, 0))
    assert str(two_stream().lm.explain(given)).count("given the first in the order") == 2


def test_a_number_of_tokens_need_not_be_a_list():
    assert table().infill("A____B", 2).text == table().infill("A____B", [2]).text


def test_spaces_around_a_blank_are_kept():
    for s in table("A ").infill(" ____ A", method="sample", n=5, seed=1):
        assert (len(s.text), s.text[0], s.text[2:]) == (4, " ", " A")


def test_the_text_is_the_whole_text_even_where_its_bytes_are_none():
    """A random model spells bytes that are no characters: what was given around them stays."""
    tokenizer = byte_level()
    own = untouched_any_order("llama", 24, vocab_size=tokenizer.size, bos_token_id=tokenizer.bos_id)
    lm, broken = LanguageModel(AnyOrderModel(copy.deepcopy(own), "letters"), tokenizer), 0
    for s in lm.infill("The____ sat ____", [2, 3], order="random", method="sample", n=12, seed=1):
        raw = b"".join(map(tokenizer.token_bytes, whole(s)))
        assert s.text == raw.decode("utf-8", "replace")
        assert s.text.startswith("The")
        assert " sat " in s.text
        assert len(s) == 5
        broken += s.request.text is None
    assert broken


# -- what cannot be


def test_what_is_impossible_is_no_filling():
    rows = {"": [1, 0], "A": [0.25, 0.75], "B": [0.5, 0.5]}
    lm = LanguageModel(TableModel(["A", "B"], rows, probabilities=True))
    for method in ("greedy", "sample", "beam", "best"):
        with pytest.raises(InputError, match="every way to fill these places is impossible"):
            lm.infill("B____", method=method)
        assert lm.infill("____B", method=method).text == "AB"
    seen = {s.text for s in lm.infill("____", [2], order=(1, 0), method="sample", n=50, seed=1)}
    assert seen == {"AA", "AB"}


TEMPLATES = [
    ("AB", {}, "there is no blank in 'AB': write ____"),
    ("", {}, "there is no blank in ''"),
    ([0, 1], {}, "there is no blank in"),
    ("A____B____", {"lengths": [1]}, r"there are 2 blanks, and lengths= must give .* for each, not \[1\]"),
    ("A____", {"lengths": [1, 1]}, "there are 1 blanks"),
    ("A____", {"lengths": [0]}, "1 or more, for each"),
    ("A____", {"lengths": [1.5]}, "1 or more, for each"),
    ("A____", {"lengths": [True]}, "1 or more, for each"),
    ([0, None], {"lengths": [1]}, "each None is one token"),
    (7, {}, "a template is a text with ____ in it, or token ids"),
    ([0, 7, None], {}, "token id 7 at position 1 is out of range"),
    ([-1, None], {}, "token id -1 at position 0 is out of range"),
    (["A", None], {}, "token ids must be whole numbers"),
    ("A____", {"max_tokens": 2}, "leave max_tokens= out"),
    ("A____", {"stop": "A"}, "leave stop= out"),
    ("A____", {"order": "random:2"}, "one order: give one"),
    ("A____", {"order": [(0,), (0,)]}, "one order: give one"),
    ("A____", {"order": (1, 0)}, "does not fit a single token"),
    ("A____", {"top": 4}, "top must be a whole number from 0 to 3, not 4"),
    ("A____", {"seed": 1}, "seed=1 is for method='sample'"),
    ("AD____", {}, "'D' is not in the vocabulary"),
    ("A____", {"lengths": [20]}, "all 3.21 texts of 21 tokens"),
]


@pytest.mark.parametrize(("given", "options", "message"), TEMPLATES)
def test_bad_templates(given, options, message):
    with pytest.raises(InputError, match=message):
        table().infill(given, **options)


ORDERS = [
    ({"order": (1, 0)}, "say how many tokens, max_tokens="),
    ({"order": (1, 0), "max_tokens": 3}, "not a permutation of the 3 positions"),
    ({"order": "random:2", "max_tokens": 2}, "one order: give one"),
    ({"order": "backwards", "max_tokens": 2}, "is not an order"),
    ({"order": (1, 0), "max_tokens": 2, "end": True}, "leave end= out"),
    ({"order": (1, 0), "max_tokens": 2, "end": 0}, "leave end= out"),
    ({"order": (1, 0), "max_tokens": 2, "stop": ["A"]}, "leave stop= out"),
    ({"order": (1, 0), "max_tokens": 2, "top": 9}, "top must be a whole number from 0 to 3"),
]


@pytest.mark.parametrize(("options", "message"), ORDERS)
def test_bad_orders(options, message):
    with pytest.raises(InputError, match=message):
        table().generate("A", **options)


def test_an_order_may_be_an_array():
    wanted = table().generate("A", order=(1, 0), max_tokens=2)
    assert table().generate("A", order=np.array([1, 0]), max_tokens=2).ids.tolist() == wanted.ids.tolist()
    assert table().generate("A", order=(1, 0), max_tokens=2, end=False).text == wanted.text


def test_models_that_cannot():
    big = tiny("llama").lm
    for ask in (lambda: big.infill([4, None, 5, None]), lambda: big.generate([3], order=(2, 1, 0), max_tokens=3)):
        with pytest.raises(InputError, match=r"llama is a causal model.*sum over all 61\^4 texts of 4 tokens"):
            ask()
    any_order = tiny_any_order("llama").lm
    with pytest.raises(InputError, match="came without a tokenizer: give token ids"):
        any_order.infill("A____")
    with pytest.raises(InputError, match="token id 61 at position 0 is out of range"):
        any_order.infill([61, None])
    with pytest.raises(InputError, match="it has 10 tokens, and the model has 9 positions"):
        any_order.infill([3, None] * 5)
    with pytest.raises(InputError, match=r"token '<3>' \(id 3\) at position 0 cannot occur"):
        masked("bert").lm.infill([3, None])
    with pytest.raises(InputError, match="from one known token at least"):
        two_stream().lm.generate(max_tokens=2, order=(1, 0))
