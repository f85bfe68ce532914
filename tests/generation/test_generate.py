"""Generated texts: their scores, what ends them, steps, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from model_zoo import tiny as tiny_model
from random_tables import random_table

from chainrule import InputError, LanguageModel, TableModel

FLOAT32 = 2e-5  # nats, as in test_engine


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mamba", "bert_decoder"])
def test_every_result_is_the_score_of_its_tokens(name):
    lm = tiny_model(name).lm
    context = [3, 17, 40]
    for options in [{"method": "greedy"}, {"method": "sample", "n": 6, "seed": 3}, {"method": "beam", "n": 3}]:
        texts = lm.generate(context, max_tokens=9, top=2, **options)
        for s in texts if isinstance(texts, list) else [texts]:
            again = lm.score(s.ids, context=context, top=2)
            assert s.kind == "conditional"
            np.testing.assert_allclose(s.logprobs, again.logprobs, rtol=0, atol=0 if lm.invariant else FLOAT32)
            np.testing.assert_allclose(s.running_logprobs, s.logprobs, rtol=0, atol=FLOAT32)
            assert s.contexts.tolist() == again.contexts.tolist()
            assert (s.ids[-1] == 1) == (s.finish == "end") == (s.end == 1)
            assert len(s) <= 9
            assert s.finish == "end" or (s.finish, len(s)) == ("length", 9)


def test_a_text_with_the_end_symbol_has_the_score_with_end(tiny):
    samples = tiny.generate("It is", method="sample", n=60, seed=4, max_tokens=30)
    ended = [s for s in samples if s.finish == "end" and len(s) > 1]
    assert ended
    for s in ended:
        assert s.ids[-1] == tiny.tokenizer.eos_id
        again = tiny.score(s.ids[:-1], context=tiny.tokenizer.encode("It is"), end=True)
        assert (again.logprobs.tolist(), again.end) == (s.logprobs.tolist(), s.end)
    endless = tiny.generate("It is", method="sample", n=60, seed=4, max_tokens=30, end=False)
    assert {s.finish for s in endless} == {"length"}
    other = tiny.generate("It is", method="sample", n=60, seed=4, max_tokens=30, end=7)
    assert {s.ids[-1] for s in other if s.finish == "end"} == {7}


def test_the_text_of_generated_tokens(tiny):
    for s in tiny.generate("It is", method="sample", n=40, seed=5, max_tokens=12):
        body = [i for i in s.ids.tolist() if i != tiny.tokenizer.eos_id]
        raw = b"".join(map(tiny.tokenizer.token_bytes, body))
        assert s.text == raw.decode("utf-8", "replace")
        assert s.bytes == len(raw)
        assert s.context == "It is"
        if s.canonical:
            assert tiny.score(s.text, context="It is").ids.tolist() == body
        elif s.canonical is not None:
            assert tiny.tokenizer.encode("It is" + s.text).tolist() != [*tiny.tokenizer.encode("It is"), *body]
        assert s.to_dict()["text"] == s.text


def test_stop_texts():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0]}, back_off=True))
    for s in lm.generate(max_tokens=12, stop=["ABA", "BBB"], method="sample", n=200, seed=1):
        length = min((i + 3 for i in range(len(s.text) - 2) if s.text[i : i + 3] in ("ABA", "BBB")), default=12)
        assert len(s.text) == length
        assert s.finish == ("stop" if s.text[-3:] in ("ABA", "BBB") else "length")
    assert lm.generate("AB", max_tokens=3, stop="ABA").text == "AAA"  # the context does not count


def test_a_stop_text_within_a_longer_token():
    lm = LanguageModel(TableModel(["one ", "x, y", "z"], {"": [0, 9, 0]}, back_off=True))
    assert lm.generate(stop=", ", max_tokens=5).text == "x, y"
    assert lm.generate(stop="yx", max_tokens=5).text == "x, yx, y"
    assert lm.generate(stop="yz", max_tokens=5).finish == "length"


def test_steps_are_reported(tiny):
    steps = []
    s = tiny.generate("It is", max_tokens=6, top=3, on_token=steps.append, end=False)
    assert [step.id for step in steps] == s.ids.tolist()
    assert [step.context for step in steps] == s.contexts.tolist()
    np.testing.assert_allclose(
        [step.running_logprob for step in steps], np.cumsum(s.logprobs), rtol=0, atol=FLOAT32 * len(steps)
    )
    for i, step in enumerate(steps):
        assert [a.token for a in step.alternatives] == [token for token, _ in s.top(i)]
        assert step.token == step.alternatives[0].token
        assert step.probability == pytest.approx(math.exp(s.logprobs[i]), abs=FLOAT32)
        assert repr(step.token) in str(step)
    steps = []
    tiny.generate("It is", max_tokens=4, method="sample", n=3, seed=1, on_token=steps.append, end=False)
    assert [(step.step, step.sample) for step in steps] == [(t, i) for t in range(4) for i in range(3)]
    for method in ("beam", "best"):
        tiny.generate("It is", max_tokens=3, method=method, on_token=(steps := []).append)
        assert steps
        assert {step.sample for step in steps} == {0}


def test_the_length_that_fits_into_the_models_context(tiny):
    context = tiny.tokenizer.encode("It is raining. " * 20)[:60]
    assert len(tiny.generate(context, end=False)) == 4  # the 64th embedding is the last that is fed
    assert len(tiny.generate(context, end=False, max_tokens=4)) == 4
    with pytest.raises(InputError, match="after this context there is room for 4"):
        tiny.generate(context, max_tokens=5)
    with pytest.raises(InputError, match="no room for another token"):
        tiny.generate(np.append(context, context[:4]))


BAD = [
    ({"method": "nucleus"}, "choose 'greedy', 'sample', 'beam', 'best'"),
    ({"temperature": 0.5}, "temperature=0.5 is for method='sample'"),
    ({"method": "sample", "temperature": 0}, "for the most probable token, use method='greedy'"),
    ({"method": "sample", "temperature": math.nan}, "temperature must be a number above 0"),
    ({"method": "sample", "top_p": 1.5}, "top_p must be a number above 0 and at most 1, not 1.5"),
    ({"method": "sample", "min_p": 0}, "min_p must be"),
    ({"method": "sample", "top_k": 0}, "top_k must be a whole number, 1 or more"),
    ({"method": "sample", "num_beams": 3}, "num_beams=3 is for method='beam' or 'best'"),
    ({"method": "beam", "seed": 3}, "seed=3 is for method='sample'"),
    ({"max_tokens": 0}, "max_tokens must be a whole number, 1 or more, not 0"),
    ({"max_tokens": 2.5}, "max_tokens must be"),
    ({"n": 2}, "method='greedy' gives one text, not n=2"),
    ({"n": True, "method": "sample"}, "n must be"),
    ({"stop": ["a", ""]}, "stop must be one or more texts, none empty"),
    ({"stop": [3]}, "stop must be one or more texts"),
    ({"end": 99999}, "out of range"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options(tiny, options, message):
    with pytest.raises(InputError, match=message):
        tiny.generate("It is", **options)


def test_bad_contexts(tiny):
    with pytest.raises(InputError, match="pairs of texts"):
        random_table(1).generate(("A", "B"))
    with pytest.raises(InputError, match="a context of at least one token"):
        tiny.generate(start="given")
    with pytest.raises(InputError, match="cannot stop at texts"):
        tiny_model("llama").lm.generate([1], stop="a")
    with pytest.raises(InputError, match="no EOS symbol"):
        random_table(1).generate(end=True)
    with pytest.raises(TypeError, match="unexpected"):
        tiny.generate("It is", warmth=3)
    assert len(tiny.generate("It is", start="given", max_tokens=2, end=False)) == 2
    assert tiny.generate(max_tokens=2, end=False).kind == "joint"
