"""A tiny config for every model type that transformers has a causal language model of.

One small set of values serves them all: whatever common names a config class knows are set. What an architecture needs
besides stands in one table, by its model type.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import transformers as tf
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
CONTEXT, LAYERS, HEADS = 80, 4, 4


def _all(value: int, names: str) -> dict[str, int]:
    return dict.fromkeys(names.split(), value)


COMMON: dict[str, Any] = {
    # widths and depths
    **_all(32, "hidden_size d_model n_embd embedding_dim embedding_size emb_dim word_embed_proj_dim lru_width"),
    **_all(48, "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim ffn_hidden_size"),
    **_all(LAYERS, "num_hidden_layers n_layer n_layers num_layers decoder_layers num_decoder_layers"),
    **_all(1, "encoder_layers num_encoder_layers"),
    **_all(HEADS, "num_attention_heads n_head n_heads num_heads decoder_attention_heads encoder_attention_heads"),
    **_all(HEADS, "attention_heads num_decoder_attention_heads num_encoder_attention_heads swa_num_attention_heads"),
    **_all(2, "num_key_value_heads swa_num_key_value_heads"),
    **_all(8, "head_dim swa_head_dim kv_channels rotary_dim"),
    **_all(8, "laurel_rank hidden_size_per_layer_input adapter_rank"),
    **_all(CONTEXT, "max_position_embeddings n_positions n_ctx max_seq_len context_length max_target_positions"),
    # mixtures of experts
    **_all(4, "num_experts n_routed_experts num_local_experts moe_num_experts"),
    **_all(2, "num_experts_per_tok num_experts_per_token moe_topk moe_k"),
    **_all(16, "moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size shared_intermediate_size"),
    **_all(16, "moe_shared_expert_intermediate_size shared_experts_intermediate_size router_hidden_size"),
    **_all(1, "n_group topk_group num_expert_group first_k_dense_replace"),
    # latent attention and its indexers; with few heads many indices would be exactly 0, and which are taken a matter of chance
    **_all(8, "kv_lora_rank q_lora_rank qk_rope_head_dim qk_nope_head_dim index_head_dim"),
    **_all(16, "v_head_dim index_n_heads"),
    # linear attention and state spaces
    **_all(8, "linear_key_head_dim linear_value_head_dim linear_head_dim mamba_d_state state_size ssm_state_size"),
    **_all(8, "mamba_d_head mamba_head_dim mamba_n_heads mamba_num_heads chunk_size mamba_chunk_size"),
    **_all(2, "linear_num_key_heads"),
    **_all(4, "linear_num_value_heads linear_num_heads time_step_rank mamba_dt_rank"),
    **_all(8, "block_size"),
    **_all(1, "n_groups"),
}
# What lies further back is not seen, or not always: shorter than the texts of the zoo.
REACHES = (
    *("sliding_window", "sliding_window_size", "window_size", "attention_window_size", "local_attention"),
    *("attention_chunk_size", "keep_window_size", "index_topk"),
    *("floor_scale", "log_scaling_n_floor"),  # beyond it attention is scaled by the position
)
KINDS = ("layer_types", "mlp_layer_types", "layers_block_type", "indexer_types")
VOCABULARIES = ("vocab_size", "unpadded_vocab_size", "vocab_size_per_layer_input")
PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")
SYMBOLS = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")

# What an architecture needs besides: the sizes have to fit each other, or its parts go by names of their own.
_NO_VISION: dict[str, Any] = {"vision_config": None, "audio_config": None}
_DOTS3 = {
    **{"swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_head_dim": 16, "swa_qk_nope_head_dim": 8},
    **{"swa_v_head_dim": 8, "swa_q_lora_rank": 8, "swa_kv_lora_rank": 8, "swa_qk_rope_head_dim": 8},
}
_SHARED = {"num_hidden_layers": 6, "layer_types": ["sliding_attention", "full_attention"] * 3, "num_kv_shared_layers": 2}
_QWEN4 = {
    **{"hc_lowrank": 4, "indexer_n_heads": 16, "indexer_kv_heads": 1, "indexer_head_dim": 8},
    **{"indexer_budget": 8, "indexer_compress_ratio": 4},
}
SPECIAL: dict[str, dict[str, Any]] = {
    "big_bird": {"attention_type": "original_full"},
    "blt": {
        name: {"hidden_size_global": 32, "num_key_value_heads": 4}
        for name in ("encoder_config", "decoder_config", "global_config", "patcher_config")
    }
    | {"encoder_hash_byte_group_vocab": 50},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ("sliding_attention", "full_attention")
        },
    },
    "cpmant": {"dim_head": 8, "dim_ff": 48, "prompt_length": 4},
    "ctrl": {"dff": 48},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4},
        "tie_word_embeddings": False,
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v4": {"q_lora_rank": 16, "o_groups": 2, "o_lora_rank": 8},
    "dory": {"n_input_layers": 1, "n_recurrent_layers": 2, "n_output_layers": 1, "initializer_range": 0.25},
    "dots3_note": {
        "text_config": _DOTS3,
        "vision_config": {"num_hidden_layers": 1, "adapter_in_dim": 32, "adapter_out_dim": 32},
        "audio_config": {"num_hidden_layers": 1, "adapter_input_size": 32, "adapter_out_dim": 32, "downsample_hidden_size": 8},
    },
    "dots3_note_text": _DOTS3,
    "dots1": {"n_shared_experts": 1},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": _SHARED | {"activation_sparsity_pattern": [0.0] * 6},
    "gemma4": {**_NO_VISION, "text_config": _SHARED},
    "gemma4_text": _SHARED,
    "gemma4_unified": _NO_VISION,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "mamba2": {"num_heads": 8},
    "minimax_m3_vl_text": {
        "layer_types": ["minimax_m3_sparse", "full_attention"] * 2,
        "index_block_size": 24,
        "index_topk_blocks": 2,
        "index_n_heads": 2,
    },
    "mllama": {"text_config": {"cross_attention_layers": [1]}},
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "reformer": {
        "axial_pos_embds_dim": [16, 16],
        "axial_pos_shape": [8, 10],
        "attn_layers": ["local"] * 4,
        "attention_head_size": 8,
        "feed_forward_size": 48,
        "local_attn_chunk_length": 8,
    },
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 24},
    "roc_bert": {"pronunciation_vocab_size": 50, "shape_vocab_size": 50, "pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    "xlm": {"causal": True},
    "xlnet": {"d_inner": 48, "d_head": 8, "attn_type": "uni", "mem_len": None},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}


# Where a message of Python's says less than this.
NOT_BUILT = {
    "gemma3n": "its vision tower needs timm and pillow, which are not installed",
    "gemma4_assistant": "a drafter: it needs the states of the model that it drafts for",
    "musicgen": "its decoder of audio codes, no language model, is not what transformers makes of its config",
    "musicgen_melody": "its decoder of audio codes, no language model, is not what transformers makes of its config",
}


def small_config(model_type: str, vocab_size: int, symbols: dict[str, int], tied: bool, reach: int) -> Any:
    """Attention that does not see everything sees `reach` places back. What does not fit together raises anything."""
    common = COMMON | dict.fromkeys(REACHES, reach) | dict.fromkeys(VOCABULARIES, vocab_size)
    common |= dict.fromkeys(PLACEHOLDERS, vocab_size - 1) | symbols | {"tie_word_embeddings": tied}
    cls = CONFIG_MAPPING[model_type]
    return cls(**_values(cls, common, SPECIAL.get(model_type, {})))


def _values(cls: Any, common: dict[str, Any], special: dict[str, Any]) -> dict[str, Any]:
    """What to make a config of this class with: whatever it knows of the common values, every kind of layer that it has."""
    try:
        known = vars(cls())
    except Exception:  # a class whose defaults do not fit together
        known = dict.fromkeys(cls.__annotations__)
    values = {name: value for name, value in common.items() if name in known or name in SYMBOLS}
    for name in KINDS:
        if isinstance(kinds := known.get(name), list | tuple):
            values[name] = list(islice(cycle(dict.fromkeys(kinds)), LAYERS))
    if "kv_lora_rank" in known or "compress_rates" in known:
        values["num_key_value_heads"] = HEADS  # what is latent is not grouped
    if known.get("is_decoder") is False and not known.get("is_encoder_decoder"):
        values["is_decoder"] = True
    for name, part in known.items():
        if isinstance(part, tf.PreTrainedConfig) and special.get(name, part) is not None:
            values[name] = _values(type(part), common, special.get(name, {}))
    return values | {
        name: value
        for name, value in special.items()
        if not (name in values and isinstance(value, dict) and isinstance(known.get(name), tf.PreTrainedConfig))
    }
