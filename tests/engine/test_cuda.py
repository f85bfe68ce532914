"""On a GPU: every kind of model against the CPU and against transformers' own forward in float64. Skipped without a GPU.

On a GPU, the bits of a row may depend on other sequences in the batch, so everything is compared in nats.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from model_kinds import KINDS, largest_difference, numbers
from model_zoo import BATCH, untouched, wrap
from oracle import conditionals, entropy, factors, log_softmax

from chainrule import LanguageModel, ModelError
from chainrule.engine import engine as engine_module
from chainrule.engine.head import fused
from chainrule.models.double import in_double
from chainrule.ops import gpu

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CUDA, ROUNDING = "cuda", 1e-4  # nats
V, CONTEXT = 300, 2048
NUMERIC = [name for name in KINDS if name not in ("generating", "table", "bfloat16")]  # these have their own tests below
_COMMON: dict[str, Any] = {"vocab_size": V, "num_hidden_layers": 2, "max_position_embeddings": CONTEXT, "bos_token_id": 0,
                           "eos_token_id": 1, "pad_token_id": None}  # fmt: skip


def _grouped(width: int, **others: Any) -> dict[str, Any]:
    """Four heads of this width, and two key heads."""
    return _COMMON | {"hidden_size": 4 * width, "intermediate_size": 6 * width, "num_attention_heads": 4,
                      "num_key_value_heads": 2, "head_dim": width, **others}  # fmt: skip


WIDE: dict[str, Callable[[], Any]] = {
    **{f"llama, heads {width} wide": lambda width=width: tf.LlamaConfig(**_grouped(width)) for width in (16, 64, 80, 128)},
    "gemma2, heads 256 wide, softcaps and windows": lambda: tf.Gemma2Config(
        **_grouped(256), sliding_window=40, attn_logit_softcapping=5.0, final_logit_softcapping=10.0
    ),
    "mistral, windows": lambda: tf.MistralConfig(**_grouped(32), sliding_window=150),
    "gpt_oss, sinks and experts": lambda: tf.GptOssConfig(
        **_grouped(32), num_local_experts=4, num_experts_per_tok=2, sliding_window=40
    ),
    "gpt2": lambda: tf.GPT2Config(
        vocab_size=V, n_embd=128, n_layer=2, n_head=4, n_positions=CONTEXT, bos_token_id=0, eos_token_id=1
    ),
    "deepseek_v3, keys wider than values": lambda: tf.DeepseekV3Config(
        **_COMMON, hidden_size=128, intermediate_size=96, moe_intermediate_size=64, num_attention_heads=4,
        num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, first_k_dense_replace=1,
        q_lora_rank=32, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=32, v_head_dim=32,
    ),
}  # fmt: skip


def strong(config: Any) -> Any:
    """Random weights, large enough that every position and every token has an effect at any width."""
    torch.manual_seed(0)
    own = tf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += torch.randn_like(parameter) * min(0.25, 1.5 * parameter.shape[-1] ** -0.5)
    return own


def on_gpu(own: Any, dtype: torch.dtype = torch.float32) -> LanguageModel:
    return wrap(copy.deepcopy(own).to(CUDA, dtype))


def texts() -> list[list[int]]:
    """Short texts, texts with a shared prefix, and one that spans several blocks of keys."""
    random = np.random.default_rng(3)
    long = random.integers(2, V, 700).tolist()
    return [long, [*long[:400], 5, 6, 7], long[:129], *(random.integers(2, V, n).tolist() for n in (1, 2, 30, 128, 150))]


def exact(own: Any) -> list[np.ndarray]:
    own = in_double(copy.deepcopy(own).double())
    return [factors(own, [0, *text]) for text in texts()]


def largest_error(scores: Any, want: list[np.ndarray]) -> float:
    return max(float(np.abs(score.logprobs - exact).max()) for score, exact in zip(scores, want, strict=True))


@pytest.mark.parametrize("kind", NUMERIC)
def test_results_equal_those_on_the_cpu(kind: str):
    case = KINDS[kind]
    cpu_lm, cuda_lm = case.make(), case.wrap(case.network().to(CUDA))
    assert cuda_lm.model.device.type == CUDA
    assert not cuda_lm.invariant
    for name, ask in case.calls.items():
        if name not in ("samples", "orders"):
            assert largest_difference(numbers(ask(cuda_lm)), numbers(ask(cpu_lm))) <= ROUNDING, name


@pytest.mark.parametrize("name", WIDE)
def test_wide_heads_against_float64(name: str):
    own = strong(WIDE[name]())
    lm, want = on_gpu(own), exact(own)
    assert lm.engine.strategy == "forest", lm.engine.reason
    for rows in (16, 200, 768, 4096):
        assert largest_error(lm.score_batch(texts(), start=0, rows=rows), want) <= ROUNDING, rows
    top = lm.score_batch(texts(), start=0, top=3)
    assert largest_error(top, want) <= ROUNDING


@pytest.mark.parametrize("name", ["llama, heads 64 wide", "gemma2, heads 256 wide, softcaps and windows"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(name: str, dtype: torch.dtype):
    """The error against float64 is no larger than that of transformers' own forward on the same GPU."""
    own = strong(WIDE[name]())
    rounded = copy.deepcopy(own).to(dtype).float()
    lm, want = on_gpu(own, dtype), exact(rounded)
    own_gpu = copy.deepcopy(own).to(CUDA, dtype)
    theirs = [factors(own_gpu, [0, *text]) for text in texts()]
    rms = [np.sqrt(np.mean(np.concatenate([a - b for a, b in zip(x, want, strict=True)]) ** 2))
           for x in ([score.logprobs for score in lm.score_batch(texts(), start=0)], theirs)]  # fmt: skip
    assert rms[0] <= 1.5 * rms[1] + 1e-9, rms


