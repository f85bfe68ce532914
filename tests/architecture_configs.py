"""A tiny config for every model type for which transformers has a causal language model.

One small set of values serves all types: those of the names that a config class has are set. Further values that an
architecture needs are in one table, by its model type. Thresholds, at which a computation changes, are set by `Sizes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import transformers as tf
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
CONTEXT, LAYERS, HEADS = 80, 4, 4


@dataclass(frozen=True)
class Sizes:
    """The values of a tiny config, other than its widths."""

    tied: bool
    context: int = CONTEXT  # the longest text
    reach: int | None = 6  # every threshold on positions; None: the default of the config
    cap: float | None = None  # every threshold on activations; None: the default of the config
    scale: float = 1.0  # factors of the config are multiplied by this
    only: str | None = None  # the only threshold on positions that is set, so that no other hides it; None: all
    kind: str | None = None  # the only kind of layers; None: all kinds of the type, alternating
    rope: str | None = None  # a kind of RoPE that stretches positions beyond ORIGINAL

    ORIGINAL = 40  # the original context: longer than the probe's sequences, shorter than the texts


ROPES = ("yarn", "llama3", "longrope", "linear", "dynamic")


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
    # mixtures of experts
    **_all(4, "num_experts n_routed_experts num_local_experts moe_num_experts"),
    **_all(2, "num_experts_per_tok num_experts_per_token moe_topk moe_k"),
    **_all(16, "moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size shared_intermediate_size"),
    **_all(16, "moe_shared_expert_intermediate_size shared_experts_intermediate_size router_hidden_size"),
    **_all(1, "n_group topk_group num_expert_group first_k_dense_replace"),
    # latent attention and its indexers; with few heads many scores would be exactly 0, and the choice among them random
    **_all(8, "kv_lora_rank q_lora_rank qk_rope_head_dim qk_nope_head_dim index_head_dim"),
    **_all(16, "v_head_dim index_n_heads"),
    # linear attention and state spaces
    **_all(8, "linear_key_head_dim linear_value_head_dim linear_head_dim mamba_d_state state_size ssm_state_size"),
    **_all(8, "mamba_d_head mamba_head_dim mamba_n_heads mamba_num_heads"),
    **_all(2, "linear_num_key_heads"),
    **_all(4, "linear_num_value_heads linear_num_heads time_step_rank mamba_dt_rank"),
    **_all(1, "n_groups"),
    # periods of layers
    **_all(2, "loop_layer_index_start rescale_every n_layers_per_attn_res_block attn_layer_period layer_group_size"),
    **_all(1, "attn_layer_offset"),
    **_all(4, "loop_layer_index_end"),
}
CONTEXTS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length", "max_target_positions")
# Thresholds on positions: tokens further back are hidden, sometimes hidden, scaled, or pooled.
REACHES = (
    *("sliding_window", "sliding_window_size", "window_size", "attention_window_size", "local_attention"),
    *("local_attention_window_len", "attention_chunk_size", "keep_window_size", "index_topk"),
    *("index_block_size", "compressed_sparse_attention", "heavily_compressed_attention", "rel_extent", "clamp_len"),
    *("floor_scale", "log_scaling_n_floor"),  # from this position on, attention is scaled
)
# Numbers of positions computed at a time. Shorter than a text in all variants except those with the default.
CHUNKS = ("chunk_size", "mamba_chunk_size", "block_size")
# Thresholds on activations: caps and clamps.
CAPS = (
    *("final_logit_softcapping", "attn_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap", "gate_soft_cap"),
    *("swiglu_limit", "clip_qkv", "moe_router_logit_softcapping", "router_logit_softcapping", "mlp_gate_softcap"),
    *("mlp_up_softcap", "qk_l2_clip_threshold", "rel_l2_clip_threshold", "altup_coef_clip", "kda_lower_bound"),
)
FACTORS = re.compile(r"multiplier|scaling|_scale$|^scale_|alpha|beta|logit_scale|dim_model_base|query_pre_attn_scalar")
KINDS = ("layer_types", "mlp_layer_types", "layers_block_type", "indexer_types")
VOCABULARIES = ("vocab_size", "unpadded_vocab_size", "vocab_size_per_layer_input")
PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")
SYMBOLS = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")

# Further values that an architecture needs: sizes that must match, or names of its own.
_NO_VISION: dict[str, Any] = {"vision_config": None, "audio_config": None}
_DOTS3 = {
    **{"swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_head_dim": 16, "swa_qk_nope_head_dim": 8},
    **{"swa_v_head_dim": 8, "swa_q_lora_rank": 8, "swa_kv_lora_rank": 8, "swa_qk_rope_head_dim": 8},
}
_SHARED = {"num_hidden_layers": 6, "layer_types": ["sliding_attention", "full_attention"] * 3, "num_kv_shared_layers": 2}
_SLIDING = {"layer_types": ["sliding_attention", "full_attention"] * 2}  # for types without a window by default
_QWEN4 = {
    **{"hc_lowrank": 4, "indexer_n_heads": 16, "indexer_kv_heads": 1, "indexer_head_dim": 8},
    "indexer_compress_ratio": 4,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
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
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4},
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
    "dots1": {"n_shared_experts": 1} | _SLIDING,
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": _SHARED | {"activation_sparsity_pattern": [0.0] * 6},
    "gemma4": {**_NO_VISION, "text_config": _SHARED},
    "gemma4_text": _SHARED,
    "gemma4_unified": _NO_VISION,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "laguna": _SLIDING,
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "mamba2": {"num_heads": 8},
    "mellum": _SLIDING,
    "minimax_m3_vl_text": {
        "layer_types": ["minimax_m3_sparse", "full_attention"] * 2,
        "index_topk_blocks": 2,
        "index_n_heads": 2,
    },
    "mllama": {"text_config": {"cross_attention_layers": [1]}},
    **dict.fromkeys(("qwen2", "qwen2_moe", "qwen3"), _SLIDING | {"use_sliding_window": True}),
    "qwen3_moe": {"use_sliding_window": True},
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "reformer": {
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local"] * 4,
        "attention_head_size": 8,
        "feed_forward_size": 48,
        "local_attn_chunk_length": 8,
    },
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 24},
    "roc_bert": {"pronunciation_vocab_size": 50, "shape_vocab_size": 50, "pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    "smollm3": _SLIDING | {"use_sliding_window": True},
    "xlm": {"causal": True},
    "xlnet": {"d_inner": 48, "d_head": 8, "attn_type": "uni", "mem_len": None},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}


# Reasons that are clearer than the error messages.
NOT_BUILT = {
    "gemma3n": "its vision tower needs timm and pillow, which are not installed",
    "gemma4_assistant": "a drafter: it needs the states of the model that it drafts for",
    "musicgen": "its decoder of audio codes, no language model, is not what transformers makes of its config",
    "musicgen_melody": "its decoder of audio codes, no language model, is not what transformers makes of its config",
}


def small_config(model_type: str, vocab_size: int, symbols: dict[str, int], sizes: Sizes) -> Any:
    """A config of this type. Raises any error if its values do not match."""
    common = COMMON | dict.fromkeys(VOCABULARIES, vocab_size) | dict.fromkeys(CONTEXTS, sizes.context) | symbols
    common |= dict.fromkeys(PLACEHOLDERS, vocab_size - 1) | {"tie_word_embeddings": sizes.tied}
    if sizes.reach is not None:
        common |= dict.fromkeys([sizes.only] if sizes.only else REACHES, sizes.reach) | dict.fromkeys(CHUNKS, 8)
    if sizes.cap is not None:
        common |= dict.fromkeys(CAPS, sizes.cap) | {"kda_lower_bound": -sizes.cap, "time_step_limit": (0.0, sizes.cap)}
    special = SPECIAL.get(model_type, {})
    if model_type == "reformer":
        special = special | {"axial_pos_shape": [8, sizes.context // 8]}
    if model_type == "dbrx":  # it does not run without one
        special = special | {"attn_config": special["attn_config"] | {"clip_qkv": sizes.cap or 8.0}}
    common["indexer_budget"] = 4 * max(1, (sizes.reach or 128) // 4)  # whole blocks
    cls = CONFIG_MAPPING[model_type]
    return cls(**_values(cls, common, special, sizes))


def _values(cls: Any, common: dict[str, Any], special: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """The arguments for a config of this class: those of the common values that it has, and all of its kinds of layers."""
    try:
        known = vars(cls())
    except Exception:  # a class whose defaults do not match
        known = dict.fromkeys(cls.__annotations__)
    values = {name: value for name, value in common.items() if name in known or name in SYMBOLS}
    for name in KINDS:
        if isinstance(kinds := known.get(name), list | tuple):
            values[name] = list(islice(cycle(dict.fromkeys(kinds)), LAYERS))
    if "kv_lora_rank" in known or "compress_rates" in known:
        values["num_key_value_heads"] = HEADS  # latent attention has no groups
    if known.get("is_decoder") is False and not known.get("is_encoder_decoder"):
        values["is_decoder"] = True
    values |= _thresholds(known, common, sizes)
    for name, part in known.items():
        if isinstance(part, tf.PreTrainedConfig) and special.get(name, part) is not None:
            values[name] = _values(type(part), common, special.get(name, {}), sizes)
    values |= {
        name: value
        for name, value in special.items()
        if not (name in values and isinstance(value, dict) and isinstance(known.get(name), tf.PreTrainedConfig))
    }
    if "sliding_attention" in values.get("layer_types", ()) and not values.get("sliding_window", known.get("sliding_window")):
        values["sliding_window"] = 64
    if sizes.kind and "layer_types" in values:
        values["layer_types"] = [sizes.kind] * len(values["layer_types"])
    return values


def _thresholds(known: dict[str, Any], common: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """Factors, tables of thresholds, and RoPE, by `sizes`."""
    values: dict[str, Any] = {}
    if sizes.scale != 1.0:
        values = {
            name: _times(value, sizes.scale) for name, value in known.items() if FACTORS.search(name) and _is_factor(value)
        }
    if isinstance(rates := known.get("compress_rates"), dict):
        values["compress_rates"] = {kind: common.get(kind, rate) for kind, rate in rates.items()}
    if sizes.rope and isinstance(rope := known.get("rope_parameters"), dict):
        nested = any(isinstance(part, dict) for part in rope.values())
        parts = {kind: _stretched(part, sizes) for kind, part in rope.items() if isinstance(part, dict)}
        values["rope_parameters"] = parts if nested else _stretched(rope, sizes)
    return values


def _is_factor(value: Any) -> bool:
    several = value if isinstance(value, list | tuple) else [value]
    return bool(several) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in several)


def _times(value: Any, scale: float) -> Any:
    return [_times(x, scale) for x in value] if isinstance(value, list | tuple) else type(value)(value * scale)


def _stretched(rope: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """RoPE of a kind that depends on the original context of a model."""
    if rope.get("rope_type", "default") != "default":
        known = "original_max_position_embeddings"
        return rope | ({known: sizes.ORIGINAL} if known in rope else {})
    pairs = int(COMMON["head_dim"] * rope.get("partial_rotary_factor", 1.0)) // 2
    kinds: dict[str, dict[str, Any]] = {
        "linear": {},
        "dynamic": {},
        "yarn": {"beta_fast": 32.0, "beta_slow": 1.0},
        "llama3": {"low_freq_factor": 1.0, "high_freq_factor": 4.0},
        "longrope": {"short_factor": [1.0] * pairs, "long_factor": [1.0 + k for k in range(pairs)]}
        | {"short_mscale": 1.0, "long_mscale": 1.1},  # Phi-MoE's
    }
    kept = {name: value for name, value in rope.items() if name in ("rope_theta", "partial_rotary_factor", "mrope_section")}
    stretched = {"rope_type": sizes.rope, "factor": sizes.context / sizes.ORIGINAL}
    return kept | stretched | {"original_max_position_embeddings": sizes.ORIGINAL} | kinds[str(sizes.rope)]


def thresholds(config: Any, names: tuple[str, ...] = (*REACHES, *CAPS, *CHUNKS)) -> list[str]:
    """The names of the thresholds that are set in a config and its parts."""
    present: dict[str, None] = {}
    for name, value in vars(config).items():
        if isinstance(value, tf.PreTrainedConfig):
            present |= dict.fromkeys(thresholds(value, names))
        elif isinstance(value, dict):
            present |= dict.fromkeys(key for key in value if key in names)
        elif name in names and value is not None:
            present[name] = None
    return list(present)


def kinds(model_type: str) -> list[str]:
    """The kinds of layers of a type; empty if it has only one."""
    try:
        config = small_config(model_type, 99, {}, Sizes(True))
    except Exception:
        return []
    types = getattr(getattr(config, "text_config", config), "layer_types", None) or []
    return list(dict.fromkeys(types)) if len(set(types)) > 1 else []


def reaches(model_type: str) -> list[str]:
    """The thresholds on positions of a type; empty if it has only one."""
    try:
        names = thresholds(CONFIG_MAPPING[model_type](), REACHES)
    except Exception:  # a class whose defaults do not match
        return []
    return names if len(names) > 1 else []
