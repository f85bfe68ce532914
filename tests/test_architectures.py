"""A dozen of the architectures of the zoo, each for something of its own; and is what is wrong found to be wrong?"""

import re
from pathlib import Path
from typing import Any

import pytest
from architectures import FAMILIES, SCORED, TOLERANCE, TYPES, Variant, examine

from chainrule.engine import probe
from chainrule.models.head import LinearHead
from chainrule.models.pretrained import PretrainedModel

TABLE = Path(__file__).resolve().parent.parent / "docs" / "architectures.md"
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


@pytest.mark.parametrize("model_type", DOZEN)
def test_architectures_are_scored_exactly(model_type: str):
    found = examine(model_type)
    assert found.outcome == DOZEN[model_type], found.reason
    assert found.error <= TOLERANCE
    assert found.factors > 800


def test_every_family_of_tokenizers_has_its_turn():
    used = [variant.family for model_type in TYPES for variant in Variant.all_of(model_type)]
    assert min(used.count(family) for family in FAMILIES) > len(TYPES) // 4


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that takes whatever comes first."""
    monkeypatch.setattr(probe, "TOLERANCE", 1e9)


@pytest.mark.usefixtures("trusting")
def test_a_wrong_head_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LinearHead, "of", classmethod(lambda cls, linear, config: cls(linear, 1.001)))
    found = examine("llama")
    assert (found.outcome, found.error > TOLERANCE) == ("wrong", True)


@pytest.mark.usefixtures("trusting")
def test_a_wrong_position_is_found(monkeypatch: pytest.MonkeyPatch):
    hidden = PretrainedModel.hidden

    def shifted(self: PretrainedModel, embeddings: Any, **layout: Any) -> Any:
        return hidden(self, embeddings, **layout | {"position_ids": layout["position_ids"] + 1})

    monkeypatch.setattr(PretrainedModel, "hidden", shifted)
    found = examine("gpt2")
    assert (found.outcome, found.error > TOLERANCE) == ("wrong", True)


def test_the_table_lists_every_type():
    text = TABLE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) \| ([^|]+) \|", text, re.MULTILINE)
    outcomes = {model_type: outcome for model_type, _, outcome in rows if model_type in TYPES}
    assert outcomes.keys() == set(TYPES)
    assert not [model_type for model_type, outcome in outcomes.items() if outcome == "wrong"]
    assert {model_type: outcomes[model_type] for model_type in DOZEN} == DOZEN
    assert sum(outcome in SCORED for outcome in outcomes.values()) >= 180
