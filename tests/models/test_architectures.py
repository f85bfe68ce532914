"""A dozen of the architectures of the zoo, each for something of its own; and is what is wrong found to be wrong?"""

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
DOZEN = {
    "gemma2": "forest",  # softcaps, sliding windows
    "cohere2": "forest",  # logits that are scaled
    "gpt_oss": "forest",  # attention sinks, experts
    "deepseek_v3": "forest",  # latent attention
    "diffllama": "forest",  # attends twice a layer
    "hrm_text": "forest",  # runs its layers again and again
    "roberta": "forest",  # a head that is no linear map, positions that begin behind the padding
    "gemma3n_text": "forest",  # looks tokens up in a table for every layer: fed with ids
    "bart": "forest",  # positions that it counts for itself
    "llama4_text": "batch",  # attention in chunks
    "bloom": "batch",  # ALiBi
    "minimax_m3_vl_text": "batch",  # sparse blocks
    "deepseek_v4": "batch",  # routes experts by token ids
    "mamba": "batch",  # a state space
    "jamba": "batch",  # state spaces and attention
    "xlnet": "single",  # padding disturbs it
}
# What a probe of a few short sequences cannot see for itself.
UNSEEN = {
    ("recurrent_gemma", "weak"): "a cap on logits that hardly bends them",
    ("jamba", "weak"): "state spaces that hardly move a factor",
    ("lfm2", "weak"): "convolutions that hardly move a factor",
    ("llama4_text", "floor_scale"): "attention that is scaled by the row of a call, from a row on that no probe has",
    ("deepseek_v4", "heavily_compressed_attention layers"): "keys for blocks of places longer than the probe's sequences",
    ("deepseek_v4", "outliers"): "a clamp that only a few tokens come up to",
    ("xlm", "symbols"): "padding symbols in a text",
    ("roberta", "symbols"): "positions that pass over padding symbols",
}
SIZED = re.compile(r"window|chunk|floor|clip|soft_?cap|clamp|limit|topk|threshold|extent|original|budget|block_size")
# Names like those of thresholds that the zoo has another way with, or that bend nothing when a text is scored.
OTHER = (
    "original_max_position_embeddings "  # of RoPE: set to Sizes.ORIGINAL
    "indexer_budget time_step_limit "  # set in small_config
    "local_attn_chunk_length index_topk_blocks patching_threshold "  # below the texts of every trial
    "max_window_layers sliding_window_pattern prefix_dense_sliding_window_pattern "  # say which layers have windows
    "chunk_size_feed_forward chunk_size_lm_head max_inference_chunksize "  # a matter of memory
    "lsh_attn_chunk_length lsh_num_chunks_after lsh_num_chunks_before "  # not causal, and refused
    "local_num_chunks_before local_num_chunks_after "
    "moe_topk topk_group "  # experts, of each row by itself
    "time_step_floor linear_dt_init_floor audio_chunk_size "  # of training, of sound
)


def trial(model_type: str, name: str) -> Trial:
    return attempt(model_type, next(variant for variant in Variant.all_of(model_type) if variant.name == name))


@pytest.mark.parametrize("model_type", DOZEN)
def test_architectures_are_scored_exactly(model_type: str):
    found = examine(model_type, Variant.all_of(model_type)[:2])
    assert found.outcome == DOZEN[model_type], found.reason
    assert found.error <= TOLERANCE
    assert found.factors > 800


@pytest.mark.parametrize(("model_type", "name"), UNSEEN, ids=map(" ".join, UNSEEN))
def test_what_the_probe_does_not_come_upon_is_scored_exactly_or_refused(model_type: str, name: str):
    found = trial(model_type, name)
    assert found.outcome in (*SCORED, "refused"), f"{found.path}, {found.error:.1e} of {found.spread:.1e}: {found.reason}"


def test_large_models_are_tried_on_a_long_text_by_their_first_layers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "WORK", 0)  # every model is
    found = trial("deepseek_v4", "heavily_compressed_attention layers")
    assert found.outcome in SCORED, found.reason
    monkeypatch.setattr(PretrainedModel, "shallow", lambda self: None)  # then the whole network runs
    assert trial("deepseek_v4", "heavily_compressed_attention layers").outcome in SCORED
    monkeypatch.setattr(reference.Standard, "long", None)
    assert trial("deepseek_v4", "heavily_compressed_attention layers").outcome == "refused"  # at so many tokens


def test_every_family_of_tokenizers_has_its_turn():
    used = [variant.family for model_type in TYPES for variant in Variant.all_of(model_type)]
    assert min(used.count(family) for family in FAMILIES) > len(TYPES) // 4


def test_every_number_that_looks_like_a_threshold_is_known():
    known = {*REACHES, *CAPS, *CHUNKS, *OTHER.split()}
    named = {model_type: numbers(model_type) for model_type in TYPES}
    assert sum(not found for found in named.values()) <= 3  # most configs can be read at all
    found = {name for names in named.values() for name in names if SIZED.search(name)}
    assert len(found) > 40
    assert not found - known


def numbers(model_type: str) -> set[str]:
    """The names of all numbers that a config of this type can have, those for images and sounds left out."""
    try:
        return set(_numbers(CONFIG_MAPPING[model_type]()))
    except Exception:  # a class whose defaults do not fit together
        return set()


def _numbers(config: Any) -> list[str]:
    found = []
    for name, value in vars(config).items():
        if name.startswith("_"):
            continue
        if isinstance(value, tf.PreTrainedConfig) and not re.search("vision|audio|vq", name):
            found += _numbers(value)
        elif isinstance(value, dict):
            found += [key for key, number in value.items() if isinstance(number, int | float)]
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            found.append(name)
    return found


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that takes whatever comes first."""
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
def test_a_wrong_head_is_found(model_type: str, name: str, wrong: Callable[..., LinearHead], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LinearHead, "of", staticmethod(wrong))
    assert trial(model_type, name).outcome == "wrong"


@pytest.mark.usefixtures("trusting")
def test_a_wrong_position_is_found(monkeypatch: pytest.MonkeyPatch):
    hidden = PretrainedModel.hidden

    def shifted(self: PretrainedModel, embeddings: Any, **layout: Any) -> Any:
        return hidden(self, embeddings, **layout | {"position_ids": layout["position_ids"] + 1})

    monkeypatch.setattr(PretrainedModel, "hidden", shifted)
    found = trial("gpt2", "low")
    assert (found.outcome, found.error > TOLERANCE) == ("wrong", True)


@pytest.mark.usefixtures("trusting")
def test_a_window_that_is_left_out_is_found_however_weak_the_weights(monkeypatch: pytest.MonkeyPatch):
    variant = Variant("weak", "WordPiece", "weak", Sizes(True, 320, reach=30), near=30)
    assert attempt("mistral", variant).outcome == "forest"
    own = PretrainedModel.__init__

    def windowless(self: PretrainedModel, lm: Any, name: str, way: Any = None) -> None:
        own(self, lm, name, way)
        lm.config.sliding_window = None

    monkeypatch.setattr(PretrainedModel, "__init__", windowless)
    assert attempt("mistral", variant).outcome == "wrong"


def test_the_table_lists_every_type():
    text = TABLE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) \| ([^|]+) \|", text, re.MULTILINE)
    outcomes = {model_type: outcome for model_type, _, outcome in rows if model_type in TYPES}
    assert outcomes.keys() == set(TYPES)
    assert not [model_type for model_type, outcome in outcomes.items() if outcome == "wrong"]
    assert {model_type: outcomes[model_type] for model_type in DOZEN} == DOZEN
    assert sum(outcome in SCORED for outcome in outcomes.values()) >= 180
