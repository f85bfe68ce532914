"""Row-invariance: the same bits alone, in any batch, order or chunk, with or without shared prefixes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from chainrule import LanguageModel
from chainrule.engine.attention import layout, sdpa
from chainrule.engine.attention.sdpa import Kind, row_invariant
from chainrule.engine.selfcheck import invariance as selfcheck_invariance
from chainrule.models.causal import PretrainedModel

VOCABULARY = 61
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=512, bos_token_id=0, eos_token_id=0),
    "gemma2": Gemma2Config(**SHAPE, head_dim=8, sliding_window=40),
    "mistral": MistralConfig(**SHAPE, sliding_window=70),
    "qwen3": Qwen3Config(**SHAPE, head_dim=16),
}


@cache
def model(name: str, dtype: torch.dtype, kernels: str = "native") -> LanguageModel:
    """One model with and one without compiled kernels, since its engine keeps the verdict."""
    torch.manual_seed(1)
    lm = AutoModelForCausalLM.from_config(CONFIGS[name]).to(dtype)
    for parameter in lm.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.3)
    return LanguageModel(PretrainedModel(lm, name), start="bos")


def related(draw: np.random.Generator, count: int, longest: int) -> list[list[int]]:
    """Sequences that share prefixes, some of which are longer than a block of depths."""
    trunk = draw.integers(1, VOCABULARY, longest).tolist()
    cut = draw.integers(0, longest, count)
    return [[*trunk[:c], *draw.integers(1, VOCABULARY, draw.integers(1, 40)).tolist()] for c in cut]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(16, 900))
def test_no_bit_depends_on_the_rest_of_the_batch(name: str, dtype: torch.dtype, kernels: str, seed: int, rows: int):
    lm, draw = model(name, dtype, kernels), np.random.default_rng(seed)
    assert lm.invariant, lm.invariant.reason
    sequences = related(draw, count=5, longest=int(draw.choice([20, 200, 320])))
    alone = [lm.score(sequence) for sequence in sequences]
    order = draw.permutation(len(sequences)).tolist()
    others = related(draw, count=int(draw.integers(0, 9)), longest=60)
    batch = lm.score_batch([*(sequences[i] for i in order), *others], rows=rows, top=3)
    for n, i in enumerate(order):
        for column in ("logprobs", "entropies", "logprob_variances", "ranks"):
            assert getattr(batch[n], column).tobytes() == getattr(alone[i], column).tobytes(), column


def test_ranked_candidates_have_the_same_bits_as_when_scored():
    lm = model("llama", torch.float32)
    context, candidates = list(range(1, 50)), [[3, 4], [3, 5], [7]]
    ranked = {r.index: r.logprob for r in lm.rank(context, candidates)}
    for i, candidate in enumerate(candidates):
        assert lm.score(candidate, context=context).logprob == ranked[i]


def test_results_have_the_verdict():
    lm = model("llama", torch.float32)
    scores = lm.score_batch([[1, 2], [3]])
    assert scores.invariant is lm.invariant
    assert scores[0].invariant
    assert scores.to_dicts()[0]["invariant"] is True
    assert scores[0].to_dict()["invariant"] is True


def test_a_mixture_of_experts_is_not_invariant():
    shape = {**SHAPE, "num_hidden_layers": 1}
    lm = LanguageModel(
        PretrainedModel(AutoModelForCausalLM.from_config(MixtralConfig(**shape, num_local_experts=4)), "experts")
    )
    assert not lm.invariant
    assert "mixture of experts" in lm.invariant.reason
    assert lm.score([1, 2, 3]).to_dict()["invariant"] is False


def test_the_batch_strategy_is_not_invariant():
    lm = model("llama", torch.float32)
    batch = type(lm.engine)(lm.model, "batch")
    invariance = selfcheck_invariance.invariance_of(batch)
    assert not invariance
    assert "the batch strategy" in invariance.reason


def test_a_table_is_invariant(abc: LanguageModel):
    assert abc.invariant


def test_varying_bits_are_detected(monkeypatch: pytest.MonkeyPatch, kernels: str):
    """The bits of the attention depend on the number of queries."""
    lm = model("llama", torch.float32, kernels)

    def shifted(attend, argument):
        def attend_and_shift(*arguments, **options):
            out, lse = attend(*arguments, **options)
            return out + 1e-6 * arguments[argument].shape[-2], lse

        return attend_and_shift

    monkeypatch.setattr(sdpa, "attend", shifted(sdpa.attend, 0))
    monkeypatch.setattr(layout, "native_attend", shifted(layout.native_attend, 1))
    verdict = selfcheck_invariance.check(lm.engine)
    assert not verdict
    assert "bits" in verdict.reason


def test_a_kernel_whose_bits_depend_on_the_number_of_queries_is_detected(monkeypatch: pytest.MonkeyPatch):
    whole = sdpa.attend

    def uneven(q, k, v, mask, **options):
        out, lse = whole(q, k, v, mask, **options)
        return out, lse + 1e-6 * (q.shape[2] % 3)

    kind = Kind(4, 2, 8, 8, torch.float32, softcapped=False, threads=91)
    monkeypatch.setattr(sdpa, "attend", uneven)
    assert not row_invariant(kind)
