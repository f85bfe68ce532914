"""Further tiny architectures with their strategy and their head, and a Llama without a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as tf
from model_zoo import untouched

SMALL = {"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SYMBOLS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}


def llama(**options: Any) -> Any:
    return untouched(tf.LlamaConfig(**SMALL | SYMBOLS | {"max_position_embeddings": 64} | options))


OLD = SMALL | SYMBOLS | {"max_position_embeddings": 128}
GROUPED = OLD | {"num_key_value_heads": 2}
GPT = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "bos_token_id": 0, "eos_token_id": 1}
FALCON = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "bos_token_id": 0}
LATENT = {"n_group": 1, "topk_group": 1, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
          "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16,
          "first_k_dense_replace": 1}  # fmt: skip
HYBRID = OLD | {"num_hidden_layers": 3, "intermediate_size": 96, "lru_width": 32, "attention_window_size": 8}
FURTHER: dict[str, tuple[Callable[[], Any], str, str]] = {
    "cohere": (lambda: tf.CohereConfig(**GROUPED, logit_scale=0.25), "forest", "fused"),
    "cohere2": (lambda: tf.Cohere2Config(**GROUPED, logit_scale=0.25, sliding_window=6), "forest", "fused"),
    "phi": (lambda: tf.PhiConfig(**OLD), "forest", "fused"),
    "gpt_bigcode": (lambda: tf.GPTBigCodeConfig(**GPT), "forest", "fused"),
    "gemma": (lambda: tf.GemmaConfig(**GROUPED, head_dim=8), "forest", "fused"),
    "gemma3": (lambda: tf.Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=5), "forest", "fused"),
    "starcoder2": (lambda: tf.Starcoder2Config(**GROUPED, sliding_window=5), "forest", "fused"),
    "olmo2": (lambda: tf.Olmo2Config(**GROUPED), "forest", "fused"),
    "smollm3": (lambda: tf.SmolLM3Config(**GROUPED), "forest", "fused"),
    "mixtral": (lambda: tf.MixtralConfig(**GROUPED, num_local_experts=3), "forest", "fused"),
    "deepseek_v3": (lambda: tf.DeepseekV3Config(**OLD, **LATENT), "forest", "fused"),
    "gptj": (lambda: tf.GPTJConfig(**GPT, rotary_dim=4), "forest", "fused"),
    "falcon": (lambda: tf.FalconConfig(**FALCON), "batch", "fused"),
    "falcon with ALiBi": (lambda: tf.FalconConfig(**FALCON, alibi=True), "batch", "fused"),
    "stablelm": (lambda: tf.StableLmConfig(**GROUPED), "forest", "fused"),
    "mamba2": (
        lambda: tf.Mamba2Config(
            vocab_size=61, hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, n_groups=1, chunk_size=8,
            **SYMBOLS,
        ),
        "batch",
        "fused",
    ),
    "recurrent_gemma": (lambda: tf.RecurrentGemmaConfig(**HYBRID), "batch", "own"),  # its softcap has another name
}  # fmt: skip
