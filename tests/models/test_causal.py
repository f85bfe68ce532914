"""Decoders of transformers as x → e → h → z."""

import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from architecture_configs import Sizes, small_config
from model_zoo import CONFIGS, CONTEXT, START, V, tiny, untouched, wrap
from oracle import conditionals, factors, factors_in_windows

from chainrule import InputError, LanguageModel, ModelError
from chainrule.engine.attention.layout import NAME
from chainrule.engine.engine import Engine
from chainrule.models.causal import PretrainedModel
from chainrule.models.head import OwnHead

PHI3: dict[str, Any] = {
    "vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "bos_token_id": START, "eos_token_id": 1, "pad_token_id": None,
}  # fmt: skip

BERT: dict[str, Any] = {
    "vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 32,
}  # fmt: skip
SEVEN = PHI3 | {"num_hidden_layers": 7}
IDS = [5, 9, 5, 33, 2, 60, 17]


@pytest.mark.parametrize(
    "name", sorted(CONFIGS.keys() - {"opt"})
)  # OPT's forward accesses a part of the trunk; its head is linear
def test_trunk_and_head_give_the_logits_of_the_model(name: str):
    """x → e → h → z, step by step, gives the model's own logits."""
    model, ids = PretrainedModel(tiny(name).own, name), [0, 5, 9, 5, 2]
    if name == "rwkv":  # its first run rescales its weights
        model = model.warmed_up()
    with torch.inference_mode():
        hidden_1TH = model.hidden(model.embed(torch.tensor(ids))[None])
        logits = torch.empty(5, V)
        OwnHead(model.own_head_logits, V, torch.float32).write(hidden_1TH[0], 0, logits)
    logprobs = logits.double().log_softmax(-1).numpy()
    assert np.abs(logprobs - conditionals(tiny(name).own, ids)).max() < 2e-5
    assert (model.width, model.embeddings, model.head.size) == (32, V, V)


@pytest.mark.parametrize(("name", "longest"), [("llama", CONTEXT), ("gpt2", CONTEXT), ("opt", CONTEXT), ("mamba", None)])
def test_the_longest_context_is_that_of_the_config(name: str, longest: int | None):
    assert tiny(name).lm.model.max_rows == longest


