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
from chainrule.errors import ModelError
from chainrule.forest import parts
from chainrule.ops import workers

pytestmark = pytest.mark.skipif(not workers.available(), reason="OpenMP's functions are not found in this build of torch")

TEXTS = [np.random.default_rng(n).integers(1, 61, n % 41 + 2).tolist() for n in range(60)]
DTYPES = (torch.float32, torch.bfloat16)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parts of few rows, so that these texts are many. Returns the numbers of workers that were used."""
    used: list[int] = []
    results = workers.results

    def counted(jobs: Any, make: Any, count: int, threads: int = 1) -> Any:
        used.extend([count] * (count > 1))  # one: a trial in one thread
        return results(jobs, make, count, threads)

    monkeypatch.setattr(parts, "LEAST", 16)
    monkeypatch.setattr(parts, "SIZES", (16, *parts.SIZES))
    monkeypatch.setattr("chainrule.engine.engine.workers.results", counted)
    return used


def logprobs(lm: LanguageModel, threads: int, **options: Any) -> np.ndarray:
    torch.set_num_threads(threads)
    return np.concatenate([score.logprobs for score in lm.score_batch(TEXTS, **options)])


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


@pytest.mark.parametrize("method", [AtEvent, AtRandomTime])
def test_an_interrupt_ends_all_threads(method: Any, small_parts: list[int]):
    lm, draw = model("llama", torch.float32), random.Random(0)
    one, threads = logprobs(lm, 1), _thread._count()
    torch.set_num_threads(2)
    call = partial(lm.score_batch, TEXTS)
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
    assert np.array_equal(logprobs(lm, 2), one)


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
