"""Some architectures of the zoo, each with a special feature, and checks that the zoo detects wrong results."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers as tf
from architecture_configs import CAPS, CHUNKS, REACHES, Sizes
from architectures import FAMILIES, SCORED, TOLERANCE, TYPES, Trial, Variant, attempt, examine
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from chainrule.engine.selfcheck import probe, reference
from chainrule.models.causal import PretrainedModel
from chainrule.models.head import LinearHead

TABLE = Path(__file__).resolve().parents[2] / "docs" / "architectures.md"
EXAMPLES = {
    "gemma2": "forest",  # softcaps, sliding windows
    "cohere2": "forest",  # scaled logits
    "gpt_oss": "forest",  # attention sinks, experts
    "deepseek_v3": "forest",  # latent attention
    "diffllama": "forest",  # two attentions in a layer
    "hrm_text": "forest",  # repeated runs of its layers
    "roberta": "forest",  # a nonlinear head, positions that begin after the padding
    "gemma3n_text": "forest",  # a token table for every layer, so the input is ids
    "bart": "forest",  # its own count of positions
    "llama4_text": "batch",  # attention in chunks
    "bloom": "batch",  # ALiBi
    "minimax_m3_vl_text": "batch",  # sparse blocks
    "deepseek_v4": "batch",  # routes experts by token ids
    "mamba": "batch",  # a state space
    "jamba": "batch",  # state spaces and attention
    "xlnet": "single",  # padding disturbs it
}
# Features that have no effect on a few short sequences.
UNSEEN = {
    ("recurrent_gemma", "weak"): "a cap on logits with little effect",
    ("jamba", "weak"): "state spaces with little effect on factors",
    ("lfm2", "weak"): "convolutions with little effect on factors",
    ("llama4_text", "floor_scale"): "attention scaled by the row of a call, from a row on that no probe reaches",
    ("deepseek_v4", "heavily_compressed_attention layers"): "keys for blocks of positions longer than the probe's sequences",
    ("deepseek_v4", "outliers"): "a clamp that only a few tokens reach",
    ("xlm", "symbols"): "padding symbols in a text",
    ("roberta", "symbols"): "positions that skip padding symbols",
}
SIZED = re.compile(r"window|chunk|floor|clip|soft_?cap|clamp|limit|topk|threshold|extent|original|budget|block_size")
# Names like those of thresholds that the zoo treats otherwise, or that have no effect on scores.
OTHER = (
    "original_max_position_embeddings "  # of RoPE: set to Sizes.ORIGINAL
    "indexer_budget time_step_limit "  # set in small_config
    "local_attn_chunk_length index_topk_blocks patching_threshold "  # below the texts of every trial
    "max_window_layers sliding_window_pattern prefix_dense_sliding_window_pattern "  # which layers have windows
    "chunk_size_feed_forward chunk_size_lm_head max_inference_chunksize "  # only for memory
    "lsh_attn_chunk_length lsh_num_chunks_after lsh_num_chunks_before "  # not causal, so refused
    "local_num_chunks_before local_num_chunks_after "
    "moe_topk topk_group "  # experts of each row
    "time_step_floor linear_dt_init_floor audio_chunk_size "  # of training or sound
)


def trial(model_type: str, name: str) -> Trial:
    return attempt(model_type, next(variant for variant in Variant.all_of(model_type) if variant.name == name))


@pytest.mark.parametrize("model_type", EXAMPLES)
def test_architectures_are_scored_exactly(model_type: str):
    outcome = examine(model_type, Variant.all_of(model_type)[:2])
    assert outcome.outcome == EXAMPLES[model_type], outcome.reason
    assert outcome.error <= TOLERANCE
    assert outcome.factors > 800


@pytest.mark.parametrize(("model_type", "name"), UNSEEN, ids=map(" ".join, UNSEEN))
def test_features_without_effect_in_the_probe_are_scored_exactly_or_refused(model_type: str, name: str):
    result = trial(model_type, name)
    message = f"{result.path}, {result.error:.1e} of {result.spread:.1e}: {result.reason}"
    assert result.outcome in (*SCORED, "refused"), message


def test_for_large_models_a_long_text_is_tried_with_the_first_layers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "WORK", 0)  # every model counts as large
    result = trial("deepseek_v4", "heavily_compressed_attention layers")
    assert result.outcome in SCORED, result.reason
    monkeypatch.setattr(PretrainedModel, "shallow", lambda self: None)  # then the whole network runs
    assert trial("deepseek_v4", "heavily_compressed_attention layers").outcome in SCORED
    monkeypatch.setattr(reference.Standard, "long", None)
    assert trial("deepseek_v4", "heavily_compressed_attention layers").outcome == "refused"  # at so many tokens


def test_every_family_of_tokenizers_is_used():
    used = [variant.family for model_type in TYPES for variant in Variant.all_of(model_type)]
    assert min(used.count(family) for family in FAMILIES) > len(TYPES) // 4


def test_every_number_that_looks_like_a_threshold_is_known():
    known = {*REACHES, *CAPS, *CHUNKS, *OTHER.split()}
    names_of = {model_type: numbers(model_type) for model_type in TYPES}
    assert sum(not names for names in names_of.values()) <= 3  # nearly all configs can be read
    thresholds = {name for names in names_of.values() for name in names if SIZED.search(name)}
    assert len(thresholds) > 40
    assert not thresholds - known


def numbers(model_type: str) -> set[str]:
    """The names of all numbers that a config of this type can have, without those for images and sounds."""
    try:
        return set(_numbers(CONFIG_MAPPING[model_type]()))
    except Exception:  # a class with inconsistent defaults
        return set()


def _numbers(config: Any) -> list[str]:
    names = []
    for name, value in vars(config).items():
        if name.startswith("_"):
            continue
        if isinstance(value, tf.PreTrainedConfig) and not re.search("vision|audio|vq", name):
            names += _numbers(value)
        elif isinstance(value, dict):
            names += [key for key, number in value.items() if isinstance(number, int | float)]
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            names.append(name)
    return names


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that accepts the first strategy, whatever its error."""
    monkeypatch.setattr(reference, "tolerance", lambda *_: 1e9)
    monkeypatch.setattr(probe, "same_logits", lambda *_: True)


