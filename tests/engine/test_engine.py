"""Every factor of a forest, with every strategy, against the model's own unpadded forward, one sequence at a time."""

import copy
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from forests import CHUNKS, branching
from hypothesis import given, settings
from hypothesis import strategies as st
from model_zoo import CONFIGS, DTYPES, FOREST, START, Tiny, V, tiny, untouched, wrap
from oracle import conditionals, distinct_contexts, entropy, factors, factors_in_windows, rank, variance

from chainrule import InputError, LanguageModel, ModelError

FLOAT32, FLOAT64 = 2e-5, 1e-10  # nats

pytestmark = pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")  # random ids sometimes do


def shared_prefixes(seed: int = 0) -> list[list[int]]:
    """Sequences longer than the probe and than any window of the zoo. Some share prefixes, and one occurs twice."""
    draw = np.random.default_rng(seed)
    trunk = draw.integers(0, V, 45).tolist()
    tails = [(0, 30), (1, 1), (7, 20), (20, 25), (20, 3), (33, 1), (44, 9)]
    branches = [[*trunk[:shared], *draw.integers(0, V, own).tolist()] for shared, own in tails]
    alone = [draw.integers(0, V, n).tolist() for n in (1, 2, 40)]
    return [trunk, *branches, *alone, branches[3]]


def own_factors(tiny: Tiny, sequences: list[list[int]]) -> np.ndarray:
    return np.concatenate([factors(tiny.own, [START, *s]) for s in sequences])


@pytest.mark.parametrize("name", CONFIGS)
def test_factors_equal_those_of_the_models_own_forward(name: str, kernels: str):
    model, sequences = tiny(name), shared_prefixes()
    want = own_factors(model, sequences)
    for rows in CHUNKS:
        scores = model.lm.score_batch(sequences, rows=rows)
        assert np.abs(scores.logprobs - want).max() < FLOAT32, rows


@pytest.mark.parametrize("name", CONFIGS)
def test_the_strategy_is_the_fastest_that_is_correct(name: str):
    assert tiny(name).lm.engine.strategy == ("forest" if name in FOREST else "batch")


@settings(max_examples=25)
@given(branching(symbols=4), st.sampled_from(CHUNKS))
@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_factors_of_any_forest(name: str, sequences: list[list[int]], rows: int):
    model = tiny(name)
    scores = model.lm.score_batch(sequences, rows=rows)
    assert np.abs(scores.logprobs - own_factors(model, sequences)).max() < FLOAT32


@pytest.mark.parametrize("name", ["gpt2", "opt"])  # the other models round to float32 within their own float64 forward
def test_float64_factors_have_the_precision_of_float64(name: str):
    model, sequences = tiny(name, "float64"), shared_prefixes()
    want = own_factors(model, sequences)
    for rows in CHUNKS:
        assert np.abs(model.lm.score_batch(sequences, rows=rows).logprobs - want).max() < FLOAT64, rows


@pytest.mark.parametrize("name", ["llama", "gemma2", "mamba"])
def test_scores_keep_the_input_order_and_do_not_depend_on_it(name: str):
    lm, sequences = tiny(name).lm, shared_prefixes()
    order = np.random.default_rng(5).permutation(len(sequences))
    straight, shuffled = lm.score_batch(sequences), lm.score_batch([sequences[i] for i in order])
    assert [s.ids.tolist() for s in shuffled] == [sequences[i] for i in order]
    assert np.abs(straight.logprob[order] - shuffled.logprob).max() < FLOAT32


@pytest.mark.parametrize("name", ["llama", "gpt_oss", "bloom"])
def test_a_score_does_not_depend_on_other_sequences_in_the_batch(name: str):
    lm, sequences = tiny(name).lm, shared_prefixes()
    alone = np.concatenate([lm.score(s).logprobs for s in sequences])
    assert np.abs(lm.score_batch(sequences).logprobs - alone).max() < FLOAT32


@pytest.mark.parametrize("name", ["llama", "gpt2", "rwkv"])
def test_ids_and_their_embeddings_give_identical_factors(name: str):
    lm, ids = tiny(name).lm, shared_prefixes()[0]
    want = lm.score(ids).logprobs.tolist()
    assert lm.score(embeddings=lm.embed(ids)).logprobs.tolist() == want
    assert lm.score(ids, embeddings=lm.embed(ids).numpy()).logprobs.tolist() == want


