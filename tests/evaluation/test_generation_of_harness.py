"""Generation as the harness asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainrule import InputError, LanguageModel
from chainrule.evaluation.convention import Convention
from chainrule.evaluation.generation import LENGTH, Call, continuation, defaults_of, end_ids, left_out

ENDS = [1]  # </s>


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ({}, Call((), LENGTH, None)),
        ({"until": "\n", "max_gen_toks": 3}, Call(("\n",), 3, None)),
        (
            {"until": ["a", "", "b"], "max_new_tokens": 4, "max_tokens": 5, "do_sample": False, "temperature": 0},
            Call(("a", "b"), 4, None),
        ),
        ({"until": None, "temperature": 0.5, "num_beams": 1}, Call((), LENGTH, {"temperature": 0.5})),
        ({"do_sample": False, "temperature": 0.5, "top_p": 0.9}, Call((), LENGTH, None)),
        ({"do_sample": True, "top_k": 5}, Call((), LENGTH, {"top_k": 5})),
    ],
)
def test_arguments_of_a_task(arguments, call):
    assert Call.of(arguments) == call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_beams": 4},
            r"generation_kwargs has num_beams=4, but chainrule generates greedily or by sampling: it takes until",
        ),
        ({"repetition_penalty": 1.1}, "repetition_penalty=1.1"),
        ({"max_gen_toks": 0}, "max_gen_toks must be a whole number, 1 or more, not 0"),
        ({"max_gen_toks": "8"}, "not '8'"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Call.of(arguments)


def test_a_text_ends_before_the_first_stop(tiny: LanguageModel):
    convention = Convention(tiny.tokenizer, 64)
    whole = continuation(tiny, convention, "Hello", Call((), 12, None), ENDS, int)
    assert whole == tiny.generate(tiny.tokenizer.encode("Hello").tolist(), max_tokens=12, start="given").text
    stop = whole[4:6]
    assert continuation(tiny, convention, "Hello", Call((stop,), 12, None), ENDS, int) == whole.partition(stop)[0]


def test_a_long_context_is_cut_from_the_left(tiny: LanguageModel):
    convention = Convention(tiny.tokenizer, 20)
    long = "one two three four five six seven eight nine ten"
    ids = tiny.tokenizer.encode(long).tolist()
    want = tiny.generate(ids[-12:], max_tokens=8, start="given").text
    assert len(ids) > 12
    assert continuation(tiny, convention, long, Call((), 8, None), ENDS, int) == want
    with pytest.raises(InputError, match="max_gen_toks=20 leaves nothing of max_length=20"):
        continuation(tiny, convention, long, Call((), 20, None), ENDS, int)


def test_samples_follow_from_the_seed(tiny: LanguageModel):
    convention, call = Convention(tiny.tokenizer, 64), Call((), 8, {"temperature": 1.0})
    a, b, c = (continuation(tiny, convention, "Hello", call, ENDS, lambda seed=seed: seed) for seed in (1, 1, 2))
    assert a == b != c


def test_every_end_symbol_ends_a_text(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    eos = tiny.tokenizer.eos_id
    assert end_ids(tiny, tiny.tokenizer, {"eos_token_id": [7, eos, 9999]}) == [eos, 7]
    monkeypatch.setattr(tiny.model, "eos_id", [eos, 5])
    assert end_ids(tiny, tiny.tokenizer, {"eos_token_id": 7}) == [eos, 5, 7]
    convention, context = Convention(tiny.tokenizer, 64), "Hello"
    ids = tiny.generate(tiny.tokenizer.encode(context).tolist(), max_tokens=6, start="given").ids.tolist()
    other = next(id for id in ids if id != ids[0])
    text = continuation(tiny, convention, context, Call((), 6, None), [eos, other], int)
    assert text == tiny.tokenizer.hf.decode(ids[: ids.index(other) + 1])  # only control symbols are left out of a text


def test_defaults_of_a_model(tmp_path: Path):
    assert defaults_of(tmp_path) == defaults_of(tmp_path / "none") == {}
    (tmp_path / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.1, "num_beams": 1, "top_p": 0.8}))
    assert left_out(defaults_of(tmp_path)) == {"repetition_penalty": 1.1}
    (tmp_path / "generation_config.json").write_text("[")
    assert defaults_of(tmp_path) == {}