def scaled(linear: Any, config: Any) -> LinearHead:
    return LinearHead(linear, 1.001)


def capless(linear: Any, config: Any) -> LinearHead:
    return LinearHead(linear)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("model_type", "name", "wrong"), [("llama", "low", scaled), ("llama", "weak", scaled), ("gemma2", "fair", capless)]
)
def test_a_wrong_head_is_detected(
    model_type: str, name: str, wrong: Callable[..., LinearHead], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(LinearHead, "of", staticmethod(wrong))
    assert trial(model_type, name).outcome == "wrong"


@pytest.mark.usefixtures("trusting")
def test_a_wrong_position_is_detected(monkeypatch: pytest.MonkeyPatch):
    hidden = PretrainedModel.hidden

    def shifted(self: PretrainedModel, embeddings: Any, **layout: Any) -> Any:
        return hidden(self, embeddings, **layout | {"position_ids": layout["position_ids"] + 1})

    monkeypatch.setattr(PretrainedModel, "hidden", shifted)
    result = trial("gpt2", "low")
    assert (result.outcome, result.error > TOLERANCE) == ("wrong", True)


@pytest.mark.usefixtures("trusting")
def test_a_missing_window_is_detected_even_with_weak_weights(monkeypatch: pytest.MonkeyPatch):
    variant = Variant("weak", "WordPiece", "weak", Sizes(True, 320, reach=30), near=30)
    assert attempt("mistral", variant).outcome == "forest"
    own = PretrainedModel.__init__

    def windowless(self: PretrainedModel, lm: Any, name: str, run_config: Any = None) -> None:
        own(self, lm, name, run_config)
        lm.config.sliding_window = None

    monkeypatch.setattr(PretrainedModel, "__init__", windowless)
    assert attempt("mistral", variant).outcome == "wrong"


def test_the_table_lists_every_type():
    text = TABLE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) \| ([^|]+) \|", text, re.MULTILINE)
    outcomes = {model_type: outcome for model_type, _, outcome in rows if model_type in TYPES}
    assert outcomes.keys() == set(TYPES)
    assert not [model_type for model_type, outcome in outcomes.items() if outcome == "wrong"]
    assert {model_type: outcomes[model_type] for model_type in EXAMPLES} == EXAMPLES
    assert sum(outcome in SCORED for outcome in outcomes.values()) >= 180
