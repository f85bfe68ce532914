"""The strategies chosen by the probe, and its refusals: a strategy with wrong results must never be chosen."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from model_zoo import CONFIGS, FOREST, START, V, tiny, untouched, wrap
from oracle import factors
from transformers import AttentionInterface

from chainrule import ModelError
from chainrule.engine import engine
from chainrule.engine.attention import kv_cache, layout
from chainrule.engine.selfcheck import probe
from chainrule.engine.selfcheck.probe import choose
from chainrule.models.causal import PretrainedModel
from chainrule.models.head import LinearHead, OwnHead

FLOAT32 = 2e-5
TEXT = np.random.default_rng(4).integers(1, V, 60).tolist()


def agrees(own: Any, lm: Any) -> bool:
    return bool(np.abs(lm.score(TEXT).logprobs - factors(own, [START, *TEXT])).max() < FLOAT32)


@pytest.fixture
def llama() -> Any:
    return untouched(FOREST["llama"]())


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that replaces the forest's attention by another function."""
    yield lambda function: AttentionInterface.register(layout.NAME, function)
    AttentionInterface.register(layout.NAME, layout.forest_attention)


def everyone_sees_everything(module: Any, query: Any, key: Any, value: Any, mask: Any, *, scaling: float, **_: Any):
    repeat = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling)
    return attended.transpose(1, 2), None


def test_an_attention_that_ignores_the_mask_is_rejected(llama: Any, replaced: Any):
    replaced(everyone_sees_everything)
    lm = wrap(llama)
    assert lm.engine.strategy == "batch"
    assert "forest: off by" in lm.engine.reason
    assert agrees(llama, lm)


def test_a_forest_that_forgets_the_path_between_chunks_is_rejected(llama: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kv_cache.KVCache, "keep_path", lambda self, chunk: None)
    assert wrap(llama).engine.strategy == "batch"


def test_positions_in_the_chunk_instead_of_the_path_are_rejected(llama: Any, monkeypatch: pytest.MonkeyPatch):
    hidden = PretrainedModel.hidden

    def counted(self: Any, embeddings: Any, **layout: Any) -> Any:
        if "position_ids" in layout:
            layout["position_ids"] = torch.arange(embeddings.shape[1])[None]
        return hidden(self, embeddings, **layout)

    monkeypatch.setattr(PretrainedModel, "hidden", counted)
    assert wrap(llama).engine.strategy == "batch"


def test_a_strategy_that_fails_is_rejected_with_the_reason(llama: Any, replaced: Any):
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such kernel\nand more")

    replaced(broken)
    lm = wrap(llama)
    assert (lm.engine.strategy, lm.engine.reason) == ("batch", "forest: RuntimeError: no such kernel")


def test_a_window_not_passed_to_the_attention_is_detected(replaced: Any):
    """In Phi-3.5-MoE the sliding window is only in the mask, and 40 positions are more than the probe's sequences have."""
    config = tf.PhimoeConfig(
        vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        num_local_experts=4, max_position_embeddings=128, sliding_window=40, bos_token_id=START,
    )  # fmt: skip
    own = untouched(config)
    lm = wrap(own)
    assert lm.engine.strategy == "batch"
    assert "beyond its sliding window" in lm.engine.reason
    assert agrees(own, lm)
    assert lm.model.lm.config.sliding_window == own.config.sliding_window == 40


@pytest.mark.parametrize("window", [5, 40])
def test_a_window_passed_to_the_attention_is_accepted(window: int):
    config = FOREST["mistral"]()
    config.sliding_window = window
    own = untouched(config)
    lm = wrap(own)
    assert lm.engine.strategy == "forest"
    assert agrees(own, lm)
    assert lm.model.lm.config.sliding_window == window


def test_if_padding_has_an_effect_sequences_run_one_at_a_time(llama: Any, replaced: Any, monkeypatch: pytest.MonkeyPatch):
    replaced(everyone_sees_everything)
    hidden = PretrainedModel.hidden

    def disturbed(self: Any, embeddings: Any, attention_mask: Any = None, **layout: Any) -> Any:
        return hidden(self, embeddings, **layout) + (attention_mask is not None)

    monkeypatch.setattr(PretrainedModel, "hidden", disturbed)
    lm = wrap(llama)
    assert lm.engine.strategy == "single"
    assert agrees(llama, lm)


