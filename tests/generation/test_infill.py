"""Infilling in any order: every kind of model against its own conditionals, step by step, and against all fillings."""

from __future__ import annotations

import copy
import math
from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
from masked_zoo import TOKENS, masked, two_stream
from model_zoo import tiny_any_order, untouched_any_order
from random_tables import random_table
from text_zoo import byte_level

from chainrule import InputError, LanguageModel
from chainrule.display.scores import marked
from chainrule.engine.predictors.base import Cloze
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.any_order import AnyOrderModel

CONFIG = {"vocab_size": 3, "bos_token_id": 0, "eos_token_id": None}


TABLE = random_table(3)

KINDS = {  # the model, and the tokens that can occur
    "llama": lambda: (tiny_any_order("llama", 5, **CONFIG).lm, range(3)),
    "gpt2": lambda: (tiny_any_order("gpt2", 5, **CONFIG).lm, range(3)),
    "masked": lambda: (masked("bert").lm, TOKENS),
    "two-stream": lambda: (two_stream().lm, range(5)),
    "table": lambda: (TABLE, range(3)),
}
pytestmark = pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")  # drawn among three tokens
BLANKS = [0, 2, 3]  # positions, of four
ORDER = (2, 0, 1)  # of the blanks
METHODS = [{"method": "greedy"}, {"method": "sample", "n": 5, "seed": 2}, {"method": "beam", "n": 3},
        {"method": "best", "n": 3}]  # fmt: skip


def template(tokens) -> list[int | None]:
    return [None, tokens[1], None, None]


def ordered_sequence(lm, ids, given, order) -> OrderedSequence:
    return OrderedSequence(np.array(ids, np.int64), np.array(order, np.int64), np.array(given, np.int64), lm.start.id)


def step_by_step(lm, ids, given, order) -> np.ndarray:
    """The distribution at each position, in the order of prediction, each computed alone."""
    sequence = ordered_sequence(lm, ids, given, order)
    clozes = [Cloze(sequence.ids_L, sequence.seen(t), position, lm.start.id) for t, position in enumerate(order)]
    return np.concatenate([lm.predictor.any_order.conditionals([cloze]) for cloze in clozes])


def all_fillings(lm, tokens, order=ORDER) -> dict[tuple[int, ...], float]:
    """Every filling of the template with its log probability."""
    texts = [(a, tokens[1], b, c) for a, b, c in product(tokens, repeat=3)]
    sequences = [ordered_sequence(lm, text, [1], [BLANKS[i] for i in order]) for text in texts]
    logprobs = lm.predictor.any_order.answer_in_order(sequences).logprobs.reshape(-1, 3).sum(1)
    return dict(zip(texts, logprobs.tolist(), strict=True))


def ids_of(s) -> tuple[int, ...]:
    """All tokens of the text, given ones included."""
    return tuple(s.request.ids.tolist())


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]()


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_the_result_is_the_score_of_the_blanks_given_the_rest(kind, options):
    lm, tokens = kind
    texts = lm.infill(template(tokens), order=ORDER, top=2, **options)
    order, texts = [BLANKS[i] for i in ORDER], texts if isinstance(texts, list) else [texts]
    assert len(texts) == options.get("n", 1)
    for s in texts:
        ids = ids_of(s)
        assert (s.kind, s.finish, s.end) == ("conditional", "length", None)
        assert (ids[1], len(ids), [ids[position] for position in BLANKS]) == (tokens[1], 4, s.ids.tolist())
        expected = step_by_step(lm, ids, [1], order)[np.argsort(order)]
        np.testing.assert_allclose(s.logprobs, expected[np.arange(3), s.ids], rtol=0, atol=1e-5)
        np.testing.assert_allclose(s.running_logprobs, s.logprobs, rtol=0, atol=1e-5)
        assert [[name for name, _ in s.top(i)] for i in range(3)] == [
            [lm.tokenizer.token(v) if lm.tokenizer else f"<{v}>" for v in np.argsort(-row)[:2]] for row in expected
        ]
        assert s.contexts.tolist() == [1 + (lm.start.id is not None) + order.index(position) for position in BLANKS]
        assert s.places.tolist() == BLANKS


def test_greedy_takes_the_most_probable_token_in_each_step(kind):
    lm, tokens = kind
    for blanks in permutations(range(3)):
        s, order = lm.infill(template(tokens), order=blanks), [BLANKS[i] for i in blanks]
        assert [ids_of(s)[position] for position in order] == step_by_step(lm, ids_of(s), [1], order).argmax(1).tolist()
        assert (s.ranks == 1).all()


