"""Generation in steps: the bits of steps, texts and scores, streams between which the model is used, ends, and bad input."""

from __future__ import annotations

import contextvars
import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from masked_zoo import masked
from model_zoo import V, wrap
from model_zoo import tiny as tiny_model
from test_generate import BAD

from chainrule import Generated, InputError, LanguageModel, ModelError, Step, Stream, TableModel
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.decoding.tree import ForestTree

NAMES = ["llama", "gemma2", "gpt2", "mistral"]
METHODS: list[dict[str, Any]] = [
    {"method": "greedy", "end": False},
    {"method": "sample", "n": 3, "seed": 5},
    {"method": "sample", "n": 12, "seed": 2, "temperature": 0.8, "top_p": 0.9},
    {"method": "beam", "n": 2},
    {"method": "best", "budget": 40},
]
FLOAT32 = 2e-5  # nats, as in test_engine


def prompt(length: int) -> list[int]:
    return np.random.default_rng(length).integers(2, V, length).tolist()


def bits(step: Step) -> tuple[Any, ...]:
    alternatives = [(a.id, a.logprob.hex()) for a in step.alternatives]
    return step.sample, step.step, step.id, step.logprob.hex(), step.running_logprob.hex(), alternatives, step.finish


def bits_of_text(text: Generated) -> tuple[Any, ...]:
    arrays = text.logprobs, text.ranks, text.entropies, text.logprob_variances, text.top_ids, text.top_logprobs
    return text.ids.tolist(), [x.tobytes() for x in arrays], text.finish, text.sampling_logprob, text.canonical


