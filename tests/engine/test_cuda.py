"""On a GPU: every kind of model against the CPU and against transformers' own forward in float64. Skipped where there is none.

Bits may move on a GPU with the company a row has, so all is compared in nats.
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
from oracle import factors

from chainrule import LanguageModel, ModelError
from chainrule.engine import engine as engine_module
from chainrule.engine.head import fused
from chainrule.models.double import in_double
from chainrule.ops import gpu

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CUDA, ROUNDING = "cuda", 1e-4  # nats
V, CONTEXT = 300, 2048
NUMERIC = [name for name in KINDS if name not in ("generating", "table", "bfloat16")]  # see the tests of these below
_COMMON: dict[str, Any] = {"vocab_size": V, "num_hidden_layers": 2, "max_position_embeddings": CONTEXT, "bos_token_id": 0,
                           "eos_token_id": 1, "pad_token_id": None}  # fmt: skip


def _grouped(width: int, **others: Any) -> dict[str, Any]:
    """Four heads so wide, two of keys."""
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
    """Random weights of a size that makes every place and every token matter, at any width."""
    torch.manual_seed(0)
    own = tf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += torch.randn_like(parameter) * min(0.25, 1.5 * parameter.shape[-1] ** -0.5)
    return own


def on_gpu(own: Any, dtype: torch.dtype = torch.float32) -> LanguageModel:
    return wrap(copy.deepcopy(own).to(CUDA, dtype))


def texts() -> list[list[int]]:
    """Short ones, ones that share a beginning, and one that goes over several blocks of keys."""
    random = np.random.default_rng(3)
    long = random.integers(2, V, 700).tolist()
    return [long, [*long[:400], 5, 6, 7], long[:129], *(random.integers(2, V, n).tolist() for n in (1, 2, 30, 128, 150))]


def exact(own: Any) -> list[np.ndarray]:
    own = in_double(copy.deepcopy(own).double())
    return [factors(own, [0, *text]) for text in texts()]


def off(found: Any, want: list[np.ndarray]) -> float:
    return max(float(np.abs(score.logprobs - exact).max()) for score, exact in zip(found, want, strict=True))


@pytest.mark.parametrize("kind", NUMERIC)
def test_as_on_the_cpu(kind: str):
    made = KINDS[kind]
    here, there = made.make(), made.wrap(made.network().to(CUDA))
    assert there.model.device.type == CUDA
    assert not there.invariant
    for name, ask in made.calls.items():
        if name not in ("samples", "orders"):
            assert largest_difference(numbers(ask(there)), numbers(ask(here))) <= ROUNDING, name


@pytest.mark.parametrize("name", WIDE)
def test_wide_heads_against_float64(name: str):
    own = strong(WIDE[name]())
    lm, want = on_gpu(own), exact(own)
    assert lm.engine.strategy == "forest", lm.engine.reason
    for rows in (16, 200, 768, 4096):
        assert off(lm.score_batch(texts(), start=0, rows=rows), want) <= ROUNDING, rows
    top = lm.score_batch(texts(), start=0, top=3)
    assert off(top, want) <= ROUNDING


@pytest.mark.parametrize("name", ["llama, heads 64 wide", "gemma2, heads 256 wide, softcaps and windows"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types(name: str, dtype: torch.dtype):
    """No further from float64 than transformers' own forward on the same GPU is."""
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
    assert off(on_gpu(own).score_batch(texts(), start=0, rows=200), exact(own)) <= ROUNDING


@pytest.mark.parametrize("name", BATCH)
def test_the_models_own_forward(name: str):
    own = untouched(BATCH[name]())
    lm = on_gpu(own)
    want = [factors(in_double(copy.deepcopy(own).double()), [0, *text]) for text in ([5, 6, 7], list(range(2, 60)))]
    assert off(lm.score_batch([[5, 6, 7], list(range(2, 60))], start=0), want) <= ROUNDING


def test_the_head_is_the_fused_one(monkeypatch: pytest.MonkeyPatch):
    own, calls = strong(WIDE["llama, heads 64 wide"]()), []
    lm = on_gpu(own)
    monkeypatch.setattr(engine_module, "read_fused", lambda *a: calls.append(1) or fused.read_fused(*a))
    lm.score([5, 6, 7], start=0)
    assert calls


def test_the_state_of_the_process():
    own = strong(WIDE["llama, heads 64 wide"]())
    lm, some = on_gpu(own), [[5, 6, 7], list(range(2, 200))]
    want = [s.logprobs for s in lm.score_batch(some, start=0)]
    try:
        torch.set_default_dtype(torch.float64)
        assert off(lm.score_batch(some, start=0), want) == 0
    finally:
        torch.set_default_dtype(torch.float32)
    for state in (torch.device("meta"), torch.device("cuda"), torch.autocast("cuda", torch.bfloat16), torch.enable_grad(),
                  torch.inference_mode()):  # fmt: skip
        with state:
            assert off(lm.score_batch(some, start=0), want) == 0, state
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with pytest.raises(ModelError, match="set_float32_matmul_precision"):
            lm.score([5, 6, 7], start=0)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_threads():
    made = {name: strong(config()) for name, config in list(WIDE.items())[:6]}
    lms, some = {name: on_gpu(own) for name, own in made.items()}, texts()[2:]
    want = {name: [factors(own, [0, *text]) for text in some] for name, own in made.items()}
    wrong: list[str] = []

    def work(number: int) -> None:
        random = np.random.default_rng(number)
        try:
            for name in random.choice(list(lms), 12):
                error = off(lms[name].score_batch(some, start=0, rows=int(random.integers(16, 300))), want[name])
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


def test_ids_beyond_a_table_end_no_process():
    """Gemma 3n looks tokens up in a second table, which is shorter: an error, and the GPU is as good as before."""
    own = strong(WIDE["llama, heads 64 wide"]())
    lm = on_gpu(own)
    want = lm.score([5, 6, 7], start=0).logprobs
    with pytest.raises(ModelError, match="index 300 is out of range"):
        lm.model.hidden(torch.tensor([[5, V]], device=CUDA))
    assert off([lm.score([5, 6, 7], start=0)], [want]) == 0


def test_what_generates():
    made = KINDS["generating"]
    here, there = made.make(), made.wrap(made.network().to(CUDA))
    for name in ("greedy", "beam", "best"):
        assert largest_difference(numbers(made.calls[name](there)), numbers(made.calls[name](here))) <= ROUNDING, name
    drawn = made.calls["sixteen samples"](there)
    assert len(drawn) == 16