def test_embeddings_that_belong_to_no_token_are_used_unchanged():
    model = tiny("llama")
    ids = [5, 6, 7, 8]
    noise = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        inputs = torch.cat([model.lm.embed([START]), noise[:3]])[None]
        logprobs = model.own(inputs_embeds=inputs).logits[0].double().log_softmax(-1).numpy()
    score = model.lm.score(ids, embeddings=noise)
    assert score.ids.tolist() == ids
    assert np.abs(score.logprobs - logprobs[range(4), ids]).max() < FLOAT32


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "granite", "bert_decoder", "gemma2"])
def test_rank_entropy_and_top_of_a_branching_row(name: str):
    """Many tokens read from the same distribution, against the full log-softmax."""
    model, context = tiny(name), [4, 9, 2, 7]
    scores = model.lm.score_batch([[v] for v in range(V)], context=context, top=5)
    want_V = conditionals(model.own, [START, *context])[-1]
    assert np.abs(scores.logprobs - want_V).max() < FLOAT32
    assert scores.ranks.tolist() == [rank(want_V, v) for v in range(V)]
    assert scores.entropies == pytest.approx(entropy(want_V), abs=FLOAT32)
    assert scores.logprob_variances == pytest.approx(variance(want_V), abs=FLOAT32)
    best = np.argsort(-want_V)[:5]
    assert (scores.top_ids == best).all()
    assert scores.top_logprobs == pytest.approx(np.tile(want_V[best], (V, 1)), abs=FLOAT32)
    assert np.exp(scores.logprobs).sum() == pytest.approx(1, abs=1e-6)


def test_rank_entropy_and_top_along_a_path():
    model, ids = tiny("llama"), shared_prefixes()[0]
    score = model.lm.score(ids, top=3)
    for position, logprob_V in enumerate(conditionals(model.own, [START, *ids[:-1]])):
        assert score.ranks[position] == rank(logprob_V, ids[position])
        assert score.entropies[position] == pytest.approx(entropy(logprob_V), abs=FLOAT32)
        assert score.top_ids[position].tolist() == np.argsort(-logprob_V)[:3].tolist()


@pytest.mark.parametrize(("name", "length"), [("gpt2", 5), ("mistral", 5), ("mamba", 4)])
def test_probabilities_of_all_texts_over_a_tiny_vocabulary_sum_to_one(name: str, length: int):
    config = CONFIGS[name]()
    config.vocab_size = 4
    lm = wrap(untouched(config))
    space = [list(s) for s in product(range(4), repeat=length)]
    assert np.exp(lm.score_batch(space).logprob).sum() == pytest.approx(1, abs=1e-6)
    assert np.exp(lm.score_batch(space, start="given").logprob).sum() == pytest.approx(4, abs=4e-6)


@pytest.mark.parametrize("rows", [1, 16, 512])
def test_every_distinct_context_costs_one_row(rows: int):
    lm = tiny("llama").lm
    draw = np.random.default_rng(2)
    context = draw.integers(0, V, 60).tolist()
    candidates = [draw.integers(0, V, n).tolist() for n in draw.integers(1, 6, 30)]
    scores = lm.score_batch(candidates, context=context, rows=rows)
    wanted = distinct_contexts([[START, *context, *c] for c in candidates])
    assert scores.rows == scores.distinct_contexts == len(wanted)
    assert scores.rows < 61 + sum(map(len, candidates))


def test_repeated_texts_are_computed_once():
    lm, ids = tiny("llama").lm, shared_prefixes()[0]
    assert lm.score_batch([ids] * 50).rows == lm.score_batch([ids]).rows == len(ids)


def test_batches_report_distinct_contexts_and_computed_rows():
    scores = tiny("mamba").lm.score_batch([[1, 2, 3], [1, 2, 4], [5]])
    assert scores.distinct_contexts == 3  # <s>, <s> 1, <s> 1 2
    assert scores.rows == 3


def test_progress_counts_up_to_all_contexts():
    calls: list[tuple[int, int]] = []
    for name in ("llama", "mamba"):
        calls.clear()
        scores = tiny(name).lm.score_batch(shared_prefixes(), rows=16, progress=lambda *p: calls.append(p))
        assert calls[-1] == (scores.distinct_contexts, scores.distinct_contexts)
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)
        assert len(calls) > 1


def with_bias(bias: float) -> tuple[LanguageModel, Any]:
    """A model whose head is tied to the embeddings and has a bias on the logit of token 7."""
    config = tf.PhiConfig(
        vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=START,
    )  # fmt: skip
    own = untouched(config)
    assert own.lm_head.weight is own.get_input_embeddings().weight
    with torch.no_grad():
        own.lm_head.bias[7] = bias
    return wrap(own), own


def test_a_tied_head_with_a_bias():
    lm, own = with_bias(3.0)
    ids = [7, 3, 7, 7, 20, 41]
    assert np.abs(lm.score(ids).logprobs - factors(own, [START, *ids])).max() < FLOAT32


