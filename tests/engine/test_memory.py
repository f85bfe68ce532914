"""Memory is bounded by one chunk and one path: rows × vocabulary, and rows × rows, are never allocated."""

import gc
import json
import subprocess
import sys

import pytest
import torch
from model_kinds import KINDS

VOCABULARY, TOKENS, SCORED, MEGABYTES = 152_000, 32_768, 4_096, 300  # scoring all tokens takes minutes, and no more memory

SCRIPT = """
import json
import numpy as np, torch
from transformers import LlamaConfig, LlamaForCausalLM
from chainrule import LanguageModel
from chainrule.engine.selfcheck.probe import choose
from chainrule.models.causal import PretrainedModel

def megabytes(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))

torch.set_num_threads(1)  # two threads would wait for each other while other tests run
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size={vocabulary}, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings={tokens}, initializer_range=0.3, tie_word_embeddings=True,
)
model = PretrainedModel(LlamaForCausalLM(config), "long")
lm = LanguageModel(model, start=0, engine=choose(model))
ids = np.random.default_rng(0).integers(1, {vocabulary}, {tokens}).tolist()
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
before = megabytes("VmRSS")
score = lm.score(ids[-{scored}:], context=ids[:-{scored}] or None)
peak = megabytes("VmHWM")
print(json.dumps(dict(before=before, peak=peak, strategy=lm.engine.strategy, factors=int(np.isfinite(score.logprobs).sum()),
                      context=int(score.contexts.max()))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc, which only Linux has")
def test_a_long_text_and_a_large_vocabulary_need_little_memory():
    """Logits of every factor at once would take 2.5 GB here, and an attention mask over the text 4 GB."""
    script = SCRIPT.format(vocabulary=VOCABULARY, tokens=TOKENS, scored=SCORED)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    if "PermissionError" in done.stderr and "clear_refs" in done.stderr:
        pytest.skip("this system does not let a process reset its own peak")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["strategy"], result["factors"], result["context"]) == ("forest", SCORED, TOKENS)
    assert result["peak"] - result["before"] < MEGABYTES, result


def wide_weights() -> int:
    """The number of weights wider than bfloat16 that are still in memory."""
    parameters = [x for x in gc.get_objects() if type(x) is torch.nn.Parameter]
    return sum(x.numel() for x in parameters if x.dtype in (torch.float32, torch.float64))


@pytest.mark.parametrize("kind", ["forest", "batch", "masked", "two-stream"])
def test_weights_that_a_trial_widens_are_freed_at_once(kind: str):
    """Waiting for Python's cycle collector would be too late on a GPU."""
    case = KINDS[kind]
    network = case.network().to(torch.bfloat16)
    gc.collect()
    before = wide_weights()
    gc.disable()
    try:
        lm = case.wrap(network)
        case.calls["one token" if "one token" in case.calls else "batch"](lm)
        assert wide_weights() == before
        if kind == "forest":
            lm.verify()
            assert wide_weights() == before
    finally:
        gc.enable()
