"""Copies to a GPU, from it, and waits for it, counted on a pretended GPU: a fixed number for each chunk and each token.

The attention is PyTorch's own, as without Triton, since no compiled kernel reads tensors of the pretended GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from model_zoo import CONFIGS, untouched, wrap
from pretended_gpu import DEVICE, PretendedGPU, move, pretended_gpu

from chainrule import LanguageModel, Scores
from chainrule.ops.gpu import PlainWhereNeeded
from chainrule.ops.transfer import on

TEXTS = np.random.default_rng(0).integers(2, 20, (12, 30)).tolist()
SHARED = [[5, 6, 7, last] for last in range(2, 20)]  # factors of one row
ROUNDING = 1e-4  # nats


@pytest.fixture(scope="module")
def cpu() -> LanguageModel:
    return wrap(untouched(CONFIGS["llama"]()), "llama")


def on_gpu(name: str) -> LanguageModel:
    lm = wrap(untouched(CONFIGS[name]()), name)
    move(lm.model.runner)
    move(lm.model.head.linear)
    lm.model.device, lm.model.functions = DEVICE, PlainWhereNeeded(DEVICE)
    return lm


@pytest.fixture(scope="module")
def moved() -> LanguageModel:
    return on_gpu("llama")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedGPU]:
    with pretended_gpu(monkeypatch) as mode:
        yield mode


def chunks(rows: int) -> int:
    contexts = {tuple(text[:length]) for text in TEXTS for length in range(len(text))}
    return -(-len(contexts) // rows)


def largest_difference(found: Scores, want: Scores) -> float:
    return max(float(np.abs(a.logprobs - b.logprobs).max()) for a, b in zip(found, want, strict=True))


OPTIONS = [{}, {"top": 3}, {"temperature": 0.5}, {"draws": 3, "seed": 1}, {"targets": [[[3, 4]] * 30] * len(TEXTS)}]
NAMES = ["nothing else", "alternatives", "a temperature", "draws", "targets"]


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@pytest.mark.parametrize("rows", [16, 50, 1000])
def test_a_chunk_is_fetched_once(cpu: LanguageModel, moved: LanguageModel, gpu: PretendedGPU, rows: int, options: dict):
    found = moved.score_batch(TEXTS, start=0, rows=rows, **options)
    counts = gpu.counts.copy()
    assert largest_difference(found, cpu.score_batch(TEXTS, start=0, rows=rows, **options)) <= ROUNDING
    assert counts.pop("fetched") == chunks(rows)
    # ids, depths, the readout, what is asked for, the path that is kept, and the tables of PyTorch's attention
    assert counts.pop("sent") <= 10 * chunks(rows)
    assert not counts  # no other waits


def test_factors_of_one_row_wait_for_nothing_else(cpu: LanguageModel, moved: LanguageModel, gpu: PretendedGPU):
    found = moved.score_batch(SHARED, start=0)
    counts, want = gpu.counts.copy(), cpu.score_batch(SHARED, start=0)
    assert largest_difference(found, want) <= ROUNDING
    assert [a.ranks.tolist() for a in found] == [b.ranks.tolist() for b in want]
    assert counts.pop("fetched") == 1
    assert counts.pop("sent") <= 6
    assert not counts


def test_embeddings_wait_for_nothing_else(cpu: LanguageModel, moved: LanguageModel, gpu: PretendedGPU):
    with torch.inference_mode():
        embeddings = on(cpu.model.embed(torch.tensor(TEXTS[0])), DEVICE)
    gpu.counts.clear()
    found = moved.score(TEXTS[0], embeddings=embeddings, start=0)
    counts = gpu.counts.copy()
    assert np.abs(found.logprobs - cpu.score(TEXTS[0], start=0).logprobs).max() <= ROUNDING
    assert not [name for name in counts if name.startswith("waits")]


def test_a_token_of_a_growing_text(cpu: LanguageModel, moved: LanguageModel, gpu: PretendedGPU):
    """NaN, the choice of the token, and its statistics are read; nothing else waits, in the network or before it."""
    tokens = 9
    found = moved.generate([5, 6, 7], start=0, max_tokens=tokens, end=False)
    counts, want = gpu.counts.copy(), cpu.generate([5, 6, 7], start=0, max_tokens=tokens, end=False)
    assert found.ids.tolist() == want.ids.tolist()
    assert np.abs(found.logprobs - want.logprobs).max() <= ROUNDING
    assert counts.pop("fetched") <= 2 * tokens + 1  # whether there is a NaN, and the statistics of the token
    assert counts.pop("waits: nonzero") + counts.pop("waits: _local_scalar_dense") <= 2 * tokens  # the most probable token
    assert counts.pop("sent") <= 8 * tokens
    assert not counts


@pytest.mark.parametrize(("name", "modes"), [("llama", [1, 0, 0]), ("gpt2", [1, 1, 1])])
def test_the_mode_is_left_where_it_changes_nothing(monkeypatch: pytest.MonkeyPatch, name: str, modes: list[int]):
    """A trunk that looks nothing up runs without the mode from its second call on; positions of GPT-2 are always checked."""
    lm, entered = on_gpu(name), []
    lm.model.trunk.register_forward_pre_hook(lambda *_: entered.append(torch._C._len_torch_function_stack()))
    with pretended_gpu(monkeypatch):
        for _ in modes:
            lm.score([5, 6, 7], start=0)
    assert entered == modes
