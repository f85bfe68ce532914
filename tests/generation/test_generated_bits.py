"""Generated texts have the bits of `score`: many samples without a second pass, few by one pass after the prefix."""

from __future__ import annotations

import numpy as np
import pytest
from model_zoo import FOREST, V, tiny, wrap

from chainrule.engine.predictors.causal import CausalPredictor
from chainrule.generation import generate
from chainrule.ops.library import build

FLOAT32, FLOAT64 = 2e-5, 1e-10  # nats, as in test_engine
NAMES = ["llama", "gemma2", "qwen3", "gpt2", "mistral"]
FEW = [{"method": "greedy"}, {"method": "sample", "n": 3, "seed": 5}, {"method": "beam", "n": 4},
       {"method": "best", "max_tokens": 2, "budget": 40}]  # fmt: skip
COLUMNS = ("logprobs", "ranks", "entropies", "logprob_variances", "contexts", "top_ids", "top_logprobs")


@pytest.fixture
def calls(monkeypatch):
    """The decoding trees, and the number of passes that score continuations again."""

    class Calls:
        def __init__(self) -> None:
            self.trees, self.passes, self.cached_prefix = [], 0, None

        def score(self, *args, **options):
            self.passes += 1
            self.cached_prefix = options["cached_prefix"]
            return score_requests(*args, **options)

        def tree(self, *args, **options):
            self.trees = [*self.trees, tree_of(*args, **options)]
            return self.trees[-1]

    recorded, score_requests, tree_of = Calls(), generate.score_requests, CausalPredictor.tree
    monkeypatch.setattr(generate, "score_requests", recorded.score)
    monkeypatch.setattr(CausalPredictor, "tree", lambda *args, **options: recorded.tree(*args, **options))
    return recorded


def prompt(length: int) -> list[int]:
    return np.random.default_rng(length).integers(2, V, length).tolist()


def check_bits(lm, texts, context, top=0) -> None:
    """Every array of each text has the type and the bits that `score` gives it alone."""
    for s in texts:
        again = lm.score(s.ids, context=context, top=top)
        for column in COLUMNS:
            values, expected = getattr(s, column), getattr(again, column)
            assert (values.dtype, values.shape) == (expected.dtype, expected.shape), column
            assert np.array_equal(values, expected), column
        assert s.logprob == again.logprob
        assert (s.kind, s.invariant.reason, s.windows) == (again.kind, again.invariant.reason, again.windows)


def check_invariant(lm) -> None:
    """The model is invariant on every machine that runs the tests; otherwise the reason is shown."""
    assert lm.invariant, lm.invariant.reason


def compiled() -> bool:
    """Whether generation uses the attention kernel of scoring."""
    return bool(build.status())


@pytest.mark.parametrize(
    ("samples", "length", "top"), [(8, 1, 0), (8, 7, 3), (21, 7, 0), (40, 1, 2), (40, 100, 0), (9, 100, 4)]
)
@pytest.mark.parametrize("name", NAMES)
def test_many_samples_have_the_bits_of_scoring(name, samples, length, top, kernels, calls):
    """With the compiled kernels generation computes these bits; without them one more pass does."""
    lm, context = wrap(tiny(name).own, name), prompt(length)
    texts = lm.generate(context, method="sample", n=samples, seed=samples, max_tokens=14, top=top)
    check_invariant(lm)
    exact = compiled()
    assert len({tuple(s.ids.tolist()) for s in texts}) > 4
    assert (calls.trees[0].exact, calls.passes) == (exact, 0 if exact else 1)
    check_bits(lm, texts, context, top)
    for s in texts:
        np.testing.assert_allclose(s.running_logprobs, s.logprobs, rtol=0, atol=0 if exact else FLOAT32)