def taken(stream: Stream) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The bits of all steps, and those of the texts."""
    return [bits(step) for step in stream], [bits_of_text(text) for text in stream.texts]


@pytest.mark.parametrize("options", METHODS[:3], ids=["greedy", "3 samples", "12 samples"])
@pytest.mark.parametrize("length", [1, 16, 70])
@pytest.mark.parametrize("name", NAMES)
def test_steps_have_the_bits_of_the_texts_and_of_scoring(name, length, options, kernels):
    lm, context = wrap(tiny_model(name).own, name), prompt(length)
    assert lm.invariant, lm.invariant.reason
    stream = lm.stream(context, max_tokens=9, top=2, **options)
    steps = list(stream)
    assert len(stream.texts) == options.get("n", 1)
    for i, text in enumerate(stream.texts):
        own, again = [step for step in steps if step.sample == i], lm.score(text.ids, context=context, top=2)
        assert [step.id for step in own] == text.ids.tolist()
        assert [step.context for step in own] == text.contexts.tolist()
        assert [step.logprob for step in own] == text.logprobs.tolist() == text.running_logprobs.tolist()
        assert bits_of_text(text)[1] == bits_of_text(Generated.of(again, method="", finish="", running_logprobs=[]))[1]
        for t, step in enumerate(own):
            assert [(a.id, a.logprob) for a in step.alternatives] == [
                *zip(again.top_ids[t].tolist(), again.top_logprobs[t].tolist(), strict=True)
            ]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_narrow_and_wide_types(dtype):
    lm, context = tiny_model("llama", dtype).lm, prompt(9)
    for options in METHODS[:3]:
        stream = lm.stream(context, max_tokens=7, **options)
        steps = list(stream)
        for i, text in enumerate(stream.texts):
            assert [step.logprob for step in steps if step.sample == i] == text.logprobs.tolist()
            if lm.invariant:
                assert text.logprobs.tolist() == lm.score(text.ids, context=context).logprobs.tolist()


@pytest.mark.parametrize("name", ["mamba", "gpt_oss"])
def test_models_that_are_not_invariant_keep_the_numbers_of_their_steps(name):
    lm, context = tiny_model(name).lm, prompt(7)
    assert not lm.invariant
    stream = lm.stream(context, max_tokens=6, method="sample", n=4, seed=1)
    steps = list(stream)
    for i, text in enumerate(stream.texts):
        assert [step.logprob for step in steps if step.sample == i] == text.logprobs.tolist()
        np.testing.assert_allclose(text.logprobs, lm.score(text.ids, context=context).logprobs, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("options", METHODS, ids=lambda options: f"{options['method']} {options.get('n', 1)}")
@pytest.mark.parametrize("name", ["llama", "mamba", "table"])
def test_the_texts_are_those_of_generate(name, options):
    if name == "table":
        lm, context = LanguageModel(TableModel(["A", "B", "C"], {"": [2, 1, 0], "A": [0, 1, 2]}, back_off=True)), [0, 1]
    else:
        lm, context = tiny_model(name).lm, prompt(5)
    options = {"max_tokens": 2 if options["method"] == "best" else 6, "top": 2} | options
    stream, texts = lm.stream(context, **options), lm.generate(context, **{"n": 1} | options)
    assert list(stream)
    assert [text.ids.tolist() for text in stream.texts] == [text.ids.tolist() for text in texts]
    for a, b in zip(stream.texts, texts, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, rtol=0, atol=0 if lm.invariant else FLOAT32)
        assert (a.finish, a.method, a.text, a.seed, a.sampling) == (b.finish, b.method, b.text, b.seed, b.sampling)
        assert (a.certificate is None) == (b.certificate is None)


@pytest.mark.parametrize("name", ["llama", "gemma2", "mamba"])
def test_streams_interleaved_with_scores_have_the_bits_of_each_alone(name, kernels):
    """Any order of steps of five streams, with batches scored and texts generated between them."""
    lm = wrap(tiny_model(name).own, name) if name != "mamba" else tiny_model(name).lm
    asked = [
        (prompt(3 + 9 * i), {"max_tokens": 2 if o["method"] == "best" else 7, "top": 2} | o) for i, o in enumerate(METHODS)
    ]
    texts = [prompt(n) for n in (3, 20, 41)]
    alone = [taken(lm.stream(context, **options)) for context, options in asked]
    scores = [s.logprobs.tobytes() for s in lm.score_batch(texts, top=3)]
    streams, draw = [lm.stream(context, **options) for context, options in asked], np.random.default_rng(0)
    steps: list[list[Any]] = [[] for _ in streams]
    running = set(range(len(streams)))
    while running:
        i = int(draw.choice(sorted(running)))
        if (step := next(streams[i], None)) is None:
            running.remove(i)
        else:
            steps[i].append(bits(step))
        if draw.random() < 0.4:
            assert [s.logprobs.tobytes() for s in lm.score_batch(texts, top=3)] == scores
        if draw.random() < 0.1:
            lm.generate(texts[0], max_tokens=3)
    assert [(own, [bits_of_text(t) for t in s.texts]) for own, s in zip(steps, streams, strict=True)] == alone


def test_nothing_is_held_between_two_steps(tiny):
    """Modes of PyTorch and context variables are as before, after a step, after the last one, and after an early end."""

    def state() -> list[Any]:
        modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
        depths = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
        return [*modes, *depths, torch.get_num_threads(), dict(contextvars.copy_context())]

    before = state()
    for options in METHODS:
        for count in (1, 3, 10**6):
            stream = tiny.stream("It is", max_tokens=4, **options)
            assert state() == before
            for _, _ in zip(range(count), stream, strict=False):
                assert state() == before
            stream.close()
            assert state() == before
    with torch.inference_mode(False), torch.enable_grad():
        stream = tiny.stream("It is", max_tokens=4)
        next(stream)
        weight = torch.ones(2, requires_grad=True)
        (weight * 2).sum().backward()
        next(stream)


def test_steps_may_be_taken_in_other_threads_and_contexts(tiny):
    want = taken(tiny.stream("It is", max_tokens=5, end=False))[0]
    stream = tiny.stream("It is", max_tokens=5, end=False)
    assert [bits(contextvars.copy_context().run(next, stream)) for _ in range(5)] == want


# The end of a stream


def test_the_last_step_of_a_sample_has_its_finish(tiny):
    for options in ({}, {"end": False}, {"stop": ["e", "i"]}):
        stream = tiny.stream("It is", method="sample", n=30, seed=4, max_tokens=8, **options)
        steps = list(stream)
        for i, text in enumerate(stream.texts):
            finishes = [step.finish for step in steps if step.sample == i]
            assert finishes == [None] * (len(text) - 1) + [text.finish]
    assert {text.finish for text in stream.texts} >= {"stop", "length"}


def test_a_stop_text_is_the_last_of_the_steps():
    lm = LanguageModel(TableModel(["one ", "x, y", "z"], {"": [0, 9, 0]}, back_off=True))
    assert [(step.token, step.finish) for step in lm.stream(stop="yx", max_tokens=5)] == [("x, y", None), ("x, y", "stop")]


def test_there_are_no_texts_before_the_end_or_after_an_early_one(tiny):
    stream = tiny.stream("It is", max_tokens=3, end=False)
    for _ in range(3):
        with pytest.raises(InputError, match="has further steps: take all of them first"):
            _ = stream.texts
        next(stream)
    assert next(stream, None) is None
    assert next(stream, None) is None
    assert len(stream.texts) == 1
    stream.close()
    assert len(stream.texts) == 1
    with tiny.stream("It is", max_tokens=3, end=False) as early:
        next(early)
    assert list(early) == []
    with pytest.raises(InputError, match="ended before its last step"):
        _ = early.texts
    unused = tiny.stream("It is")
    unused.close()
    assert list(unused) == []


@pytest.mark.parametrize("steps", [0, 1, 4, 100])
@pytest.mark.parametrize("options", METHODS, ids=lambda options: f"{options['method']} {options.get('n', 1)}")
def test_the_end_frees_the_memory(tiny, monkeypatch, options, steps):
    """The cache of keys and values is gone at once, without the garbage collector, while the stream is still there."""
    caches, init = [], KVCache.__init__

    def recorded(self, *args):
        caches.append(weakref.ref(self))
        init(self, *args)

    _ = tiny.invariant
    monkeypatch.setattr(KVCache, "__init__", recorded)
    stream = tiny.stream("It is", max_tokens=6, **options)
    gc.disable()
    try:
        for _, _ in zip(range(steps), stream, strict=False):
            assert any(cache() is not None for cache in caches)
        stream.close()
        assert [cache for cache in caches if cache() is not None] == []
    finally:
        gc.enable()


# Bad input, and errors of the model


@pytest.mark.parametrize(("options", "message"), [*BAD, ({"max_tokens": 10**6}, "does not fit"), ({"top": 10**6}, "top")])
def test_bad_options_are_refused_before_the_first_step(tiny, monkeypatch, options, message):
    monkeypatch.setattr(ForestTree, "_run", lambda *_, **__: pytest.fail("something was computed"))
    with pytest.raises(InputError, match=message):
        tiny.stream("It is", **options)


def test_bad_contexts_and_models_are_refused_before_the_first_step(tiny):
    with pytest.raises(InputError, match="a context of at least one token"):
        tiny.stream(start="given")
    with pytest.raises(InputError, match="pairs of texts"):
        tiny.stream(("A", "B"))
    with pytest.raises(InputError, match="cannot stop at texts"):
        LanguageModel(tiny.model, engine=tiny.engine).stream([1], stop="a")
    with pytest.raises(InputError, match="a stream goes from left to right: use generate"):
        masked("bert").lm.stream([1])
    for option in ("order", "among", "on_token"):
        with pytest.raises(TypeError, match="unexpected"):
            tiny.stream("It is", **{option: None})


def test_nothing_is_computed_before_the_first_step(tiny, monkeypatch):
    rows, run = [], ForestTree._run
    _ = tiny.invariant
    monkeypatch.setattr(ForestTree, "_run", lambda *args, **options: rows.append(len(args[2])) or run(*args, **options))
    stream = tiny.stream("It is", max_tokens=3, end=False)
    assert rows == []
    context = 1 + len(tiny.tokenizer.encode("It is"))
    for want in ([context], [context, 1], [context, 1, 1], [context, 1, 1]):
        next(stream, None)
        assert rows == want


def test_an_error_in_a_step_ends_the_stream(tiny, monkeypatch):
    lm = LanguageModel(TableModel(["A", "B"], {"": [9, 0]}))
    stream = lm.stream(max_tokens=3)
    assert next(stream).token == "A"
    with pytest.raises(InputError, match="no row for the context"):
        next(stream)
    assert list(stream) == []
    hidden = tiny.model.hidden
    stream = tiny.stream("It is")
    monkeypatch.setattr(tiny.model, "hidden", lambda x, **options: hidden(x, **options) * torch.nan)
    with pytest.raises(ModelError, match="gave NaN"):
        next(stream)
    assert list(stream) == []
