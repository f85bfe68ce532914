"""The choice of the number of workers, with a pool whose speed is given."""

from __future__ import annotations

import time

import pytest

from chainrule.corpus.plan import LARGEST, SMALLEST
from chainrule.corpus.workers import choice
from chainrule.corpus.workers.choice import Choice, choose, size_of_part

TEXTS = ["some text " * 5] * 2000


class Timed:
    """A pool whose clock is counted: a worker with t threads scores speed(workers at once, t) characters in a second."""

    pids = ()
    about = {}  # noqa: RUF012 (never written to)

    def __init__(self, cores, speed, gpus=0):
        self.cores, self.speed, self.cards = cores, speed, gpus
        self.count = self.now = 0
        self.threads = []
        self.calls = []

    def __len__(self):
        return self.count

    def shape(self, workers):
        few = workers or max(1, self.cores // 16)
        return few, max(1, self.cores // few), 0 if workers else self.cores

    def gpus(self):
        return self.cards

    def grow(self, count, threads):
        self.threads += [threads] * (count - self.count)
        self.count = max(self.count, count)

    def shrink(self, count):
        self.count = count
        del self.threads[count:]

    def use(self, threads):
        self.threads[: len(threads)] = threads

    def ask(self, method, arguments):
        assert method == "time"
        lengths = [sum(map(len, texts)) for (texts,) in arguments]
        pairs = zip(lengths, self.threads, strict=False)
        self.now += max(length / self.speed(len(lengths), threads) for length, threads in pairs)
        self.calls.append(len(lengths))
        return [(length // 4, 0.0) for length in lengths]


@pytest.fixture
def pool(monkeypatch):
    def make(*arguments, **options):
        made = Timed(*arguments, **options)
        monkeypatch.setattr(choice.time, "perf_counter", lambda: made.now)
        return made

    yield make
    assert time.monotonic


@pytest.mark.parametrize("cores", [2, 8, 64])
def test_the_faster_way_is_chosen(pool, cores):
    alone = pool(cores, lambda workers, threads: 1000 * threads)  # both are as fast: fewer processes
    found = choose(alone, TEXTS, 10**9, None)
    assert (found.workers, found.threads) == (max(1, cores // 16), min(16, cores))
    assert alone.count == found.workers
    assert alone.threads == [found.threads] * found.workers
    many = pool(cores, lambda workers, threads: 1000 * threads**0.5)  # threads wait for one another
    found = choose(many, TEXTS, 10**9, None)
    assert (found.workers, found.threads) == (cores, 1)
    assert many.threads == [1] * cores
    assert f"{cores} workers of 1 thread score" in found.reason
    assert found.characters == pytest.approx(1000 * cores, rel=0.15)  # pieces of texts are not even
    busy = pool(cores, lambda workers, threads: 1000 * threads / workers**2)  # processes are in each other's way
    assert choose(busy, TEXTS, 10**9, None).workers == max(1, cores // 16)


def test_a_trial_takes_about_a_second_and_short_work_none(pool):
    timed = pool(2, lambda workers, threads: 100_000 * threads)
    choose(timed, TEXTS, 10**9, None)
    assert timed.now < 5
    short = pool(2, lambda workers, threads: 100_000 * threads)
    found = choose(short, TEXTS, 10**6, None)
    assert (found.workers, found.threads, short.calls) == (1, 2, [1])
    assert found.characters == pytest.approx(200_000)
    exact = pool(2, lambda workers, threads: 100_000 * threads)
    assert choose(exact, TEXTS, 10**6, None, exact=True).workers == 1
    assert len(exact.calls) == 3


def test_a_number_that_was_given_is_taken(pool):
    given = pool(8, lambda workers, threads: 1000 * threads**0.5)
    found = choose(given, TEXTS, 10**9, 4)
    assert (found.workers, found.threads, given.count) == (4, 2, 4)


def test_each_gpu_gets_a_worker(pool):
    cards = pool(8, lambda workers, threads: 10**6, gpus=4)
    assert choose(cards, TEXTS, 10**9, None).workers == cards.count == 4
    assert choose(pool(8, lambda workers, threads: 10**6, gpus=4), TEXTS, 10**9, 2).workers == 2


def test_memory_limits_the_number(pool, monkeypatch):
    monkeypatch.setattr(choice, "_fitting", lambda pool: 3)
    limited = pool(64, lambda workers, threads: 1000 * threads**0.5)
    found = choose(limited, TEXTS, 10**9, None)
    assert found.workers == 4  # three would be fewer than those of 16 threads
    limited = pool(8, lambda workers, threads: 1000 * threads**0.5)
    assert choose(limited, TEXTS, 10**9, None).workers == 3


@pytest.mark.parametrize(
    ("speed", "workers", "total", "size"),
    [(1e3, 1, 10**9, 16_384), (1e4, 2, 10**9, 131_072), (1e9, 1, 10**12, LARGEST), (1, 1, 10**9, SMALLEST),
     (1e9, 4, 16 * 65_536, 65_536), (1e9, 1, 0, SMALLEST)],
)  # fmt: skip
def test_the_size_of_a_part(speed, workers, total, size):
    assert size_of_part(Choice(workers, 1, speed, speed), total) == size