def test_a_model_that_agrees_with_no_strategy_is_refused(llama: Any, monkeypatch: pytest.MonkeyPatch):
    hidden = PretrainedModel.hidden
    monkeypatch.setattr(PretrainedModel, "hidden", lambda self, e, **layout: hidden(self, e, **layout).roll(1, 0).flip(-1))
    with pytest.raises(ModelError, match=r"tiny \(LlamaForCausalLM\) cannot be scored exactly.*forest: off by.*single: off by"):
        wrap(llama)


def test_a_model_that_sees_later_tokens_is_refused():
    config = CONFIGS["bert_decoder"]()
    config.is_decoder = False
    with pytest.raises(ModelError, match=r"tiny \(BertLMHeadModel\) is not causal.*no conditional probabilities"):
        wrap(untouched(config))


def test_a_model_that_changes_itself_is_refused():
    """A short text makes BigBird switch its sparse attention off permanently. On a long text it would not be causal."""
    config = tf.BigBirdConfig(vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                              max_position_embeddings=64, is_decoder=True, bos_token_id=START)  # fmt: skip
    with pytest.raises(ModelError, match="changes itself as it runs \\(attention_type from 'block_sparse' to 'original_full'"):
        wrap(untouched(config))
    config.attention_type = "original_full"
    own = untouched(config)
    assert agrees(own, wrap(own))


def test_a_model_that_rescales_its_weights_in_its_first_run_gets_separate_weights():
    """RWKV does. Each of its copies would rescale the shared weights again."""
    config = tf.RwkvConfig(vocab_size=V, hidden_size=32, attention_hidden_size=32, num_hidden_layers=4, context_length=64,
                           rescale_every=1, bos_token_id=START)  # fmt: skip
    own = untouched(config)
    before = copy.deepcopy(own.state_dict())
    lms = [wrap(own), wrap(own)]
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())
    assert all(agrees(own, lm) for lm in lms)  # the oracle runs it, which rescales the weights
    assert all(agrees(own, lm) for lm in lms)
    assert not any(p.is_inference() for p in lms[0].model.lm.parameters())


