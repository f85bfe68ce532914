"""Many samples need no second pass, few score behind what has run: both with the bits of scoring. And choice among a set."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from model_zoo import FOREST, V, tiny, wrap

from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.predictors.causal import CausalPredictor
from chainrule.generation import generate
from chainrule.ops.native import build
from chainrule.ops.native.arguments import WIDE

FLOAT32, FLOAT64 = 2e-5, 1e-10  # nats, as in test_engine
NAMES = ["llama", "gemma2", "qwen3", "gpt2", "mistral"]
FEW = [{"method": "greedy"}, {"method": "sample", "n": 3, "seed": 5}, {"method": "beam", "n": 4},
       {"method": "best", "max_tokens": 2, "budget": 40}]  # fmt: skip
COLUMNS = ("logprobs", "ranks", "entropies", "contexts", "top_ids", "top_logprobs")


@pytest.fixture
def seen(monkeypatch):
    """The decoding trees, and how often continuations are scored once more."""

    class Seen:
        def __init__(self) -> None:
            self.trees, self.passes, self.begun = [], 0, None

        def score(self, *args, **options):
            self.passes += 1
            self.begun = options["begun"]
            return scored(*args, **options)

        def tree(self, *args, **options):
            self.trees = [*self.trees, tree_of(*args, **options)]
            return self.trees[-1]

    found, scored, tree_of = Seen(), generate.score_requests, CausalPredictor.tree
    monkeypatch.setattr(generate, "score_requests", found.score)
    monkeypatch.setattr(CausalPredictor, "tree", lambda *args, **options: found.tree(*args, **options))
    return found


def prompt(length: int) -> list[int]:
    return np.random.default_rng(length).integers(2, V, length).tolist()


def check_bits(lm, made, context, top=0) -> None:
    """Of each sample: all that `score` gives, alone, bit for bit and of the same type."""
    for s in made:
        again = lm.score(s.ids, context=context, top=top)
        for column in COLUMNS:
            found, wanted = getattr(s, column), getattr(again, column)
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), column
            assert np.array_equal(found, wanted), column
        assert s.logprob == again.logprob
        assert (s.kind, s.invariant.reason, s.windows) == (again.kind, again.invariant.reason, again.windows)


def promised(lm) -> None:
    """The promise is kept on every machine that the tests run on; where one cannot keep it, its reason is shown."""
    assert lm.invariant, lm.invariant.reason


def compiled() -> bool:
    """Whether the kernel that scoring attends with attends while texts grow, too."""
    return build.status().lanes >= WIDE


@pytest.mark.parametrize(
    ("samples", "length", "top"), [(8, 1, 0), (8, 7, 3), (21, 7, 0), (40, 1, 2), (40, 100, 0), (9, 100, 4)]
)
@pytest.mark.parametrize("name", NAMES)
def test_many_samples_have_the_bits_of_scoring(name, samples, length, top, kernels, seen):
    """With the compiled kernels they have them as they grow; without, a pass gives them."""
    lm, context = wrap(tiny(name).own, name), prompt(length)
    made = lm.generate(context, method="sample", n=samples, seed=samples, max_tokens=14, top=top)
    promised(lm)
    exact = compiled()
    assert len({tuple(s.ids.tolist()) for s in made}) > 4
    assert (seen.trees[0].exact, seen.passes) == (exact, 0 if exact else 1)
    check_bits(lm, made, context, top)
    for s in made:
        np.testing.assert_allclose(s.running_logprobs, s.logprobs, rtol=0, atol=0 if exact else FLOAT32)


@pytest.mark.parametrize("name", FOREST)
def test_every_forest_model(name, seen):
    lm, context = tiny(name).lm, prompt(5)
    made = lm.generate(context, method="sample", n=12, seed=3, max_tokens=20, top=2)
    assert bool(lm.invariant) == (name != "gpt_oss"), lm.invariant.reason
    exact = compiled() and name != "gpt_oss"
    assert (seen.trees[0].exact, seen.passes) == (exact, 0 if exact else 1)
    if name != "gpt_oss":  # a mixture of experts promises no bits: see below
        check_bits(lm, made, context, 2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_narrow_types(dtype):
    lm, context = tiny("llama", dtype).lm, prompt(9)
    promised(lm)
    check_bits(lm, lm.generate(context, method="sample", n=10, seed=3, max_tokens=9, top=2), context, 2)


def test_in_float64():
    """Some machines' kernels promise no bits of float64, but its digits."""
    lm, context = tiny("llama", "float64").lm, prompt(9)
    for s in lm.generate(context, method="sample", n=10, seed=3, max_tokens=9, top=2):
        again = lm.score(s.ids, context=context)
        for found in (s.logprobs, s.running_logprobs):
            np.testing.assert_allclose(found, again.logprobs, rtol=0, atol=FLOAT64)