def test_rotations_that_depend_on_the_length_bound_the_context():
    """With LongRoPE, text beyond the original context changes earlier factors. Up to the original context it is causal."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [4.0, 8.0, 16.0, 32.0],
            "original_max_position_embeddings": 32, "factor": 4.0}  # fmt: skip
    config = tf.Phi3Config(**PHI3, max_position_embeddings=128, original_max_position_embeddings=32, rope_parameters=rope)
    own = untouched(config)
    ids = np.random.default_rng(0).integers(2, V, 60).tolist()
    assert np.abs(factors(own, [START, *ids])[:20] - factors(own, [START, *ids[:20]])).max() > 1
    lm = wrap(own)
    assert lm.model.max_rows == 32
    both, alone = lm.score_batch([ids, ids[:20]], rows=16), lm.score(ids[:20])
    assert np.abs(alone.logprobs - factors(own, [START, *ids[:20]])).max() < 2e-5
    assert np.abs(both[0].logprobs[:20] - alone.logprobs).max() < 2e-5
    assert np.abs(both[1].logprobs - alone.logprobs).max() < 2e-5
    with pytest.raises(InputError, match="context of 32"):
        lm.score(ids, window=64)


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ModelError, match=r"bare \(LlamaModel\) has no separate trunk and head"):
        PretrainedModel(tf.LlamaModel(CONFIGS["llama"]()), "bare")


def test_another_attention():
    own = untouched(CONFIGS["llama"]())
    model = PretrainedModel(own, "tiny")
    before = own.config._attn_implementation
    assert model.set_attention("eager")
    assert model.runner.config._attn_implementation == "eager"
    assert own.config._attn_implementation == model.reference.config._attn_implementation == before


def test_a_trial_has_wider_weights_and_does_not_change_the_network():
    own = untouched(CONFIGS["llama"](), "bfloat16")
    before = {key: value.clone() for key, value in own.state_dict().items()}
    pointers = [p.data_ptr() for p in own.parameters()]
    trial = PretrainedModel(own, "tiny").trial()
    for network in (trial.lm, trial.reference, trial.runner):
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert network.lm_head.weight.equal(before["lm_head.weight"].float())
    assert {p.dtype for p in own.parameters()} == {torch.bfloat16}
    assert all(value.equal(before[key]) for key, value in own.state_dict().items())
    assert [p.data_ptr() for p in own.parameters()] == pointers


def test_copies_share_only_the_weights():
    own = untouched(CONFIGS["llama"]())
    model = PretrainedModel(own, "tiny")
    for copied in (model.reference, model.runner):
        assert all(a is b for a, b in zip(own.parameters(), copied.parameters(), strict=True))
        assert not {id(m) for m in own.modules()} & {id(m) for m in copied.modules()}
        assert copied.config is not own.config
        assert own.model.rotary_emb.inv_freq is not copied.model.rotary_emb.inv_freq  # some forwards write to theirs
    assert model.runner is not model.reference


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_model_has_the_same_configuration(copied: Any):
    lm = wrap(untouched(CONFIGS["llama"]()))
    model = copied(lm.model)
    model.set_attention(NAME)
    assert model.run_config == lm.model.run_config
    other = LanguageModel(model, engine=Engine(model, "forest"))
    assert np.array_equal(other.score(IDS).logprobs, lm.score(IDS).logprobs)


def test_temporarily_shorter_windows():
    own = untouched(CONFIGS["mistral"]())
    trial = PretrainedModel(own, "tiny").trial()
    ids = torch.arange(12)
    assert "sliding_window" in trial.integers_read(lambda: trial.own_logits(ids), 3)
    with trial.lowered("sliding_window", 3):
        short = trial.own_logits(ids)
    change = (trial.own_logits(ids) - short).abs()
    assert change[:3].max() < 1e-6
    assert change[4:].amax(1).min() > 1e-3
    assert own.config.sliding_window == trial.reference.config.sliding_window == 5
    none = PretrainedModel(untouched(CONFIGS["llama"]()), "tiny").trial()
    assert "sliding_window" not in none.integers_read(lambda: none.own_logits(ids), 3)
    own.config.sliding_window = CONTEXT + 1  # no text is so long
    for layer in own.model.layers:
        layer.self_attn.sliding_window = CONTEXT + 1
    wide = PretrainedModel(own, "tiny").trial()
    assert "sliding_window" not in wide.integers_read(lambda: wide.own_logits(ids), 3)


def test_first_layers_of_each_kind():
    own = untouched(tf.Gemma3TextConfig(**SEVEN, sliding_window_pattern=3, head_dim=8, sliding_window=5))
    model = PretrainedModel(own, "tiny")
    first = model.shallow()
    assert first is not None
    assert own.config.layer_types.index("full_attention") == 2
    assert [len(lm.model.layers) for lm in (own, model.runner, first.lm, first.runner)] == [7, 7, 3, 3]
    assert all(a is b for a, b in zip(own.model.layers[:3].parameters(), first.lm.model.layers.parameters(), strict=True))
    assert first.own_logits(torch.arange(9)).shape == (9, own.config.vocab_size)
    assert first.shallow() is None


@pytest.mark.parametrize(("bound", "longest"), [(-1, None), (0, None), (77, 77)])
def test_several_values_mean_no_bound(bound: int, longest: int | None):
    """It is −1 in XLNet."""
    own = untouched(CONFIGS["llama"]())
    own.config.max_position_embeddings = bound
    assert PretrainedModel(own, "tiny").max_rows == longest


def test_a_config_without_a_start_symbol():
    config = tf.PegasusConfig(
        vocab_size=V, d_model=32, decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=48, encoder_layers=1,
        encoder_attention_heads=4, encoder_ffn_dim=48, max_position_embeddings=64, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    own = untouched(config)
    lm = wrap(own)
    assert (lm.model.bos_id, lm.start.policy, lm.start.id) == (None, "eos", 1)
    ids = [5, 9, 5, 2]
    assert np.abs(lm.score(ids).logprobs - factors(own, [1, *ids])).max() < 2e-5


def test_positions_that_begin_after_the_padding_row_bound_the_context():
    """RoBERTa counts from the row after its padding row, so its table has fewer positions than rows."""
    own = untouched(tf.RobertaConfig(**BERT, is_decoder=True, pad_token_id=1))
    lm = wrap(own)
    assert (lm.engine.strategy, lm.model.first_position, lm.model.max_rows) == ("forest", 2, 30)
    ids = np.random.default_rng(0).integers(2, V, 29).tolist()  # with the start symbol, these take all positions
    assert np.abs(lm.score(ids).logprobs - factors(own, [START, *ids])).max() < 2e-5
    longer = [*ids, *ids[:9]]
    score = lm.score(longer)
    want = factors_in_windows(own, longer, score.contexts, START, range(len(longer)))
    assert np.abs(score.logprobs - want).max() < 2e-5


BART: dict[str, Any] = {
    "vocab_size": V, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48,
    "encoder_layers": 1, "max_position_embeddings": CONTEXT, "bos_token_id": START,
}  # fmt: skip


def test_a_trunk_that_counts_positions_itself():
    own = untouched(tf.BartConfig(**BART))
    lm = wrap(own)
    assert lm.engine.strategy == "forest"
    ids = np.random.default_rng(0).integers(2, V, 40).tolist()
    assert np.abs(lm.score(ids, rows=16).logprobs - factors(own, [START, *ids])).max() < 2e-5


def test_a_trunk_not_named_by_the_prefix():
    config = tf.Llama4TextConfig(**BERT, num_key_value_heads=2, head_dim=8, num_local_experts=2, intermediate_size_mlp=48,
                                 attention_chunk_size=6, bos_token_id=START)  # fmt: skip
    own = untouched(config)
    model = PretrainedModel(own, "llama4")
    assert type(model.trunk) is type(own.model)
    lm = wrap(own)
    assert np.abs(lm.score(IDS).logprobs - factors(own, [START, *IDS])).max() < 2e-5


def test_threads_do_not_share_positions(request):
    """BART counts positions itself, so ours are passed in a context variable, which is separate in each thread."""
    lm = wrap(untouched(tf.BartConfig(**BART)))
    assert lm.engine.strategy == "forest"
    draw = np.random.default_rng(0)
    texts = [draw.integers(2, V, 40).tolist() for _ in range(2)]
    alone = [lm.score(text, rows=4).logprobs for text in texts]
    before = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(before))
    sys.setswitchinterval(1e-6)  # so that the threads interleave
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            together = pool.map(lambda text: lm.score(text, rows=4).logprobs, texts)
            for logprobs, expected in zip(together, alone, strict=True):
                assert np.array_equal(logprobs, expected)


def test_a_network_that_looks_tokens_up_itself():
    """Gemma 3n has a table of embeddings for every layer, so its input is ids, which embeddings cannot replace."""
    symbols = {"bos_token_id": START, "eos_token_id": 1, "pad_token_id": 1}
    own = untouched(small_config("gemma3n_text", V, symbols, Sizes(True, reach=6)))
    lm = wrap(own)
    assert (lm.model.by_ids, lm.engine.strategy) == (True, "forest")
    assert np.abs(lm.score(IDS, rows=3).logprobs - factors(own, [START, *IDS])).max() < 2e-5
    with pytest.raises(InputError, match="more than one table, so embeddings cannot replace them"):
        lm.score(IDS, embeddings=lm.embed(IDS))
    report = lm.verify()
    assert report.passed, str(report)
    assert report["embeddings = ids"].status == "skip"
    assert not tiny("llama").lm.model.by_ids