class Learning(tf.LlamaForCausalLM):
    """Changes its weights in each run."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.lm_head.weight.mul_(1.01)
        return super().forward(*args, **kwargs)


def test_a_model_that_changes_its_weights_in_each_run_is_refused():
    own = Learning(FOREST["llama"]()).eval()
    before = own.lm_head.weight.detach().clone()
    with torch.no_grad(), pytest.raises(ModelError, match=r"cannot be scored: its forward changes its own weights \(mul_\)"):
        choose(PretrainedModel(own, "tiny"))
    assert torch.equal(own.lm_head.weight, before)


WRITES = {
    "view": lambda weight: weight.view(-1).mul_(1.01),
    "data": lambda weight: weight.data.mul_(1.01),
    "set": lambda weight: setattr(weight, "data", weight.data * 1.01),
    "out": lambda weight: torch.mul(weight, 1.01, out=weight),
    "foreach": lambda weight: torch._foreach_mul_([weight], 1.01),
    "renormalised": lambda weight: torch.nn.functional.embedding(torch.arange(5), weight, max_norm=0.1),
}


@pytest.mark.parametrize("name", WRITES)
def test_each_kind_of_write_to_weights_is_refused(name: str):
    class Writing(tf.LlamaForCausalLM):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            WRITES[name](self.lm_head.weight)
            return super().forward(*args, **kwargs)

    own = Writing(FOREST["llama"]()).eval()
    before = own.lm_head.weight.detach().clone()
    with torch.no_grad(), pytest.raises(ModelError, match="cannot be scored: its forward changes its own weights"):
        choose(PretrainedModel(own, "tiny"))
    assert torch.equal(own.lm_head.weight, before)


def test_weights_that_change_during_scoring_are_an_error(llama: Any):
    class Wearing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            lm.engine.model.lm.model.norm.weight.mul_(0.99)
            return x

    lm = wrap(llama)
    trunk = lm.engine.model.trunk
    trunk.norm = torch.nn.Sequential(trunk.norm, Wearing())
    with torch.no_grad(), pytest.raises(ModelError, match="were changed while it ran"):
        lm.score(TEXT)


def test_a_network_that_fails_on_a_text_is_reported(llama: Any):
    class Short(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(-1, 20, x.shape[-1]) if x.shape[1] > 25 else x

    lm = wrap(llama)
    trunk = lm.engine.model.trunk
    trunk.norm = torch.nn.Sequential(trunk.norm, Short())
    with pytest.raises(ModelError, match=r"tiny \(LlamaForCausalLM\) does not run on .* tokens: RuntimeError: shape"):
        lm.score([*TEXT[:60], 3])


def test_a_model_with_nan_results_is_refused_with_that_reason(llama: Any):
    with torch.no_grad():
        llama.model.layers[0].mlp.down_proj.weight[:] = torch.inf
    with pytest.raises(ModelError, match=r"tiny \(LlamaForCausalLM\) gives NaN in its own forward"):
        wrap(llama)


def test_a_model_that_requires_more_than_token_ids_is_refused_with_that_reason(llama: Any, monkeypatch: pytest.MonkeyPatch):
    def requires_more(self: Any, ids: Any) -> Any:
        raise ValueError("`pixel_values` must be given")

    monkeypatch.setattr(PretrainedModel, "own_logits", requires_more)
    with pytest.raises(ModelError, match=r"does not run on token ids alone: ValueError: `pixel_values` must be given"):
        wrap(llama)


def test_a_scale_that_is_only_in_the_config_selects_the_models_own_head(llama: Any):
    """Llama ignores a logit scale in its config. The linear head applies it, and the probe rejects the linear head."""
    llama.config.logit_scale = 3.0
    lm = wrap(llama)
    assert lm.model.run_config.own_head
    assert isinstance(lm.model.head, OwnHead)
    assert lm.engine.strategy == "forest"
    assert agrees(llama, lm)


@pytest.mark.parametrize("name", ["llama", "gemma2", "granite"])
def test_a_head_that_can_be_fused_is(name: str):
    model = tiny(name).lm.model
    assert isinstance(model.head, LinearHead)


@pytest.mark.parametrize("longest", [2, 3, 8, 22])
def test_a_model_with_a_very_short_context(longest: int):
    config = FOREST["gpt2"]()
    config.n_positions = longest
    own = untouched(config)
    lm = wrap(own)
    assert lm.engine.strategy == "forest"
    ids = TEXT[:longest]
    assert np.abs(lm.score(ids).logprobs - factors(own, [START, *ids])).max() < FLOAT32


@pytest.mark.parametrize("name", ["llama", "mamba"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_weights_are_unchanged(name: str, dtype: str):
    own = untouched(CONFIGS[name](), dtype)
    model = wrap(own).model
    for (_, before), (key, after) in zip(own.state_dict().items(), model.lm.state_dict().items(), strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(before, after), key


def test_only_the_forest_strategy_replaces_the_attention():
    for name in ("llama", "bloom"):
        own, model = tiny(name).own.config._attn_implementation, tiny(name).lm.model
        assert model.lm.config._attn_implementation == model.reference.config._attn_implementation == own
        assert model.runner.config._attn_implementation == (layout.NAME if name == "llama" else own)


def test_the_tolerance_separates_right_from_wrong():
    """Tiny models agree to 1e-5, and a forest without its mask is off by nats."""
    assert FLOAT32 < probe.TOLERANCE < 0.1
    model = PretrainedModel(untouched(FOREST["llama"]()), "tiny")
    assert choose(model).reason.startswith("agrees with the model's own forward to ")
    assert set(engine.STRATEGIES) == set(probe.ROWS) == {"forest", "batch", "single"}


def test_a_symbol_that_is_not_a_token_within_a_text_is_refused():
    """RoBERTa's positions skip padding, so a text that contains the padding's id has other positions than in the forest."""
    config = tf.RobertaConfig(
        vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, is_decoder=True, pad_token_id=1, bos_token_id=START, eos_token_id=2,
    )  # fmt: skip
    own = untouched(config)
    lm = wrap(own)
    text = [5, 9, 1, 7, 8]
    for call in (lambda: lm.score(text), lambda: lm.conditional(text), lambda: lm.generate(text, max_tokens=2)):
        with pytest.raises(ModelError, match="does not treat the symbol of id 1 within a text as a token"):
            call()
    last = [5, 9, 7, 8, 1]  # no token follows the symbol
    assert np.abs(lm.score(last).logprobs - factors(own, [START, *last])).max() < FLOAT32