@pytest.mark.parametrize("name", FOREST)
def test_every_forest_model(name, calls):
    lm, context = tiny(name).lm, prompt(5)
    texts = lm.generate(context, method="sample", n=12, seed=3, max_tokens=20, top=2)
    assert bool(lm.invariant) == (name != "gpt_oss"), lm.invariant.reason
    exact = compiled() and name != "gpt_oss"
    assert (calls.trees[0].exact, calls.passes) == (exact, 0 if exact else 1)
    if name != "gpt_oss":  # a mixture of experts is not invariant: see below
        check_bits(lm, texts, context, 2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_narrow_types(dtype):
    lm, context = tiny("llama", dtype).lm, prompt(9)
    check_invariant(lm)
    check_bits(lm, lm.generate(context, method="sample", n=10, seed=3, max_tokens=9, top=2), context, 2)


def test_in_float64():
    """On some machines kernels are not invariant in float64, but the digits agree."""
    lm, context = tiny("llama", "float64").lm, prompt(9)
    for s in lm.generate(context, method="sample", n=10, seed=3, max_tokens=9, top=2):
        again = lm.score(s.ids, context=context)
        for logprobs in (s.logprobs, s.running_logprobs):
            np.testing.assert_allclose(logprobs, again.logprobs, rtol=0, atol=FLOAT64)


@pytest.mark.parametrize("options", FEW, ids=lambda options: options["method"])
@pytest.mark.parametrize("length", [1, 16, 100])
@pytest.mark.parametrize("name", NAMES)
def test_few_texts_are_scored_after_the_cached_prefix(name, length, options, kernels, calls):
    lm, context = wrap(tiny(name).own, name), prompt(length)
    texts = lm.generate(context, top=2, **{"max_tokens": 14} | options)
    assert not calls.trees[0].exact
    assert (calls.passes, calls.cached_prefix.rows) == (1, length)  # start symbol and context, except the last row
    check_invariant(lm)
    check_bits(lm, texts if isinstance(texts, list) else [texts], context, 2)


def test_the_context_runs_once(monkeypatch, kernels):
    lm, rows = wrap(tiny("llama").own, "llama"), []
    check_invariant(lm)  # the self-check runs now, so its rows are not counted
    hidden = lm.model.hidden
    monkeypatch.setattr(lm.model, "hidden", lambda x, **o: rows.append(x.shape[1]) or hidden(x, **o))
    lm.generate(prompt(100), max_tokens=5, end=False)
    assert rows == [101, 1, 1, 1, 1, 5]  # last: the end of the context again, with the first four tokens
    rows.clear()
    texts = lm.generate(prompt(100), max_tokens=5, end=False, method="sample", n=30, seed=1)
    distinct = [len({tuple(s.ids[: 1 + t].tolist()) for s in texts}) for t in range(4)]
    assert rows[:5] == [101, *distinct]
    assert len(rows) == (5 if compiled() else 6)


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("length", [1, 16])
def test_a_single_token(samples, length, kernels):
    """No row follows it: its distribution is read at the end of the context."""
    lm, context = wrap(tiny("llama").own, "llama"), prompt(length)
    texts = lm.generate(context, method="sample", n=samples, seed=1, max_tokens=1, top=2)
    assert lm.invariant
    check_bits(lm, texts, context, 2)


def test_altered_samples_have_the_bits_of_the_model():
    lm, context = tiny("qwen3").lm, prompt(6)
    texts = lm.generate(context, method="sample", n=16, seed=2, max_tokens=10, temperature=0.6, top_p=0.9)
    check_bits(lm, texts, context)
    assert all(s.sampling_logprob > s.logprob for s in texts)


def test_samples_in_groups(monkeypatch):
    lm, context = tiny("gpt2").lm, prompt(6)
    options = {"method": "sample", "n": 20, "seed": 2, "max_tokens": 10}
    at_once = lm.generate(context, **options)
    monkeypatch.setattr("chainrule.generation.sampling.GROUP", 9)
    texts = lm.generate(context, **options)
    check_bits(lm, texts, context)
    assert [s.logprobs.tolist() for s in texts] == [s.logprobs.tolist() for s in at_once]


def test_without_a_context(kernels):
    lm = wrap(tiny("gemma2").own, "gemma2")
    texts = lm.generate(method="sample", n=12, seed=2, max_tokens=10, top=1)
    assert {s.kind for s in texts} == {"joint"}
    check_bits(lm, texts, None, 1)


# Contexts in chunks, and models that are not invariant


def test_a_context_longer_than_a_chunk(monkeypatch):
    """The context runs in chunks of 16 rows, for one text and for many samples."""
    monkeypatch.setattr("chainrule.engine.decoding.tree.usual_rows", lambda *_: 16)
    lm, context = tiny("llama").lm, prompt(77)
    for samples in (1, 30):
        check_bits(lm, lm.generate(context, method="sample", n=samples, seed=3, max_tokens=5), context)


def test_samples_of_a_mixture_of_experts_are_scored_again():
    lm = tiny("gpt_oss").lm
    assert not lm.invariant
    texts = lm.generate([3, 4], method="sample", n=12, seed=1, max_tokens=5)
    assert len(texts) == 12
    for s in texts:
        np.testing.assert_allclose(s.logprobs, lm.score(s.ids, context=[3, 4]).logprobs, rtol=0, atol=FLOAT32)