@pytest.mark.parametrize("options", FEW, ids=lambda options: options["method"])
@pytest.mark.parametrize("length", [1, 16, 100])
@pytest.mark.parametrize("name", NAMES)
def test_few_are_scored_behind_what_has_run(name, length, options, kernels, seen):
    lm, context = wrap(tiny(name).own, name), prompt(length)
    made = lm.generate(context, top=2, **{"max_tokens": 14} | options)
    assert not seen.trees[0].exact
    assert (seen.passes, seen.begun.rows) == (1, length)  # start symbol and context, but for the last row
    promised(lm)
    check_bits(lm, made if isinstance(made, list) else [made], context, 2)


def test_what_is_given_runs_once(monkeypatch, kernels):
    lm, rows = wrap(tiny("llama").own, "llama"), []
    promised(lm)  # tried now, and not among the rows that are counted
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: rows.append(x.shape[1]) or hidden(x, **o))
    lm.generate(prompt(100), max_tokens=5, end=False)
    assert rows == [101, 1, 1, 1, 1, 5]  # and the last of what is given once more, with the four tokens that others follow
    rows.clear()
    made = lm.generate(prompt(100), max_tokens=5, end=False, method="sample", n=30, seed=1)
    distinct = [len({tuple(s.ids[: 1 + t].tolist()) for s in made}) for t in range(4)]
    assert rows[:5] == [101, *distinct]
    assert len(rows) == (5 if compiled() else 6)


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("length", [1, 16])
def test_a_single_token(samples, length, kernels):
    """Nothing grows behind it: it is read where the given ends."""
    lm, context = wrap(tiny("llama").own, "llama"), prompt(length)
    made = lm.generate(context, method="sample", n=samples, seed=1, max_tokens=1, top=2)
    assert lm.invariant
    check_bits(lm, made, context, 2)


def test_altered_draws_keep_the_bits_of_the_model():
    lm, context = tiny("qwen3").lm, prompt(6)
    made = lm.generate(context, method="sample", n=16, seed=2, max_tokens=10, temperature=0.6, top_p=0.9)
    check_bits(lm, made, context)
    assert all(s.sampling_logprob > s.logprob for s in made)


def test_samples_in_groups(monkeypatch):
    lm, context = tiny("gpt2").lm, prompt(6)
    options = {"method": "sample", "n": 20, "seed": 2, "max_tokens": 10}
    at_once = lm.generate(context, **options)
    monkeypatch.setattr("chainrule.generation.sampling.GROUP", 9)
    made = lm.generate(context, **options)
    check_bits(lm, made, context)
    assert [s.logprobs.tolist() for s in made] == [s.logprobs.tolist() for s in at_once]


def test_without_a_context(kernels):
    lm = wrap(tiny("gemma2").own, "gemma2")
    made = lm.generate(method="sample", n=12, seed=2, max_tokens=10, top=1)
    assert {s.kind for s in made} == {"joint"}
    check_bits(lm, made, None, 1)


# -- among a closed set


def table() -> LanguageModel:
    draw = np.random.default_rng(8)
    contexts = ["".join(c) for n in range(4) for c in product("ABC", repeat=n)]
    return LanguageModel(TableModel(list("ABC"), {c: draw.normal(0, 1, 3) for c in contexts}))


SET = ["A", "BC", "CA", "AB", "CCB"]


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_samples_among_a_set_come_as_often_as_its_probabilities_say(temperature):
    lm, draws = table(), 4000
    logprob = np.array([lm.score(text, context="B").logprob for text in SET]) / (temperature or 1)
    share = dict(zip(SET, np.exp(logprob - np.logaddexp.reduce(logprob)), strict=True))
    made = lm.generate("B", among=SET, method="sample", n=draws, seed=1, temperature=temperature)
    seen = Counter(s.text for s in made)
    assert set(seen) <= set(SET)
    assert sum((seen[text] - draws * p) ** 2 / (draws * p) for text, p in share.items()) < 4 + 3.3 * math.sqrt(8)
    for s in made[:50]:
        assert s.sampling_logprob == pytest.approx(math.log(share[s.text]), abs=1e-12)
        assert s.logprob == lm.score(s.text, context="B").logprob
        assert (s.finish, s.sampling.startswith("normalised within the set of 5 texts")) == ("among", True)
    assert [s.text for s in lm.generate("B", among=SET, method="sample", n=7, seed=1, temperature=temperature)] == [
        s.text for s in made[:7]
    ]