def test_a_token_of_probability_zero_has_logprob_minus_infinity():
    lm, own = with_bias(-np.inf)
    scores = lm.score_batch([[3, 7, 4], [3, 8, 4]], top=3)
    assert scores[0].logprobs[1] == scores[0].logprob == -np.inf
    assert scores[0].ranks[1] == V
    assert np.isfinite(scores.logprobs[[0, 2, 3, 4, 5]]).all()
    assert np.isfinite(scores.entropies).all()
    assert np.abs(scores[1].logprobs - factors(own, [START, 3, 8, 4])).max() < FLOAT32
    want = conditionals(own, [START, 3])[-1]
    assert scores[1].entropies[1] == pytest.approx(entropy(want), abs=FLOAT32)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_logits_of_half_precision_models_are_not_rounded(dtype: str):
    """Logits of about 50 lose a tenth of a nat in bfloat16. An equal bias on all of them changes no probability."""
    _, own = with_bias(0.0)
    with torch.no_grad():
        own.lm_head.bias[:] = 50.0
    own = own.to(DTYPES[dtype])
    lm, sequences = wrap(own), shared_prefixes()
    true, rounded = (own_factors(Tiny(lm, m), sequences) for m in (copy.deepcopy(own).float(), own))
    result = lm.score_batch(sequences).logprobs
    assert lm.model.dtype == DTYPES[dtype]
    assert np.abs(result - true).mean() < np.abs(rounded - true).mean() / 2


def test_an_overflow_in_the_network_raises_model_error():
    lm = tiny("llama").lm
    with pytest.raises(ModelError, match=r"NaN for \d of 3 factors.*dtype='float32'"):
        lm.score([3, 4, 5], embeddings=torch.full((3, 32), torch.inf))


@pytest.mark.parametrize("name", ["llama", "gpt2", "mamba"])
def test_conditionals_token_by_token_equal_the_score(name: str):
    lm, ids = tiny(name).lm, [3, 1, 4, 1, 5]
    steps = [lm.conditional(ids[:i]).logprob(id) for i, id in enumerate(ids)]
    assert steps == pytest.approx(lm.score(ids).logprobs, abs=FLOAT32)


@pytest.mark.parametrize("name", ["llama", "mistral", "bloom"])
def test_the_distribution_after_a_context(name: str):
    model, context = tiny(name), shared_prefixes()[0][:30]
    result = model.lm.conditional(context)
    want = conditionals(model.own, [START, *context])[-1]
    assert np.abs(result.logprobs - want).max() < FLOAT32
    assert result.context == 31
    assert np.exp(result.logprobs).sum() == pytest.approx(1, abs=1e-6)


def test_an_empty_batch_has_no_scores():
    scores = tiny("llama").lm.score_batch([])
    assert (len(scores), scores.rows, len(scores.logprobs)) == (0, 0, 0)


LONG = np.random.default_rng(7).integers(1, V, 300).tolist()  # the models of the zoo take 128 embeddings


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize(("start", "options"), [(START, {}), (None, {"stride": 100}), (START, {"window": 60, "stride": 13})])
def test_a_text_longer_than_the_context_is_scored_in_windows(name: str, start: int | None, options: dict):
    """Each factor is compared with a separate forward over the number of embeddings that `contexts` reports."""
    model, window = tiny(name), options.get("window", 128)
    score = model.lm.score(LONG, start="given" if start is None else start, rows=100, **options)
    assert score.ids.tolist() == LONG[start is None :]
    assert score.windows > 1
    assert score.contexts[: window - 1].tolist() == list(range(1, window))
    assert (score.contexts.min(), score.contexts.max()) == (1, window)
    assert score.contexts[window:].min() >= window - options.get("stride", window // 2)
    some = [*range(0, len(score), 17), *range(window - 3, window + 3), len(score) - 1]
    want = factors_in_windows(model.own, LONG, score.contexts.tolist(), start, some)
    assert np.abs(score.logprobs[some] - want).max() < FLOAT32


def test_a_model_without_a_context_limit_scores_a_long_text_in_one_window():
    model = tiny("mamba")
    score = model.lm.score(LONG)
    assert (score.windows, score.contexts[-1]) == (1, 300)
    assert np.abs(score.logprobs - factors(model.own, [START, *LONG])).max() < FLOAT32


def test_windows_over_a_context_that_is_too_long():
    """Only the beginning of the context is dropped; the scored text remains in view."""
    model = tiny("llama")
    score = model.lm.score(LONG[250:], context=LONG[:250])
    want = factors_in_windows(model.own, LONG, score.contexts.tolist(), START, range(50))
    assert np.abs(score.logprobs - want).max() < FLOAT32
    assert score.contexts.min() >= 64


def test_window_false_refuses_a_text_that_is_too_long():
    lm = tiny("llama").lm
    lm.score(LONG[:128], window=False)
    with pytest.raises(InputError, match=r"^it needs a context of 300 embeddings, and the model takes 128"):
        lm.score(LONG, window=False)
