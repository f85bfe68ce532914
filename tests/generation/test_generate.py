"""Growing: drawn as often as the table says, searches against the exhaustive one, what ends a text, and bad input."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import tiny as tiny_model
from oracle import log_softmax

from chainrule import InputError, LanguageModel, TableModel
from chainrule.generation.transform import Transform

FLOAT32 = 2e-5  # nats, as in test_engine


def table(seed: int, end: bool = False, size: int = 3, length: int = 4, scale: float = 1.5) -> LanguageModel:
    """A random table over every context shorter than `length`; its last token is the end symbol, if there is one."""
    draw, names = np.random.default_rng(seed), "ABCD"[:size]
    contexts = ["".join(c) for n in range(length) for c in product(names, repeat=n)]
    rows = {context: draw.normal(0, scale, size) for context in contexts}
    return LanguageModel(TableModel(list(names), rows, end=names[-1] if end else None))


def exhaustive(lm: LanguageModel, length: int, given: str = "") -> dict[str, float]:
    """Every complete continuation of at most `length` tokens, and its log probability, multiplied out of the table."""
    end, names, rows = lm.model.eos_id, lm.model.vocabulary, lm.model.rows
    found, open_ = {}, {given: 0.0}
    while open_:
        longer = {}
        for text, logprob in open_.items():
            for v, p in enumerate(log_softmax(rows[tuple(names.index(c) for c in text)])):
                whole = text + names[v]
                done = v == end or len(whole) - len(given) == length
                (found if done else longer)[whole] = logprob + p
        open_ = longer
    return {text[len(given) :]: logprob for text, logprob in found.items()}


def whole(s) -> str:
    return "".join("ABCD"[i] for i in s.ids)


# -- the two decoding cases of the course


def test_debugging_a_calculation(abc):
    """Raw logits add up to 10 for AA and 16 for BB; their probabilities say otherwise."""
    assert abc.score("AA").logprob == pytest.approx(-1.411907, abs=1e-6)
    assert abc.score("BB").logprob == pytest.approx(-2.626802, abs=1e-6)
    assert abc.generate(method="best", max_tokens=2).text == abc.generate(max_tokens=2).text == "AA"


def test_greedy_is_not_best():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [10, 0], "B": [1, 1]}))
    ways = lm.generate(method="best", max_tokens=2, n=4)
    assert [w.text for w in ways] == ["AA", "BA", "BB", "AB"]
    assert ways[0].logprob == pytest.approx(-0.693193, abs=1e-6)
    assert ways[1].logprob == pytest.approx(-1.386294, abs=1e-6)
    assert ways[0].certificate.certain
    misled = LanguageModel(TableModel(["A", "B"], {"": [0.1, 0], "A": [1, 1], "B": [10, 0]}))
    assert misled.generate(max_tokens=2).text == "AA"
    beam = misled.generate(method="beam", num_beams=2, max_tokens=2)
    assert misled.generate(method="best", max_tokens=2).text == beam.text == "BA"


# -- searches


@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 4), st.integers(1, 12))
def test_beam_and_best_agree_with_exhaustive_search(seed, end, length, wanted):
    lm = table(seed, end)
    every = sorted(exhaustive(lm, length).items(), key=lambda item: -item[1])[:wanted]
    for options in ({"method": "best"}, {"method": "best", "num_beams": 1}, {"method": "beam", "num_beams": 3**length}):
        found = lm.generate(max_tokens=length, n=wanted, **options)
        assert [whole(s) for s in found] == [text for text, _ in every]
        np.testing.assert_allclose([s.logprob for s in found], [p for _, p in every], rtol=0, atol=1e-12)
        assert all(s.certificate.certain for s in found if s.certificate)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mamba"])
def test_best_of_a_network_is_the_best_of_all(name):
    lm = tiny_model(name).lm
    every = lm.score_batch(list(product(range(61), repeat=2)), context=[3, 5])
    best = lm.generate([3, 5], method="best", max_tokens=2, end=False, n=5)
    order = np.argsort(-every.logprob)[:5]
    np.testing.assert_allclose([s.logprob for s in best], every.logprob[order], rtol=0, atol=2 * FLOAT32)  # sums of two factors
    assert best[0].ids.tolist() == every[int(order[0])].ids.tolist()
    assert best[0].certificate.certain


def test_a_spent_budget_leaves_a_bound():
    lm = table(3, length=8, scale=0.1)
    every = exhaustive(lm, 8)
    found = lm.generate(method="best", max_tokens=8, num_beams=1, budget=40)
    shown = found.certificate
    assert (shown.certain, shown.contexts) == (False, 40)
    assert found.logprob <= max(every.values()) <= shown.bound
    assert "not proven" in found.describe()
    whole_ = lm.generate(method="best", max_tokens=8, num_beams=1, budget=10_000)
    assert whole_.certificate.certain
    assert whole_.logprob == pytest.approx(max(every.values()), abs=1e-12)
    assert "none is more probable" in whole_.describe()


def test_a_search_leaves_out_what_cannot_be():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0.5, 0.5], "A": [1, 0], "B": [0, 1]}, probabilities=True))
    for method in ("best", "beam"):
        found = lm.generate(method=method, max_tokens=2, n=4)
        assert sorted(s.text for s in found) == ["AA", "BB"]


# -- samples


def chi_square(seen: Counter, expected: dict[str, float], draws: int) -> float:
    assert set(seen) <= {key for key, p in expected.items() if p > 0}
    return sum((seen[key] - draws * p) ** 2 / (draws * p) for key, p in expected.items() if p > 0)


@pytest.mark.parametrize("end", [False, True])
def test_samples_come_as_often_as_the_table_says(end):
    lm, draws = table(5, end), 20_000
    expected = {text: math.exp(p) for text, p in exhaustive(lm, 3).items()}
    seen = Counter(whole(s) for s in lm.generate(method="sample", max_tokens=3, n=draws, seed=1))
    degrees = len(expected) - 1
    assert chi_square(seen, expected, draws) < degrees + 3.3 * math.sqrt(2 * degrees)  # one in a thousand lies beyond


def test_altered_samples_come_as_often_as_the_altered_table_says():
    lm, draws = table(6), 10_000
    options = {"temperature": 0.7, "top_k": 2}
    rows = {c: log_softmax(row / 0.7) for c, row in lm.model.rows.items()}

    def kept(row):
        cut = np.where(row >= np.sort(row)[-2], row, -np.inf)
        return log_softmax(cut)

    expected = {}
    for text in map("".join, product("ABC", repeat=2)):
        a, b = ("ABC".index(c) for c in text)
        expected[text] = math.exp(kept(rows[()])[a] + kept(rows[(a,)])[b])
    found = lm.generate(method="sample", max_tokens=2, n=draws, seed=2, **options)
    assert chi_square(Counter(s.text for s in found), expected, draws) < 3 + 3.3 * math.sqrt(6)
    for s in found[:50]:
        assert s.sampling_logprob == pytest.approx(math.log(expected[s.text]), abs=1e-12)
        assert s.logprob == pytest.approx(lm.score(s.text).logprob, abs=0)
        assert s.sampling == "temperature 0.7, top_k 2"


def test_a_sample_does_not_depend_on_how_many_there_are(monkeypatch):
    lm = table(7)
    many = lm.generate(method="sample", max_tokens=4, n=40, seed=9)
    assert [s.text for s in lm.generate(method="sample", max_tokens=4, n=5, seed=9)] == [s.text for s in many[:5]]
    monkeypatch.setattr("chainrule.generation.sampling.GROUP", 7)
    assert [s.text for s in lm.generate(method="sample", max_tokens=4, n=40, seed=9)] == [s.text for s in many]
    assert len({s.text for s in many}) > 5
    unseeded = lm.generate(method="sample", max_tokens=4)
    assert lm.generate(method="sample", max_tokens=4, seed=unseeded.seed).text == unseeded.text


def test_samples_that_are_alike_share_rows(monkeypatch):
    lm, seen = table(8), []
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: seen.append(len(x)) or hidden(x, **o))
    grown = lm.generate(method="sample", max_tokens=3, n=500, seed=1)
    assert len(grown) == 500
    assert max(seen[:-1]) <= 9  # contexts of two tokens; the last call scores what was grown


# -- altered distributions, against what their definitions say


def by_definition(p: np.ndarray, t: float, k: int | None, top_p: float | None, min_p: float | None) -> np.ndarray:
    q = p ** (1 / t) / (p ** (1 / t)).sum()
    order = np.argsort(-q, kind="stable")
    keep = np.zeros(len(p), bool)
    keep[order[: k or len(p)]] = True
    q = np.where(keep, q, 0) / q[keep].sum()
    if top_p is not None:
        count = 1 + int((np.cumsum(q[order]) < top_p - 1e-12).sum())
        keep[order[count:]] = False
        q = np.where(keep, q, 0) / q[keep].sum()
    if min_p is not None:
        keep &= q >= min_p * q.max() * (1 - 1e-12)
    return np.where(keep, q, 0) / q[keep].sum()


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.3, 1.0, 2.5]),
    st.sampled_from([None, 1, 5, 40, 5000]),
    st.sampled_from([None, 0.1, 0.9, 0.999, 1.0]),
    st.sampled_from([None, 0.01, 0.5, 1.0]),
)
def test_altered_distributions(seed, t, k, top_p, min_p):
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.full(3000, draw.choice([0.02, 1.0]))) + 1e-30
    p /= p.sum()
    ids, logq = Transform(t, k, top_p, min_p)(torch.from_numpy(np.log(p)))
    found = np.zeros(len(p))
    found[slice(None) if ids is None else ids.numpy()] = logq.exp().numpy()
    np.testing.assert_allclose(found, by_definition(p, t, k, top_p, min_p), rtol=0, atol=1e-9)


def test_what_changes_nothing_is_not_called_altered(abc):
    assert not Transform(1.0, None, 1.0, None).changes
    drawn = abc.generate(method="sample", seed=1, max_tokens=2, temperature=1.0, top_p=1.0)
    assert (drawn.sampling, drawn.sampling_logprob) == ("", None)
    assert abc.generate(method="sample", seed=1, max_tokens=2, temperature=0.5).sampling_logprob is not None


# -- results


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mamba", "bert_decoder"])
def test_every_result_is_the_score_of_its_tokens(name):
    lm = tiny_model(name).lm
    context = [3, 17, 40]
    ways = [{"method": "greedy"}, {"method": "sample", "n": 6, "seed": 3}, {"method": "beam", "n": 3}]
    for options in ways:
        found = lm.generate(context, max_tokens=9, top=2, **options)
        for s in found if isinstance(found, list) else [found]:
            again = lm.score(s.ids, context=context, top=2)
            assert s.kind == "conditional"
            np.testing.assert_allclose(s.logprobs, again.logprobs, rtol=0, atol=0 if lm.invariant else FLOAT32)
            np.testing.assert_allclose(s.running_logprobs, s.logprobs, rtol=0, atol=FLOAT32)
            assert s.contexts.tolist() == again.contexts.tolist()
            assert (s.ids[-1] == 1) == (s.finish == "end") == (s.end == 1)
            assert len(s) <= 9
            assert s.finish == "end" or (s.finish, len(s)) == ("length", 9)


def test_a_finished_text_scores_as_with_its_end(tiny):
    drawn = tiny.generate("It is", method="sample", n=60, seed=4, max_tokens=30)
    found = [s for s in drawn if s.finish == "end" and len(s) > 1]
    assert found
    for s in found:
        assert s.ids[-1] == tiny.tokenizer.eos_id
        again = tiny.score(s.ids[:-1], context=tiny.tokenizer.encode("It is"), end=True)
        assert (again.logprobs.tolist(), again.end) == (s.logprobs.tolist(), s.end)
    free = tiny.generate("It is", method="sample", n=60, seed=4, max_tokens=30, end=False)
    assert {s.finish for s in free} == {"length"}
    other = tiny.generate("It is", method="sample", n=60, seed=4, max_tokens=30, end=7)
    assert {s.ids[-1] for s in other if s.finish == "end"} == {7}


def test_the_text_of_what_was_grown(tiny):
    for s in tiny.generate("It is", method="sample", n=40, seed=5, max_tokens=12):
        body = [i for i in s.ids.tolist() if i != tiny.tokenizer.eos_id]
        raw = b"".join(map(tiny.tokenizer.token_bytes, body))
        assert s.text == raw.decode("utf-8", "replace")
        assert s.bytes == len(raw)
        assert s.context == "It is"
        if s.canonical:
            assert tiny.score(s.text, context="It is").ids.tolist() == body
        elif s.canonical is not None:
            assert tiny.tokenizer.encode("It is" + s.text).tolist() != [*tiny.tokenizer.encode("It is"), *body]
        assert s.to_dict()["text"] == s.text


def test_texts_to_stop_at():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0]}, back_off=True))
    for s in lm.generate(max_tokens=12, stop=["ABA", "BBB"], method="sample", n=200, seed=1):
        at = min((i + 3 for i in range(len(s.text) - 2) if s.text[i : i + 3] in ("ABA", "BBB")), default=12)
        assert len(s.text) == at
        assert s.finish == ("stop" if s.text[-3:] in ("ABA", "BBB") else "length")
    assert lm.generate("AB", max_tokens=3, stop="ABA").text == "AAA"  # what was given does not count


def test_a_stop_within_a_longer_token():
    lm = LanguageModel(TableModel(["one ", "x, y", "z"], {"": [0, 9, 0]}, back_off=True))
    assert lm.generate(stop=", ", max_tokens=5).text == "x, y"
    assert lm.generate(stop="yx", max_tokens=5).text == "x, yx, y"
    assert lm.generate(stop="yz", max_tokens=5).finish == "length"


def test_watching(tiny):
    steps = []
    s = tiny.generate("It is", max_tokens=6, top=3, on_token=steps.append, end=False)
    assert [step.id for step in steps] == s.ids.tolist()
    assert [step.context for step in steps] == s.contexts.tolist()
    np.testing.assert_allclose(
        [step.running_logprob for step in steps], np.cumsum(s.logprobs), rtol=0, atol=FLOAT32 * len(steps)
    )
    for i, step in enumerate(steps):
        assert [a.token for a in step.alternatives] == [token for token, _ in s.top(i)]
        assert step.token == step.alternatives[0].token
        assert step.probability == pytest.approx(math.exp(s.logprobs[i]), abs=FLOAT32)
        assert repr(step.token) in str(step)
    sampled = []
    tiny.generate("It is", max_tokens=4, method="sample", n=3, seed=1, on_token=sampled.append, end=False)
    assert [(step.step, step.sample) for step in sampled] == [(t, i) for t in range(4) for i in range(3)]
    for method in ("beam", "best"):
        tiny.generate("It is", max_tokens=3, method=method, on_token=(told := []).append)
        assert told
    assert {step.sample for step in told} == {0}


def test_the_length_that_there_is_room_for(tiny):
    context = tiny.tokenizer.encode("It is raining. " * 20)[:60]
    assert len(tiny.generate(context, end=False)) == 4  # the 64th embedding is the last that is fed
    assert len(tiny.generate(context, end=False, max_tokens=4)) == 4
    with pytest.raises(InputError, match="after this context there is room for 4"):
        tiny.generate(context, max_tokens=5)
    with pytest.raises(InputError, match="no room for another token"):
        tiny.generate(np.append(context, context[:4]))


BAD = [
    ({"method": "nucleus"}, "choose 'greedy', 'sample', 'beam', 'best'"),
    ({"temperature": 0.5}, "temperature=0.5 is for method='sample'"),
    ({"method": "sample", "temperature": 0}, "for the most probable token, method='greedy'"),
    ({"method": "sample", "temperature": math.nan}, "temperature must be a number above 0"),
    ({"method": "sample", "top_p": 1.5}, "top_p must be a number above 0 and at most 1, not 1.5"),
    ({"method": "sample", "min_p": 0}, "min_p must be"),
    ({"method": "sample", "top_k": 0}, "top_k must be a whole number, 1 or more"),
    ({"method": "sample", "num_beams": 3}, "num_beams=3 is for method='beam' or 'best'"),
    ({"method": "beam", "seed": 3}, "seed=3 is for method='sample'"),
    ({"max_tokens": 0}, "max_tokens must be a whole number, 1 or more, not 0"),
    ({"max_tokens": 2.5}, "max_tokens must be"),
    ({"n": 2}, "method='greedy' gives one text, not 2"),
    ({"n": True, "method": "sample"}, "n must be"),
    ({"stop": ["a", ""]}, "stop must be one or more texts, none empty"),
    ({"stop": [3]}, "stop must be one or more texts"),
    ({"end": 99999}, "out of range"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options(tiny, options, message):
    with pytest.raises(InputError, match=message):
        tiny.generate("It is", **options)


def test_bad_contexts(tiny):
    with pytest.raises(InputError, match="pairs of texts"):
        table(1).generate(("A", "B"))
    with pytest.raises(InputError, match="a context of at least one token"):
        tiny.generate(start="given")
    with pytest.raises(InputError, match="cannot stop at texts"):
        tiny_model("llama").lm.generate([1], stop="a")
    with pytest.raises(InputError, match="no EOS symbol"):
        table(1).generate(end=True)
    with pytest.raises(TypeError, match="unexpected"):
        tiny.generate("It is", warmth=3)
    assert len(tiny.generate("It is", start="given", max_tokens=2, end=False)) == 2
    assert tiny.generate(max_tokens=2, end=False).kind == "joint"
