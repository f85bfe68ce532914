"""Parts of a batch that several threads compute: the same bits with any number of threads."""

from __future__ import annotations

import _thread
import random
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from interrupts import AtEvent, AtRandomTime
from test_invariance import CONFIGS, model

from chainrule import LanguageModel
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.errors import ModelError
from chainrule.forest import parts
from chainrule.ops import workers

pytestmark = pytest.mark.skipif(not workers.available(), reason="OpenMP's functions are not found in this build of torch")

TEXTS = [np.random.default_rng(n).integers(1, 61, n % 41 + 2).tolist() for n in range(60)]
LONG = np.random.default_rng(60).integers(1, 61, 400).tolist()
SEGMENTS = [*([*LONG[:300], *text] for text in TEXTS[30:41]), LONG, *TEXTS[:3], LONG[200:]]
DTYPES = (torch.float32, torch.bfloat16)


def most_workers(sizes: list[int], rows: int, threads: int, runs: object = None) -> int:
    """As many as there are threads, but for the few rows of a trial."""
    return min(len(sizes), threads) if sum(sizes) > 300 else 1


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parts of few rows, so that these texts are many. Returns the numbers of workers that were used."""
    used: list[int] = []
    results = workers.results

    def counted(jobs: Any, make: Any, count: int, threads: int = 1) -> Any:
        used.extend([count] * (count > 1))  # one: a trial in one thread
        return results(jobs, make, count, threads)

    monkeypatch.setattr(parts, "LEAST", 16)
    monkeypatch.setattr(parts, "best_workers", most_workers)
    monkeypatch.setattr(parts, "SIZES", (16, *parts.SIZES))
    monkeypatch.setattr("chainrule.engine.engine.workers.results", counted)
    return used


def logprobs(lm: LanguageModel, threads: int, texts: list[list[int]] = TEXTS, **options: Any) -> np.ndarray:
    torch.set_num_threads(threads)
    return np.concatenate([score.logprobs for score in lm.score_batch(texts, **options)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_bits_do_not_depend_on_the_number_of_threads(name: str, dtype: torch.dtype, small_parts: list[int]):
    lm = model(name, dtype)
    one = logprobs(lm, 1)
    assert small_parts == []
    for threads in (2, 3, 5):
        assert np.array_equal(logprobs(lm, threads), one)
        assert lm.invariant
    assert small_parts == [2, 3, 5]
    assert np.array_equal(logprobs(lm, 3, rows=16), one)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_segments_of_long_texts_have_the_bits_of_one_thread(name: str, dtype: torch.dtype, small_parts: list[int]):
    """The last segment of a text that others continue in several ways has many chunks, and keeps a part of its path only."""
    lm = model(name, dtype)
    one = logprobs(lm, 1, SEGMENTS)
    for threads in (2, 3, 5):
        for rows in (16, 40, 64, None):
            assert np.array_equal(logprobs(lm, threads, SEGMENTS, rows=rows), one)
    assert np.array_equal(logprobs(lm, 3, [LONG]), logprobs(lm, 1, [LONG]))
    assert {2, 3, 5} <= set(small_parts)


def test_a_segment_waits_for_the_one_above_it_and_no_longer(small_parts: list[int], monkeypatch: pytest.MonkeyPatch):
    """Whichever thread is slow, and if the first segment fails."""
    lm = model("llama", torch.float32)
    one, own = logprobs(lm, 1, [LONG], rows=64), type(lm.model).hidden
    for slow in range(4):

        def late(self: Any, *args: Any, slow: int = slow, **options: Any) -> Any:
            time.sleep(0.05 * (int(options["position_ids"][0, 0]) // 64 % 4 == slow))
            return own(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(type(lm.model), "hidden", late)
            assert np.array_equal(logprobs(lm, 4, [LONG], rows=64), one)

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        if not options["position_ids"][0, 0]:
            time.sleep(0.05)
            raise ModelError("the first segment")
        return own(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(lm.model), "hidden", failing)
        with pytest.raises(ModelError, match="the first segment"):
            lm.score_batch([LONG], rows=64)
    assert np.array_equal(logprobs(lm, 4, [LONG], rows=64), one)


def test_keys_and_values_are_freed_after_the_last_segment(small_parts: list[int], monkeypatch: pytest.MonkeyPatch):
    lm, caches, own = model("llama", torch.float32), [], KVCache.__init__
    torch.set_num_threads(2)
    assert lm.invariant

    def kept(self: KVCache, *args: Any) -> None:
        caches.append(self)
        own(self, *args)

    monkeypatch.setattr(KVCache, "__init__", kept)
    logprobs(lm, 2, [LONG, LONG[1:]])
    assert len(caches) >= 2
    assert not any(cache._buffers for cache in caches)


def test_all_columns_come_back_in_order_and_progress_counts_each_context_once(small_parts: list[int]):
    lm, seen = model("llama", torch.float32), []
    options: dict[str, Any] = {"top": 3, "draws": 2}
    torch.set_num_threads(1)
    one = lm.score_batch(TEXTS, **options)
    torch.set_num_threads(2)
    two = lm.score_batch(TEXTS, **options, progress=lambda done, total: seen.append((done, total)))
    assert two.to_arrow().equals(one.to_arrow())
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert small_parts == [2]


def test_an_error_in_one_part_is_raised_and_stops_the_others(small_parts: list[int], monkeypatch: pytest.MonkeyPatch):
    lm, calls = model("llama", torch.float32), []
    torch.set_num_threads(2)
    own = type(lm.model).hidden

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise ModelError("the third chunk")
        return own(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(lm.model), "hidden", failing)
        with pytest.raises(ModelError, match="the third chunk"):
            lm.score_batch(TEXTS)
    assert len(calls) < 8
    assert np.array_equal(logprobs(lm, 2), logprobs(lm, 1))


def test_a_callback_that_raises_stops_the_threads(small_parts: list[int]):
    lm = model("llama", torch.float32)
    torch.set_num_threads(2)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lm.score_batch(TEXTS, progress=stop)
    assert np.array_equal(logprobs(lm, 2), logprobs(lm, 1))


@pytest.mark.parametrize("texts", [TEXTS, [LONG]], ids=["short", "long"])
@pytest.mark.parametrize("method", [AtEvent, AtRandomTime])
def test_an_interrupt_ends_all_threads(method: Any, texts: list[list[int]], small_parts: list[int]):
    lm, draw = model("llama", torch.float32), random.Random(0)
    one, threads = logprobs(lm, 1, texts), _thread._count()
    torch.set_num_threads(2)
    call = partial(lm.score_batch, texts, rows=64)
    interrupter = method(call)
    times = [interrupter.delay(draw) for _ in range(40)] if method is AtRandomTime else range(0, interrupter.count, 23)
    for at in times:
        interrupter.interrupt(call, at, KeyboardInterrupt)
        until = time.monotonic() + 5
        while _thread._count() > threads and time.monotonic() < until:
            time.sleep(0.001)
        assert _thread._count() == threads, interrupter.location
        assert torch.get_num_threads() == 2
    assert len(small_parts) > 10
    assert np.array_equal(logprobs(lm, 2, texts), one)


def test_a_kernel_with_other_bits_in_several_threads_is_reported(small_parts: list[int], monkeypatch: pytest.MonkeyPatch):
    """A norm whose result depends on the number of threads."""
    lm = model("llama", torch.float32)
    fresh = LanguageModel(lm.model, start="bos")
    own = type(lm.model).hidden

    def other(self: Any, *args: Any, **options: Any) -> Any:
        return own(self, *args, **options) * (1 + 1e-6 * torch.get_num_threads())

    monkeypatch.setattr(type(lm.model), "hidden", other)
    torch.set_num_threads(2)
    assert not fresh.invariant
    assert "in one thread than in 2" in fresh.invariant.reason