@pytest.mark.parametrize("name", ["llama, heads 64 wide", "gemma2, heads 256 wide, softcaps and windows"])
def test_without_triton(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu, "find_spec", lambda _: None)
    own = strong(WIDE[name]())
    assert largest_error(on_gpu(own).score_batch(texts(), start=0, rows=200), exact(own)) <= ROUNDING


@pytest.mark.parametrize("name", ["llama, heads 64 wide", "gemma2, heads 256 wide, softcaps and windows"])
@pytest.mark.parametrize("temperature", [1e-3, 1 / 16, 0.7, 3.0, 300.0])
def test_a_temperature(name: str, temperature: float):
    """Inside and outside the range of the fused head, against the definition in float64."""
    own = strong(WIDE[name]())
    lm, double = on_gpu(own), in_double(copy.deepcopy(own).double())
    for text, score in zip(texts(), lm.score_batch(texts(), start=0, temperature=temperature, top=2), strict=True):
        base_TV = conditionals(double, [0, *text])[:-1]
        want_TV = np.array([log_softmax(base_V / temperature) for base_V in base_TV])
        atol = ROUNDING / min(1, temperature)
        np.testing.assert_allclose(score.logprobs, want_TV[range(len(text)), text], rtol=0, atol=atol)
        np.testing.assert_allclose(score.entropies, [entropy(want_V) for want_V in want_TV], rtol=0, atol=10 * atol)
        np.testing.assert_allclose(score.top_logprobs[:, 0], want_TV.max(-1), rtol=0, atol=atol)
    assert np.array_equal(score.ranks, lm.score(texts()[-1], start=0).ranks)


@pytest.mark.parametrize("name", BATCH)
def test_models_that_run_by_their_own_forward(name: str):
    own = untouched(BATCH[name]())
    lm = on_gpu(own)
    want = [factors(in_double(copy.deepcopy(own).double()), [0, *text]) for text in ([5, 6, 7], list(range(2, 60)))]
    assert largest_error(lm.score_batch([[5, 6, 7], list(range(2, 60))], start=0), want) <= ROUNDING


def test_the_fused_head_is_used(monkeypatch: pytest.MonkeyPatch):
    own, calls = strong(WIDE["llama, heads 64 wide"]()), []
    lm = on_gpu(own)
    monkeypatch.setattr(engine_module, "read_fused", lambda *a, **k: calls.append(1) or fused.read_fused(*a, **k))
    lm.score([5, 6, 7], start=0)
    assert calls


def test_results_do_not_depend_on_the_state_of_the_process():
    own = strong(WIDE["llama, heads 64 wide"]())
    lm, some = on_gpu(own), [[5, 6, 7], list(range(2, 200))]
    want = [s.logprobs for s in lm.score_batch(some, start=0)]
    try:
        torch.set_default_dtype(torch.float64)
        assert largest_error(lm.score_batch(some, start=0), want) == 0
    finally:
        torch.set_default_dtype(torch.float32)
    for state in (torch.device("meta"), torch.device("cuda"), torch.autocast("cuda", torch.bfloat16), torch.enable_grad(),
                  torch.inference_mode()):  # fmt: skip
        with state:
            assert largest_error(lm.score_batch(some, start=0), want) == 0, state
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with pytest.raises(ModelError, match="set_float32_matmul_precision"):
            lm.score([5, 6, 7], start=0)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_several_threads():
    networks = {name: strong(config()) for name, config in list(WIDE.items())[:6]}
    lms, some = {name: on_gpu(own) for name, own in networks.items()}, texts()[2:]
    want = {name: [factors(own, [0, *text]) for text in some] for name, own in networks.items()}
    wrong: list[str] = []

    def work(number: int) -> None:
        random = np.random.default_rng(number)
        try:
            for name in random.choice(list(lms), 12):
                error = largest_error(lms[name].score_batch(some, start=0, rows=int(random.integers(16, 300))), want[name])
                wrong.extend([f"{name}: {error}"] * (error > ROUNDING))
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_verify():
    lm = KINDS["wide"].wrap(KINDS["wide"].network().to(CUDA))
    report = lm.verify()
    assert report, str(report)


def test_an_id_beyond_a_table_raises_an_error():
    """Gemma 3n looks tokens up in a second, shorter table. The GPU must be usable after the error."""
    own = strong(WIDE["llama, heads 64 wide"]())
    lm = on_gpu(own)
    want = lm.score([5, 6, 7], start=0).logprobs
    with pytest.raises(ModelError, match="index 300 is out of range"):
        lm.model.hidden(torch.tensor([[5, V]], device=CUDA))
    assert largest_error([lm.score([5, 6, 7], start=0)], [want]) == 0


def test_generation():
    case = KINDS["generating"]
    cpu_lm, cuda_lm = case.make(), case.wrap(case.network().to(CUDA))
    for name in ("greedy", "beam", "best"):
        assert largest_difference(numbers(case.calls[name](cuda_lm)), numbers(case.calls[name](cpu_lm))) <= ROUNDING, name
    samples = case.calls["sixteen samples"](cuda_lm)
    assert len(samples) == 16