def test_top_k_among_a_set():
    lm = table()
    ranked = [r.text for r in lm.rank("B", SET)]
    made = lm.generate("B", among=SET, method="sample", n=300, seed=1, top_k=2)
    assert {s.text for s in made} == set(ranked[:2])


@pytest.mark.parametrize("method", ["greedy", "beam", "best"])
def test_the_most_probable_of_a_set(method):
    lm = table()
    ranked = lm.rank("B", SET)
    assert lm.generate("B", among=SET, method=method).text == ranked[0].text
    if method != "greedy":
        assert [s.text for s in lm.generate("B", among=SET, method=method, n=5)] == [r.text for r in ranked]
        with pytest.raises(InputError, match="6 different texts were asked for, and there are 5"):
            lm.generate("B", among=SET, method=method, n=6)


def test_within_set_sums_to_one_and_what_is_there_twice_counts_once():
    lm = table()
    once, twice = lm.rank("B", SET), lm.rank("B", [*SET, "CA", [2, 0]])
    assert sum(math.exp(r.within_set) for r in once) == pytest.approx(1, abs=1e-12)
    assert np.ptp([r.logprob - r.within_set for r in once]) < 1e-12
    share = {r.text: r.within_set for r in once}
    assert len(twice) == 7
    assert [r.within_set for r in twice] == pytest.approx([share[r.text if isinstance(r.text, str) else "CA"] for r in twice])
    drawn = lm.generate("B", among=[*SET, "CA", "CA"], method="sample", n=200, seed=4)
    again = lm.generate("B", among=SET, method="sample", n=200, seed=4)
    assert [(s.text, s.sampling_logprob) for s in drawn] == [(s.text, s.sampling_logprob) for s in again]
    assert "set of 5 texts" in drawn[0].describe()


def test_among_texts_of_a_network_in_an_order_and_with_an_end(tiny):
    texts = [" fox", " dog", " lazy cat"]
    s = tiny.generate("The quick", among=texts, end=True)
    best = tiny.rank("The quick", texts, end=True)[0]
    assert (s.text, s.end) == (best.text, tiny.tokenizer.eos_id)
    assert s.logprobs.tolist() == tiny.score(s.text, context="The quick", end=True).logprobs.tolist()
    assert s.sampling_logprob == best.within_set
    lm = table()
    assert lm.generate("B", among=SET[1:3], order=(1, 0)).ordering.order.tolist() == [2, 1]


def test_sets_that_cannot_be():
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 0], "A": [0, 1], "B": [0.5, 0.5]}, probabilities=True))
    for method in ("greedy", "sample"):
        with pytest.raises(InputError, match="none of the texts to choose among is possible"):
            lm.generate(among=["B", "AA"], method=method)
        with pytest.raises(InputError, match="there is no text to choose among"):
            lm.generate(among=[], method=method)
    assert [r.within_set for r in lm.rank(None, ["B", "AA"])] == [-math.inf] * 2
    assert {s.text for s in lm.generate(among=["B", "AB"], method="sample", n=50, seed=1)} == {"AB"}
    with pytest.raises(InputError, match="list of candidates"):
        lm.generate(among="AB")
    for name, value in {"max_tokens": 3, "stop": "A"}.items():
        with pytest.raises(InputError, match=f"{name}= has no use among a closed set"):
            lm.generate(among=["A"], **{name: value})
    with pytest.raises(InputError, match="num_beams= has no use"):
        lm.generate(among=["A"], method="beam", num_beams=2)


# What has run in pieces, and what nobody promises


def test_a_context_longer_than_a_chunk(monkeypatch):
    """The context runs in chunks of 16 rows; many samples, and few."""
    monkeypatch.setattr("chainrule.engine.decoding.tree.usual_rows", lambda *_: 16)
    lm, context = tiny("llama").lm, prompt(77)
    for samples in (1, 30):
        check_bits(lm, lm.generate(context, method="sample", n=samples, seed=3, max_tokens=5), context)


def test_a_mixture_of_experts_is_scored_once_more():
    lm = tiny("gpt_oss").lm
    assert not lm.invariant
    made = lm.generate([3, 4], method="sample", n=12, seed=1, max_tokens=5)
    assert len(made) == 12
    for s in made:
        np.testing.assert_allclose(s.logprobs, lm.score(s.ids, context=[3, 4]).logprobs, rtol=0, atol=FLOAT32)