def test_best_and_a_wide_beam_find_the_most_probable_fillings(kind):
    lm, tokens = kind
    fillings = all_fillings(lm, tokens)
    best = sorted(fillings, key=fillings.get, reverse=True)[:5]
    for options in ({"method": "best"}, {"method": "best", "num_beams": 1}, {"method": "beam", "num_beams": len(fillings)}):
        texts = lm.infill(template(tokens), order=ORDER, n=5, **options)
        assert [ids_of(s) for s in texts] == best
        np.testing.assert_allclose([s.logprob for s in texts], [fillings[text] for text in best], rtol=0, atol=1e-5)
        assert all(s.certificate.certain for s in texts if s.certificate)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_best_finds_the_most_probable_filling_where_greedy_does_not(name):
    lm, tokens = KINDS[name]()
    misses = 0
    for order in permutations(range(3)):
        fillings = all_fillings(lm, tokens, order)
        best = max(fillings, key=fillings.get)
        assert ids_of(lm.infill(template(tokens), order=order, method="best", num_beams=1)) == best
        misses += ids_of(lm.infill(template(tokens), order=order)) != best
    assert misses


def test_each_order_is_a_distribution_and_only_marginals_agree_across_orders(kind):
    lm, tokens = kind
    logprobs = np.array([list(all_fillings(lm, tokens, order).values()) for order in permutations(range(3))])
    assert np.abs(np.exp(logprobs).sum(1) - 1).max() < 1e-5
    spread = np.ptp(logprobs, 0).max()
    assert spread < 1e-9 if lm.predictor.accepts.left_to_right else spread > 0.01
    samples = {
        order: [ids_of(s) for s in lm.infill(template(tokens), order=order, method="sample", n=20, seed=4)]
        for order in permutations(range(3))
    }
    assert samples[0, 1, 2] != samples[2, 1, 0]


@pytest.mark.parametrize("order", [None, ORDER])
def test_samples_have_the_frequencies_of_the_conditional_joint(order):
    lm, draws = TABLE, 2000
    joint = {text: lm.score(text).logprob for text in product(range(3), repeat=4) if text[1] == 1}
    total = np.logaddexp.reduce(list(joint.values()))
    expected = {text: draws * math.exp(p - total) for text, p in joint.items()}
    counts = Counter(ids_of(s) for s in lm.infill([None, 1, None, None], order=order, method="sample", n=draws, seed=1))
    assert counts.total() == draws
    degrees = len(expected) - 1
    chi_square = sum((counts[text] - n) ** 2 / n for text, n in expected.items())
    assert chi_square < degrees + 3.3 * math.sqrt(2 * degrees)  # exceeded once in a thousand


def test_altered_samples_report_their_distribution(kind):
    lm, tokens = kind
    order = [BLANKS[i] for i in ORDER]
    for s in lm.infill(template(tokens), order=ORDER, method="sample", n=5, seed=3, temperature=0.5):
        rows = step_by_step(lm, ids_of(s), [1], order) * 2
        rows -= np.logaddexp.reduce(rows, 1)[:, None]
        expected = sum(rows[t, ids_of(s)[position]] for t, position in enumerate(order))
        assert s.sampling_logprob == pytest.approx(expected, abs=1e-5)
        assert (s.sampling, s.seed) == ("temperature 0.5", 3)


@pytest.mark.parametrize("order", [(1, 2, 0), "right-to-left", "random"], ids=str)
@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_a_text_in_an_order_is_scored_in_that_order(kind, options, order):
    lm, tokens = kind
    context = [tokens[1]]
    texts = lm.generate(context, max_tokens=3, order=order, top=1, **options)
    for s in texts if isinstance(texts, list) else [texts]:
        again = lm.score(s.ids, context=context, order=order, seed=options.get("seed", 0), top=1)
        np.testing.assert_allclose(s.logprobs, again.logprobs, rtol=0, atol=0 if lm.invariant else 1e-5)
        assert s.logprob == pytest.approx(again.logprob, abs=0 if lm.invariant else 1e-5)
        assert (s.kind, s.finish, len(s)) == ("conditional", "length", 3)
        assert s.ordering.order.tolist() == again.ordering.order.tolist()
        assert s.contexts.tolist() == again.contexts.tolist()
        assert s.ranks.tolist() == again.ranks.tolist()


@pytest.mark.parametrize("name", ["llama", "gpt2", "masked"])
def test_without_an_order_generation_is_left_to_right(name):
    lm, _ = KINDS[name]()
    default, ordered = lm.generate(max_tokens=3), lm.generate(max_tokens=3, order="left-to-right")
    assert default.kind == "joint"
    assert (default.ids.tolist(), default.logprob) == (ordered.ids.tolist(), ordered.logprob)
    assert default.logprob == lm.score(default.ids).logprob
    assert default.contexts.tolist() == [1, 2, 3]


def test_a_template_of_blanks_only_is_the_joint(kind):
    lm, tokens = kind
    if lm.start.id is None:
        with pytest.raises(InputError, match="at least one known token"):
            lm.infill([None, None])
        return
    s = lm.infill([None, None], order=(1, 0), method="best")
    assert s.kind == "joint"
    texts = [list(text) for text in product(tokens, repeat=2)]
    assert s.logprob == pytest.approx(lm.score_batch(texts, order=(1, 0)).logprob.max(), abs=1e-5)


