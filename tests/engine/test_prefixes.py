"""Prefixes that are kept between calls: the bits of a model that keeps none, also after drops and interrupts."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import model_zoo
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interrupts import AtEvent, AtRandomTime
from test_invariance import CONFIGS, model
from test_parallel import most_workers

from chainrule import InputError, LanguageModel, ModelError, TableModel
from chainrule.engine import execution
from chainrule.engine.engine import Engine
from chainrule.engine.plan import plan
from chainrule.engine.prefixes import choice, reuse, store
from chainrule.engine.prefixes.recent import TEXTS, Recent
from chainrule.engine.question import Item, Settings
from chainrule.forest import parts
from chainrule.text.token_sets import TokenSets

SHARED = np.random.default_rng(0).integers(1, 61, 300).tolist()
PLENTY = 1 << 26
UNLIMITED = [HealthCheck.function_scoped_fixture]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short paths are kept, and few rows are computed by several threads."""
    for module in (store, choice):
        monkeypatch.setattr(module, "LEAST", 4)
    monkeypatch.setattr(reuse, "BELOW", 40)
    monkeypatch.setattr(parts, "LEAST", 16)
    monkeypatch.setattr(parts, "best_workers", most_workers)
    monkeypatch.setattr(parts, "SIZES", (16, *parts.SIZES))


def keeping(lm: LanguageModel, memory: int = PLENTY) -> LanguageModel:
    """The same network in a model that keeps prefixes."""
    kept = LanguageModel(lm.model, start="bos", engine=Engine(lm.model, "forest"))
    assert kept.cache_prefixes(memory)
    return kept


def texts_of(draw: np.random.Generator, count: int) -> list[list[int]]:
    """Texts that continue one of three trunks at any of a few places, or two of them, or none."""
    texts = []
    for _ in range(count):
        trunk = np.roll(SHARED, 100 * int(draw.integers(3))).tolist()
        stem = trunk[: int(draw.choice([0, 3, 9, 40, 41, 60, 130]))]
        texts.append([*stem, *draw.integers(1, 4 if draw.random() < 0.3 else 61, draw.integers(1, 30)).tolist()])
    return texts


def calls_of(draw: np.random.Generator) -> Callable[[LanguageModel], Any]:
    """A random call."""
    texts = texts_of(draw, int(draw.integers(1, 9)))
    how: dict[str, Any] = {"top": int(draw.integers(0, 4)), "temperature": float(draw.choice([1.0, 1.0, 0.7]))}
    kind = draw.choice(["plain", "asked", "last", "context", "rank", "next", "sets"], p=[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    if kind == "asked":
        targets = [[[int(draw.integers(61))] if draw.random() < 0.2 else [] for _ in text] for text in texts]
        return lambda lm: lm.score_batch(texts, **how, targets=targets, draws=int(len(texts[0]) % 3)).to_arrow()
    if kind == "last":
        return lambda lm: lm.score_batch(texts, **how, last_n=3, rows=50).to_arrow()
    if kind == "context":
        return lambda lm: lm.score_batch(texts, **how, context=[text[:20] for text in texts[::-1]]).to_arrow()
    if kind == "rank":
        return lambda lm: [(r.id, r.logprob) if hasattr(r, "id") else r.logprob for r in lm.rank(texts[0], texts)]
    if kind == "next":
        return lambda lm: lm.conditional(texts[0]).logprobs.tobytes()
    if kind == "sets":
        return partial(with_sets, texts=texts)
    return lambda lm: lm.score_batch(texts, **how).to_arrow()


def with_sets(lm: LanguageModel, texts: list[list[int]]) -> bytes:
    """All statistics, and the probabilities of two sets of tokens."""
    sets = TokenSets.of([np.array([3, 4]), np.array([5])], lm.model.head.size)
    question = plan([Item(np.array(text), 0, 0) for text in texts], None, None, None).question
    answer = lm.engine.answer(question, Settings(1, sets=sets))
    return b"".join(array.tobytes() for array in answer.statistics.arrays)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=12, suppress_health_check=UNLIMITED)
@given(seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 3), memory=st.sampled_from([5_000, 50_000, PLENTY]))
def test_all_bits_are_those_without_kept_prefixes(
    name: str, dtype: torch.dtype, short: None, seed: int, threads: int, memory: int
):
    plain, draw = model(name, dtype), np.random.default_rng(seed)
    torch.set_num_threads(threads)
    lm = keeping(plain, memory)
    for _ in range(6):
        call = calls_of(draw)
        assert call(lm) == call(plain)
        assert lm.prefix_cache.bytes <= memory


