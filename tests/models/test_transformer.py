"""A network, and its copies, which share its weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers as tf
from model_zoo import CONFIGS, START, V, tiny, untouched
from oracle import conditionals
from torch import nn

from chainrule import ModelError
from chainrule.models import transformer
from chainrule.models.identity import Identity
from chainrule.models.transformer import Network, sharing_weights

IDS = [0, 7, 30, 2]


@pytest.fixture
def own() -> Any:
    return untouched(CONFIGS["llama"]())


def test_its_attributes(own: Any):
    model = Network(own, "small")
    assert (model.title, model.embeddings, model.width, model.max_rows) == ("small (LlamaForCausalLM)", V, 32, 128)
    assert (model.bos_id, model.eos_id, model.pad_id, model.dtype) == (START, 1, None, torch.float32)
    assert model.head.size == V


def test_the_reference_is_its_own_forward(own: Any):
    logprobs = Network(own, "small").own_logits(torch.tensor(IDS)).double().log_softmax(-1).numpy()
    assert (logprobs == conditionals(own, IDS)).all()


@torch.inference_mode()
def test_its_own_head_reads_hidden_states(own: Any):
    model = Network(own, "small")
    hidden = model.hidden(torch.tensor([IDS]))[0]
    logprobs = model.own_head_logits(hidden).double().log_softmax(-1).numpy()
    assert abs(logprobs - conditionals(own, IDS)).max() < 2e-5


def test_a_copy_shares_weights_but_not_small_buffers(own: Any, monkeypatch: pytest.MonkeyPatch):
    own.register_buffer("few", torch.zeros(5))
    own.register_buffer("many", torch.zeros(50))
    monkeypatch.setattr(transformer, "LARGE", 10)
    copied = sharing_weights(own)
    assert all(a is b for a, b in zip(own.parameters(), copied.parameters(), strict=True))
    assert copied.many is own.many
    assert copied.few is not own.few
    copied.few += 1
    copied.config.vocab_size = 3
    assert (own.few.sum(), own.config.vocab_size) == (0, V)


def test_only_narrower_weights_are_widened(own: Any):
    own.model.norm.double()
    own.lm_head.bfloat16()
    copied = sharing_weights(own, dtype=torch.float32)
    assert copied.lm_head.weight.dtype == torch.float32
    assert torch.equal(copied.lm_head.weight, own.lm_head.weight.float())
    assert copied.model.norm.weight is own.model.norm.weight
    assert copied.model.embed_tokens.weight is own.model.embed_tokens.weight


def test_a_network_that_cannot_be_copied_is_reported(own: Any):
    own.lock = type("Held", (), {"__deepcopy__": lambda *_: 1 / 0})()
    with pytest.raises(ModelError, match=r"small \(LlamaForCausalLM\) cannot be copied: ZeroDivisionError"):
        sharing_weights(own, "small")


def test_a_trial_frees_its_widened_weights(own: Any):
    model = Network(own.bfloat16(), "small")
    with model.temporary_trial() as trial:
        parameters = list(trial.lm.parameters())
        assert {p.dtype for p in parameters} == {torch.float32}
    assert {p.numel() for p in parameters} == {0}
    assert {p.dtype for p in own.parameters()} == {torch.bfloat16}
    assert conditionals(own, IDS).shape == (4, V)
    same = Network(untouched(CONFIGS["llama"]()), "small")
    with same.temporary_trial():  # all weights are shared, so none are freed
        pass
    assert all(p.numel() for p in same.lm.parameters())


def test_weights_changed_by_a_forward_are_an_error(own: Any):
    model = Network(own, "small")
    model.own_logits(torch.tensor(IDS))

    def changing(*_: Any, **__: Any) -> Any:
        with torch.no_grad():
            next(own.parameters()).mul_(1.0)
        return (torch.zeros(1, 4, 32),)

    with pytest.raises(ModelError, match="were changed while it ran"):
        model._run_checked(changing, torch.tensor([IDS]))


def test_errors_of_the_networks_own_code_name_the_model(own: Any):
    model = Network(own, "small")

    def failing() -> Any:
        raise KeyError("no such layer")

    with pytest.raises(ModelError, match=r"small \(LlamaForCausalLM\) does not run on 1 × 4 tokens: KeyError"):
        model._run_checked(failing, torch.tensor([IDS]))

    def out_of_memory() -> Any:
        raise MemoryError

    with pytest.raises(MemoryError):
        model._run_checked(out_of_memory, torch.tensor([IDS]))


def test_a_copied_model_creates_its_own_runner(own: Any):
    model = Network(own, "small")
    model.dtype_reason, model.identity = "because", Identity("small", "float32", "Small", known_revision="r1")
    copied = copy.deepcopy(model)
    assert copied.runner is not model.runner
    assert (copied.name, copied.dtype_reason, copied.identity) == ("small", "because", model.identity)
    assert torch.equal(copied.own_logits(torch.tensor(IDS)), model.own_logits(torch.tensor(IDS)))


def test_a_network_without_a_trunk_is_refused():
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = tf.LlamaConfig()
            self.base_model_prefix = ""

        @property
        def base_model(self) -> Whole:
            return self

        def get_input_embeddings(self) -> None:
            return None

    with pytest.raises(ModelError, match=r"whole \(Whole\) has no separate trunk and head"):
        Network(Whole(), "whole")


def test_too_few_positions_for_any_context_are_refused():
    own = untouched(CONFIGS["llama"]())
    own.config.max_position_embeddings = 64
    assert Network(own, "small").max_rows == 64
    assert tiny("gpt2").lm.model.max_rows == 128
    roberta = tf.RobertaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                               max_position_embeddings=2, pad_token_id=1, is_decoder=True)  # fmt: skip
    with pytest.raises(ModelError, match="allows contexts of 0 embeddings: none is possible"):
        Network(tf.AutoModelForCausalLM.from_config(roberta), "short")