def test_steps_are_reported_in_the_order_of_prediction(kind):
    lm, tokens = kind
    s = lm.infill(template(tokens), order=ORDER, top=2, on_token=(steps := []).append)
    assert [step.id for step in steps] == [ids_of(s)[BLANKS[i]] for i in ORDER]
    assert [step.step for step in steps] == [0, 1, 2]
    assert sorted(step.context for step in steps) == sorted(s.contexts.tolist())
    assert steps[-1].running_logprob == pytest.approx(s.logprob, abs=1e-5)
    assert all(step.alternatives[0].id == step.id for step in steps)


# Rows


def test_an_any_order_model_runs_one_row_per_token(monkeypatch):
    lm = tiny_any_order("llama", 9).lm
    assert lm.invariant.reason  # the self-check runs now, so its rows are not counted
    rows, hidden = [], lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: rows.append(x.shape[1]) or hidden(x, **o))
    lm.infill([5, None, 7, None, None], order=(2, 1, 0))
    assert rows == [3, 1, 1, 5]  # start and two given; two of three blanks; scoring runs all except the last again
    rows.clear()
    texts = lm.infill([5, None, 7, None, None], order=(2, 1, 0), method="sample", n=20, seed=1)
    paths = {ids_of(s)[::-1][: 1 + n] for s in texts for n in range(2)}  # positions 4 and 3
    assert len({ids_of(s) for s in texts}) > 3
    assert rows[0] == 3
    assert sum(rows[1:3]) == len(paths)


# Texts


def test_blanks_in_a_text():
    lm = TABLE
    for text, lengths, order in [("A____B", None, None), ("A____B", [2], (1, 0)), ("____AB____", None, (1, 0)),
                                 ("____", [3], (1, 2, 0)), ("____A____", [1, 2], (2, 0, 1)), ("A____", [3], None),
                                 ("____C", (2,), None), ("________", [1, 2], None)]:  # fmt: skip
        parts = text.split("____")
        counts = [1] * (len(parts) - 1) if lengths is None else lengths
        ids: list[int | None] = [*map("ABC".index, parts[0])]
        for count, part in zip(counts, parts[1:], strict=True):
            ids += [None] * count + [*map("ABC".index, part)]
        s, same = lm.infill(text, lengths, order=order), lm.infill(ids, order=order)
        assert s.text == "".join("ABC"[id] for id in ids_of(s)) == same.text
        assert [(a is None or a == b) for a, b in zip(ids, ids_of(s), strict=True)] == [True] * len(ids)
        assert (s.ids.tolist(), s.logprobs.tolist()) == (same.ids.tolist(), same.logprobs.tolist())
        assert s.places.tolist() == [position for position, id in enumerate(ids) if id is None]
        assert s.finish == "length"
        assert s.to_dict()["text"] == s.text
        assert str(lm.explain(s))


def test_displays_of_an_infilled_text():
    lm = TABLE
    s = lm.infill("____AB____", [1, 1], order=(1, 0))
    assert repr(s) == f"Generated(log Pr given its context = {s.logprob:.6f} nats, 2 tokens, {s.text!r})"
    lines = str(lm.explain(s)).splitlines()
    assert lines[0] == "conditional: the tokens at the other positions are given"
    assert [line.split("  ")[0] for line in lines[4:6]] == ["Pr(x_3 | s, e_1, e_2)", "Pr(x_0 | s, e_1, e_2, e_3)"]
    assert lines[-2].startswith(f"Pr(x) given the other positions = exp({s.logprob:.6f})")
    spans = marked(s)
    assert "".join(span.text for span in spans) == s.text
    assert [span.text for span in spans if span.style == "dim" and span.text] == ["AB"]
    assert str(lm.explain(lm.generate("A", max_tokens=2, order=(1, 0)))).count("given its context") == 2
    given = two_stream().lm.infill([1, None, None], order=(1, 0))
    assert str(two_stream().lm.explain(given)).count("given the first token in the order") == 2


def test_lengths_may_be_a_number():
    assert TABLE.infill("A____B", 2).text == TABLE.infill("A____B", [2]).text


def test_spaces_around_a_blank_are_kept():
    for s in random_table(3, "A ").infill(" ____ A", method="sample", n=5, seed=1):
        assert (len(s.text), s.text[0], s.text[2:]) == (4, " ", " A")


def test_the_text_is_the_whole_text_even_with_incomplete_characters():
    """A random model generates bytes that are not characters. The given text around them is kept."""
    tokenizer = byte_level()
    own = untouched_any_order("llama", 24, vocab_size=tokenizer.size, bos_token_id=tokenizer.bos_id)
    lm, incomplete = LanguageModel(AnyOrderModel(copy.deepcopy(own), "letters"), tokenizer), 0
    for s in lm.infill("The____ sat ____", [2, 3], order="random", method="sample", n=12, seed=1):
        raw = b"".join(map(tokenizer.token_bytes, ids_of(s)))
        assert s.text == raw.decode("utf-8", "replace")
        assert s.text.startswith("The")
        assert " sat " in s.text
        assert len(s) == 5
        incomplete += s.request.text is None
    assert incomplete