@pytest.mark.parametrize("name", ["gpt_neox", "opt", "gemma2", "granite", "bert_decoder"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_other_architectures(name: str, dtype: str, short: None):
    plain = model_zoo.tiny(name, dtype).lm
    lm, draw = keeping(plain), np.random.default_rng(7)
    for _ in range(6):
        texts = [text[:100] for text in texts_of(draw, 8)]
        assert (
            lm.score_batch(texts, top=1, start="given").to_arrow() == plain.score_batch(texts, top=1, start="given").to_arrow()
        )
    assert lm.prefix_cache.contexts_taken


def test_without_compiled_kernels(short: None, without_kernels: None):
    plain, draw = model("mistral", torch.float32, "plain"), np.random.default_rng(8)
    lm = keeping(plain)
    for _ in range(6):
        texts = texts_of(draw, 8)
        assert lm.score_batch(texts).to_arrow() == plain.score_batch(texts).to_arrow()
    assert lm.prefix_cache.contexts_taken


# What is computed


def test_a_prefix_is_computed_once():
    lm, plain = keeping(model("llama", torch.float32)), model("llama", torch.float32)
    batches = [[[*SHARED[:200], a, b, 5] for b in (1, 2)] for a in range(1, 5)]
    scores = [lm.score_batch(batch, top=2) for batch in batches]
    assert [s.rows for s in scores] == [plain.score_batch(batches[0]).rows, 3, 3, 3]  # an own row, and two that end a text
    assert [s.distinct_contexts for s in scores] == [plain.score_batch(batch).distinct_contexts for batch in batches]
    assert lm.prefix_cache.contexts == 202
    assert lm.prefix_cache.contexts_taken == 3 * 201


@pytest.mark.parametrize("known", [0, 1, 3], ids=["none known", "one known", "one by one"])
def test_prefixes_with_little_in_common_are_all_kept(known: int):
    """They share fewer contexts than a segment has: the start symbol and nine tokens."""
    plain = model("llama", torch.float32)
    lm, trunks = keeping(plain), [[*SHARED[:9], *SHARED[n : n + 100]] for n in (20, 40, 60)]
    batches = [[[*trunk, a, 7] for a in (1, 2)] for trunk in trunks]
    for batch in [*batches[:known], list(chain(*batches))]:
        lm.score_batch(batch)
    for batch in batches:
        scores = lm.score_batch(batch)
        assert scores.rows == 2
        assert np.array_equal(scores.logprobs, plain.score_batch(batch).logprobs)


@pytest.mark.parametrize("kernels", ["native", "plain"], indirect=True)
@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_rows_below_several_kept_paths_are_one_run_of_the_network(kernels: str, name: str, monkeypatch: pytest.MonkeyPatch):
    plain = model(name, torch.float32, kernels)
    lm, runs, run_rows = keeping(plain), [], execution.run_rows
    trunks = [np.roll(SHARED, 100 * i).tolist()[:130] for i in range(3)]
    lm.score_batch([[*trunk, i] for trunk in trunks for i in (1, 2)])
    monkeypatch.setattr(execution, "run_rows", lambda *a, **k: (runs.append(len(a[1])), run_rows(*a, **k))[1])
    texts = [[*trunk[:at], *trunk[:7], i] for trunk in trunks for at in (90, 130) for i in (1, 2)]
    texts += [[i, i, *trunks[0][:20]] for i in (3, 4)]  # and below none
    scores = lm.score_batch(texts, top=1)
    assert runs == [scores.rows]
    assert scores.to_arrow() == plain.score_batch(texts, top=1).to_arrow()


def test_groups_of_parts_have_at_most_the_rows_of_a_run():
    draw = np.random.default_rng(0)
    for _ in range(200):
        sizes = draw.integers(1, 700, draw.integers(2, 12)).tolist()
        own = [
            parts.Part(None, [known, known + size])
            for known, size in zip(draw.integers(0, 9, len(sizes)).tolist(), sizes, strict=True)
        ]
        groups, workers = parts.joined(own, 768, int(draw.integers(1, 4)))
        assert sorted(map(id, chain.from_iterable(groups))) == sorted(map(id, own))
        assert max(sum(part.bounds[1] - part.bounds[0] for part in group) for group in groups) <= 768
        assert 1 <= workers <= 3
    assert parts.joined(own[:1], 768, 2) is None
    assert parts.joined([*own, parts.Part(None, [0, 1, 2])], 768, 2) is None
    assert parts.joined([*own, parts.Part(None, [0, 900])], 768, 2) is None


def test_a_path_that_two_successive_texts_share_is_kept():
    lm = keeping(model("llama", torch.float32))
    rows = [lm.score_batch([[*SHARED[:100], *own]]).rows for own in ([1, 2, 3], [4, 5, 6], [7, 8, 9])]
    assert rows == [103, 103, 2]


def test_factors_of_a_kept_path_are_read_once(monkeypatch: pytest.MonkeyPatch):
    """As many factors as are new, if the number of alternatives is smaller; all, from kept hidden states, if it is larger."""
    lm, read, own = keeping(model("llama", torch.float32)), [], Engine._factors

    def counted(self: Engine, parts: Any, reader: Any, question: Any) -> Iterator[Any]:
        for part in own(self, parts, reader, question):
            read.append(len(part[0]))
            yield part

    monkeypatch.setattr(Engine, "_factors", counted)
    numbers = []
    for top in (2, 1, 3, 3):
        read.clear()
        scores = lm.score_batch([[*SHARED[:100], top, b] for b in (4, 5)], top=top)
        numbers.append((sum(read), scores.rows))
    assert numbers == [(103, 102), (3, 1), (103, 1), (3, 1)]


def test_paths_above_several_parts_are_computed_once(short: None):
    torch.set_num_threads(3)
    lm = keeping(model("llama", torch.float32))
    texts = [[*SHARED[:150], *np.random.default_rng(n).integers(1, 61, 30).tolist()] for n in range(80)]
    scores = lm.score_batch(texts)
    assert scores.rows < scores.distinct_contexts + 150 < model("llama", torch.float32).score_batch(texts).rows


def test_progress_counts_kept_contexts():
    lm, seen = keeping(model("llama", torch.float32)), []
    for _ in range(3):
        seen.clear()
        lm.score_batch([[*SHARED[:100], 1, 2], [*SHARED[:100], 3, 4]], progress=lambda *numbers: seen.append(numbers))
        assert seen[-1] == (103, 103)


def test_embeddings_are_neither_kept_nor_taken():
    lm = keeping(model("llama", torch.float32))
    lm.score_batch([[*SHARED[:100], a] for a in (1, 2)])
    before = lm.prefix_cache.contexts_taken, lm.prefix_cache.bytes
    for _ in range(3):
        embeddings = lm.embed(SHARED[:110])
        assert lm.score(embeddings=embeddings).logprob == model("llama", torch.float32).score(embeddings=embeddings).logprob
    assert (lm.prefix_cache.contexts_taken, lm.prefix_cache.bytes) == before


def test_changed_weights_are_noticed():
    own = model_zoo.untouched(CONFIGS["llama"])
    lm = model_zoo.LanguageModel(model_zoo.PretrainedModel(own, "changing"))
    assert lm.cache_prefixes()
    texts = [[*SHARED[:100], a] for a in (1, 2)]
    before = [lm.score_batch(texts).logprobs for _ in range(2)][1]
    with torch.no_grad():
        own.model.layers[0].mlp.up_proj.weight *= 1.5
    after = lm.score_batch(texts)
    assert after.rows == 101
    assert not np.array_equal(after.logprobs, before)
    lm.cache_prefixes(0)
    assert np.array_equal(lm.score_batch(texts).logprobs, after.logprobs)


# What is dropped


def test_the_least_recently_used_are_dropped_first():
    lm = keeping(model("llama", torch.float32))
    trunks = [np.random.default_rng(n).integers(1, 61, 100).tolist() for n in range(4)]
    call = lambda n: lm.score_batch([[*trunks[n], a] for a in (1, 2)]).rows  # noqa: E731
    call(0)
    lm.cache_prefixes(int(3.5 * lm.prefix_cache.bytes))
    assert [call(n) for n in (0, 1, 2, 0, 3)] == [101, 101, 101, 0, 101]
    assert [call(n) for n in (0, 2, 3)] == [0, 0, 0]
    assert call(1) == 101


def test_zero_turns_it_off_and_frees_everything():
    lm = keeping(model("llama", torch.float32))
    lm.score_batch([[*SHARED[:100], a] for a in (1, 2)])
    assert lm.prefix_cache.bytes > 100 * 2 * 2 * 16 * 4
    assert not lm.cache_prefixes(0)
    assert lm.prefix_cache.bytes == lm.prefix_cache.memory == 0
    assert lm.score_batch([[*SHARED[:100], a] for a in (1, 2)]).rows == 101
    assert lm.prefix_cache.bytes == 0


def test_old_texts_are_forgotten():
    recent = Recent()
    recent.add([np.array([n, n, 7], np.int32) for n in range(TEXTS + 3)])
    assert [recent.shared(np.array([n, n, 8], np.int32)) for n in (2, 3, TEXTS + 2)] == [0, 2, 2]


# Errors, interrupts and threads


@pytest.mark.parametrize("value", [-1, 1.5, True, "1G", None])
def test_other_memory_is_refused(value: Any):
    with pytest.raises(InputError, match="memory must be a whole number of bytes"):
        model("llama", torch.float32).cache_prefixes(value)


def test_other_models_say_why_not():
    table = LanguageModel(TableModel(["A", "B"], {"": [0, 5], "A": [5, 0], "B": [0, 0]}))
    for lm, reason in [
        (model_zoo.tiny("mamba").lm, "forest strategy"),
        (model_zoo.tiny_any_order("llama").lm, "any order"),
        (table, "forest strategy"),
        (model_zoo.tiny("bert_decoder", "float64").lm, model_zoo.tiny("bert_decoder", "float64").lm.invariant.reason),
    ]:
        verdict = lm.cache_prefixes()
        assert not verdict
        assert reason in verdict.reason
        assert lm.prefix_cache.memory == 0


def test_a_failed_call_keeps_nothing_half(short: None, monkeypatch: pytest.MonkeyPatch):
    plain = model("llama", torch.float32)
    lm, own, calls = keeping(plain), type(plain.model).hidden, []
    texts = [[*SHARED[:150], a, b] for a in range(1, 5) for b in range(1, 5)]

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) % 4 == 0:
            raise ModelError("every fourth chunk")
        return own(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(plain.model), "hidden", failing)
        for _ in range(4):
            with pytest.raises(ModelError, match="every fourth"):
                lm.score_batch(texts, rows=16)
    assert lm.prefix_cache.contexts == 0
    for _ in range(2):
        assert lm.score_batch(texts).to_arrow() == plain.score_batch(texts).to_arrow()


@pytest.mark.parametrize("method", [AtEvent, AtRandomTime])
@pytest.mark.parametrize("threads", [1, 2])
def test_after_an_interrupt_the_bits_are_the_same(method: Any, threads: int, short: None):
    plain, draw = model("llama", torch.float32), random.Random(0)
    torch.set_num_threads(threads)
    assert plain.invariant
    texts = [[*SHARED[:60], a, *SHARED[a : a + 20], b] for a in range(1, 4) for b in range(1, 4)]
    wanted = plain.score_batch(texts, top=1).to_arrow()

    def calls(lm: LanguageModel) -> None:
        lm.score_batch(texts[:4], top=1)
        lm.score_batch(texts[2:], top=1)

    interrupter = method(lambda: calls(keeping(plain)))
    times = (
        [interrupter.delay(draw) for _ in range(30)]
        if method is AtRandomTime
        else range(0, interrupter.count, 1 + interrupter.count // 60)
    )
    for at in times:
        lm = keeping(plain)
        interrupter.interrupt(partial(calls, lm), at, KeyboardInterrupt)
        for _ in range(2):
            assert lm.score_batch(texts, top=1).to_arrow() == wanted, interrupter.location
        assert lm.prefix_cache.contexts


def test_several_threads_share_the_prefixes(short: None):
    """With so little memory that they also drop each other's."""
    plain = model("llama", torch.float32)
    texts = [texts_of(np.random.default_rng(n), 6) for n in range(12)]
    wanted = [plain.score_batch(each, top=n % 3).to_arrow() for n, each in enumerate(texts)]
    for memory in (60_000, PLENTY):
        lm, equal = keeping(plain, memory), []

        def work(first: int, lm: LanguageModel = lm, equal: list[bool] = equal) -> None:
            order = np.random.default_rng(first).permutation(12).tolist()
            equal.extend(lm.score_batch(texts[n], top=n % 3).to_arrow() == wanted[n] for n in order)

        workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert equal == [True] * 72
        assert lm.prefix_cache.bytes <= memory
        assert lm.prefix_cache.contexts_taken


def test_tokens_asked_for_on_a_kept_path(short: None):
    plain = model("llama", torch.float32)
    lm, texts = keeping(plain), [[*SHARED[:30], a] for a in (1, 2)]
    targets = [[[n % 61, 5] if n % 3 else [] for n in range(31)] for _ in texts]
    lm.score_batch(texts)
    for own, wanted in zip(*(each.score_batch(texts, targets=targets, draws=2) for each in (lm, plain)), strict=True):
        assert [list(map(tuple, own.target_logprobs))] == [list(map(tuple, wanted.target_logprobs))]
        assert np.array_equal(own.draw_ids, wanted.draw_ids)
        assert np.array_equal(own.draw_logprobs, wanted.draw_logprobs)
