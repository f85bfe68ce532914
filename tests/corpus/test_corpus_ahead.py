"""Iterators that are run ahead, interrupts, and the state of a run."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from chainrule.corpus.ahead import ahead
from chainrule.corpus.progress import Meter, memory
from chainrule.corpus.stopping import Stopping
from chainrule.corpus.work import Tally


def test_items_come_in_order_and_few_are_made_ahead():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    taken = ahead(items(), 2)
    assert next(taken) == 0
    until = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]  # two are kept, and one waits for room
    assert list(taken) == list(range(1, 10))


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("here")

    taken = ahead(items(), 5)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="here"):
        next(taken)


def test_the_thread_ends_when_nobody_reads():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    taken = ahead(items(), 1)
    next(taken)
    taken.close()
    del taken
    assert closed.wait(10)


def interrupted(stopping, times):
    """Signals that come one after another; whether the run was asked to stop, after each that did not act at once."""
    with stopping.watching():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            STEPS.append(bool(stopping))


STEPS: list[bool] = []


@pytest.fixture
def interruptible():
    """Interrupts raise, also if the tests are a background job of a shell, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("times", [1, 2])
def test_the_first_signal_is_noted_and_the_second_acts_at_once(times):
    STEPS.clear()
    said = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(Stopping(said.append), times)
    assert STEPS == [True]
    assert len(said) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_have_no_signals():
    def work():
        with Stopping(lambda _: None).watching():
            done.append(1)

    done = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


def test_the_state_of_a_run(monkeypatch):
    from chainrule.corpus import progress

    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    meter = Meter(1000)
    meter.earlier = Tally(documents=200, tokens=4000, contexts=3000)
    meter.start("scoring")
    now[0] = 110.0
    meter.now = Tally(documents=100, failed=2, tokens=2000, contexts=1500)
    state = meter.state()
    assert (state.documents, state.failed, state.total, state.tokens) == (300, 2, 1000, 6000)
    assert (state.distinct, state.tokens_per_second, state.seconds_left) == (0.75, 200.0, 70.0)
    meter.now = Tally(documents=1100)
    assert (meter.state().total, meter.state().seconds_left) == (1300, 0.0)
    assert Meter(None).state().seconds_left is None


def test_memory_of_this_process():
    import os
    import sys

    if sys.platform != "linux":
        pytest.skip("/proc is Linux's")
    assert memory(os.getpid()) > 10**6
    assert memory(2**30) == 0
