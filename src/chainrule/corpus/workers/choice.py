"""How many workers, each with how many threads: chosen by measuring, as is the size of a part.

Many workers of one thread need no thread to wait for another, and each has its own Python. Few workers of several threads need
less memory, and share more beginnings. Which is faster depends on the model and the machine, so both are tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from chainrule.corpus.plan import LARGEST, SMALLEST
from chainrule.corpus.progress import memory
from chainrule.corpus.workers.pool import Pool
from chainrule.models.control_groups import available_memory
from chainrule.results.units import count

_SHORT = 45.0  # seconds of work below which trying costs more than it gains
_WARM = 4_000  # characters
_PART = 20.0  # seconds that a worker takes for a part
_GAIN = 1.05  # by which many workers must be faster


class Choice(NamedTuple):
    """Workers, and what one of them was measured to do."""

    workers: int
    threads: int  # of each worker
    characters: float  # in a second, by all workers
    contexts: float  # the same
    reason: str = ""


def choose(pool: Pool, texts: Sequence[str], total: int, workers: int | None, exact: bool = False) -> Choice:
    """Start the workers. texts: a sample. total: about the characters of the corpus. workers: None: by measuring.

    exact: whether the speeds are wanted, also if they decide nothing.
    """
    few, threads, many = pool.shape(workers)
    pool.grow(1, threads)
    if workers is None and (gpus := pool.gpus()):
        few, many = gpus, 0
    warm = _sample(texts, min(_WARM, total // 8))
    one = _timed(pool, [warm])  # the first call makes the trials of this machine's kernels
    if exact or (many > few and total / one.characters / few > _SHORT):
        one = _timed(pool, [_sample(texts, round(_timed(pool, [warm]).characters))])
        if many > few and total / one.characters / few > _SHORT:
            return _tried(pool, _sample(texts, round(few * one.characters)), few, threads, min(many, _fitting(pool)))
    pool.grow(few, threads)
    return Choice(few, threads, one.characters * few, one.contexts * few)


def _tried(pool: Pool, sample: Sequence[str], few: int, threads: int, many: int) -> Choice:
    """The faster of few workers and many with one thread, after a second of each."""
    pool.grow(max(few, many), 1)
    sample = _pieces(sample, max(100, sum(map(len, sample)) // (4 * max(few, many))))
    pool.use([1] * many)
    _timed(pool, _slices(sample, 4 * many)[:many])
    of_many = _timed(pool, _slices(sample, many))
    pool.use([threads] * few)
    of_few = _timed(pool, _slices(sample, few))
    ratio = of_many.contexts / of_few.contexts
    reason = f"{_words(many, 1)} score {ratio:.2f} times as fast as {_words(few, threads)}"
    if ratio >= _GAIN:
        pool.use([1] * many)
        return Choice(many, 1, of_many.characters, of_many.contexts, reason)
    pool.shrink(few)
    return Choice(few, threads, of_few.characters, of_few.contexts, reason)


def size_of_part(choice: Choice, total: int) -> int:
    """The characters of a part: what a worker scores in some 20 s, or less, so that each worker has several parts."""
    size = min(choice.characters / choice.workers * _PART, total / (4 * choice.workers))
    return min(LARGEST, max(SMALLEST, 1 << max(0, round(math.log2(max(1.0, size))))))


def _words(workers: int, threads: int) -> str:
    return f"{count(workers, 'worker')} of {count(threads, 'thread')}"


def _fitting(pool: Pool) -> int:
    """The number of workers that fit into three quarters of the memory that is available. One has been started."""
    free, own = available_memory()[1], sum(map(memory, pool.pids))
    return len(pool) + int(0.75 * free / own) if free and own else 1 << 20


def _sample(texts: Sequence[str], characters: int) -> list[str]:
    """Texts from all of these, of about so many characters; one at least, and cut if it is longer."""
    chosen: list[str] = []
    step = max(1, sum(map(len, texts)) // max(1, characters))
    for text in texts[::step]:
        if chosen and characters <= 0:
            break
        chosen.append(text[: max(characters, 100)])
        characters -= len(text)
    return chosen


def _pieces(texts: Sequence[str], length: int) -> list[str]:
    """The texts, cut into pieces of this length, so that many workers get as much each."""
    return [text[begin : begin + length] for text in texts for begin in range(0, len(text), length)]


def _slices(texts: Sequence[str], count: int) -> list[list[str]]:
    """The texts in `count` lists of about the same length in characters."""
    slices: list[list[str]] = [[] for _ in range(count)]
    lengths = [0] * count
    for text in sorted(texts, key=len, reverse=True):
        least = lengths.index(min(lengths))
        slices[least].append(text)
        lengths[least] += len(text)
    return slices


def _timed(pool: Pool, slices: Sequence[Sequence[str]]) -> Choice:
    """The speeds of as many workers, each of which scores a slice at the same time."""
    began = time.perf_counter()
    contexts = sum(contexts for contexts, _ in pool.ask("time", [(list(slice),) for slice in slices]))
    seconds = max(1e-6, time.perf_counter() - began)
    characters = sum(len(text) for slice in slices for text in slice)
    return Choice(len(slices), 0, max(1, characters) / seconds, max(1, contexts) / seconds)
