"""Numbers of plain transformers code, each in one habit, are named with that habit; the oracle is its own log_softmax."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from text_zoo import byte_level, byte_level_template
from tiny_llama import tiny_llama

from chainrule import Comparison, InputError, LanguageModel, TableModel
from chainrule.comparison import compare
from chainrule.comparison.alignment import identity
from chainrule.comparison.match import matched
from chainrule.comparison.numbers import numbers_of
from chainrule.comparison.score_call import Result, ScoreCall
from chainrule.comparison.units import NATS, TOKEN_UNITS
from chainrule.models.causal import PretrainedModel

TEXT = "Hello world, how are you today?"
LN2 = math.log(2)


@dataclass(frozen=True)
class Family:
    """A network with its tokenizer, and plain code for its numbers."""

    lm: LanguageModel
    own: Any
    bos: int | None
    eos: int | None

    def ids(self, text: str = TEXT, special: bool = False) -> list[int]:
        hf: Any = self.lm.tokenizer
        return hf.hf(text, add_special_tokens=special, truncation=False, padding=False)["input_ids"]

    def logprobs(self, ids: list[int], dtype: torch.dtype | None = None, temperature: float = 1.0) -> torch.Tensor:
        """log Pr(ids[i] | ids[:i]) for i = 1 …"""
        with torch.inference_mode():
            own = self.own if dtype is None else copy.deepcopy(self.own).to(dtype)
            logprobs = (own(torch.tensor([ids])).logits[0] / temperature).log_softmax(-1)
        return logprobs[range(len(ids) - 1), ids[1:]]

    def joint(self, text: str = TEXT) -> torch.Tensor:
        """With the start symbol of chainrule: our numbers."""
        assert self.lm.start.id is not None
        return self.logprobs([self.lm.start.id, *self.ids(text)])

    def given(self, text: str = TEXT) -> torch.Tensor:
        return self.logprobs(self.ids(text))

    def compare(self, numbers: Any, text: Any = TEXT, **options: Any) -> Comparison:
        return compare(self.lm, numbers, ScoreCall(text, **options))


def _strong(own: Any, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    return own.eval()


@cache
def family(name: str) -> Family:
    tokenizer = byte_level_template() if name == "template" else byte_level()
    if name == "gpt2":  # no BOS: the end symbol is the start symbol
        config: Any = tf.GPT2Config(
            vocab_size=tokenizer.size, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=None, eos_token_id=2
        )
        tokenizer = copy.copy(tokenizer)
        tokenizer.bos_id, tokenizer.eos_id = None, 2
        own = _strong(tf.GPT2LMHeadModel(config))
    elif name == "neox":
        config = tf.GPTNeoXConfig(
            vocab_size=tokenizer.size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=64, bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id,
        )  # fmt: skip
        own = _strong(tf.GPTNeoXForCausalLM(config))
    else:
        own = _strong(tiny_llama())
    lm = LanguageModel(PretrainedModel(copy.deepcopy(own), name), tokenizer)
    return Family(lm, own, tokenizer.bos_id, tokenizer.eos_id)


FAMILIES = ("llama", "gpt2", "neox")

HABITS: dict[str, tuple[Callable[[Family], Any], str]] = {
    "no start symbol": (lambda f: f.given(), "no start symbol"),
    "0 for the first token": (lambda f: [0.0, *f.given().tolist()], "no start symbol"),
    "None for the first token": (lambda f: [None, *f.given().tolist()], "no start symbol"),
    "start symbol twice": (lambda f: f.logprobs([f.lm.start.id, f.lm.start.id, *f.ids()])[1:], "the start symbol twice"),
    "an end symbol": (lambda f: f.logprobs([f.lm.start.id, *f.ids(), f.eos]), "an end symbol"),
    "surprisals": (lambda f: -f.joint(), "opposite sign"),
    "bits": (lambda f: -f.joint() / LN2, "surprisals in bits"),
    "log2": (lambda f: f.joint() / LN2, "base 2"),
    "log10": (lambda f: f.joint() / math.log(10), "base 10"),
    "probabilities": (lambda f: f.joint().exp(), "probabilities"),
    "running sum": (lambda f: f.joint().cumsum(0), "running sum"),
    "bits without start": (lambda f: -f.given() / LN2, "no start symbol + surprisals in bits"),
    "loss": (lambda f: _loss(f), "no start symbol + mean loss"),
    "mean": (lambda f: float(f.joint().mean()), "mean"),
    "perplexity": (lambda f: float((-f.joint().mean()).exp()), "perplexity"),
    "total in bits": (lambda f: float(-f.joint().sum() / LN2), "bits"),
    "total without start": (lambda f: float(f.given().sum()), "no start symbol"),
    "total with end": (lambda f: float(f.logprobs([f.lm.start.id, *f.ids(), f.eos]).sum()), "an end symbol"),
    "a space": (lambda f: f.joint(" " + TEXT), "a space before the text"),
    "cut": (lambda f: f.joint()[:4], "cut"),
    "padding": (lambda f: f.logprobs([f.lm.start.id, *f.ids(), *[f.eos] * 3]), "padding"),
    "left padding": (lambda f: f.logprobs([*[f.eos] * 5, *f.ids()]), "padding"),
    "words": (lambda f: _words(f), "words"),
}  # fmt: skip


def _loss(f: Family) -> torch.Tensor:
    ids = torch.tensor([f.ids()])
    with torch.inference_mode():
        return f.own(ids, labels=ids).loss


def _words(f: Family) -> np.ndarray:
    word_T = f.lm.tokenizer.words(TEXT, np.array(f.ids()))
    return np.array([f.joint().numpy()[word_T == word].sum() for word in range(word_T.max() + 1)])


def _unshifted(f: Family, ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return f.own(torch.tensor([ids])).logits[0].log_softmax(-1)[range(len(ids)), ids].numpy()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_is_named(name: str, habit: str) -> None:
    numbers, cause = HABITS[habit]
    comparison = family(name).compare(numbers(family(name)))
    assert comparison.cause == cause
    assert not comparison.agrees
    assert comparison.remedy
    assert all(c.name in str(comparison) and c.remedy in str(comparison) for c in comparison.causes)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_numbers_of_plain_code_agree(name: str) -> None:
    f = family(name)
    numbers = f.joint()
    for given in (numbers, numbers.tolist(), numbers.numpy(), numbers[None], tuple(numbers.tolist()), float(numbers.sum())):
        comparison = f.compare(given)
        assert comparison.agrees
        assert comparison.cause is comparison.remedy is None
        assert not comparison.causes
    rounded = f.compare([round(value, 2) for value in numbers.tolist()])
    assert rounded.agrees
    assert rounded.tolerance >= 0.005
    assert not f.compare([value + 0.01 for value in numbers.tolist()]).agrees


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_that_are_not_shifted(name: str) -> None:
    f = family(name)
    assert f.compare(_unshifted(f, [f.lm.start.id, *f.ids()])[1:]).cause == "not shifted"
    assert set(f.compare(_unshifted(f, f.ids())).cause.split(" + ")) == {"not shifted", "no start symbol"}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_dtype(name: str, dtype: torch.dtype) -> None:
    f = family(name)
    comparison = f.compare(f.logprobs([f.lm.start.id, *f.ids()], dtype))
    assert comparison.cause in ("bfloat16", "float16")
    assert comparison.cause == str(dtype).removeprefix("torch.") or dtype == torch.bfloat16  # its rounding can be small
    assert "float32" in comparison.remedy


AT_TEMPERATURE: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "factors": (lambda x: x, ""),
    "bits": (lambda x: -x / LN2, " + surprisals in bits"),
    "probabilities": (lambda x: x.exp(), " + probabilities"),
    "rounded": (lambda x: [round(value, 3) for value in x.tolist()], ""),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("unit", AT_TEMPERATURE)
@pytest.mark.parametrize("temperature", [0.5, 0.7, 1.3, 2.0, 0.15, 8.5])
def test_a_temperature(name: str, unit: str, temperature: float) -> None:
    f, (change, named) = family(name), AT_TEMPERATURE[unit]
    ids = [f.lm.start.id, *f.ids()]
    logprobs = f.logprobs(ids, temperature=temperature)
    comparison = f.compare(change(logprobs))
    assert set(comparison.cause.split(" + ")) == {f"temperature {temperature:g}", *named.split(" + ")[1:]}
    assert f"temperature={temperature:g}" in comparison.remedy
    assert np.allclose(f.lm.score(TEXT, temperature=temperature).logprobs, logprobs, atol=5e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_temperature_with_another_cause(name: str) -> None:
    f = family(name)
    given = f.compare([None, *f.logprobs(f.ids(), temperature=0.7).tolist()])
    assert set(given.cause.split(" + ")) == {"temperature 0.7", "no start symbol"}
    numbers = f.logprobs([f.lm.start.id, *f.ids()], temperature=0.7)
    assert f.compare(numbers + torch.tensor([0.0, 0.05] + [0.0] * (len(numbers) - 2))).cause is None
    assert f.compare(numbers[:2], f.ids()[:2]).cause is None  # of two numbers, one is used up


def test_a_temperature_is_found_without_computing_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of the tokens refuse other numbers before anything is computed at another temperature."""
    f, asked = family("llama"), []
    score = LanguageModel.score
    monkeypatch.setattr(LanguageModel, "score", lambda lm, text, **how: (asked.append(how), score(lm, text, **how))[1])
    assert f.compare(np.random.default_rng(0).normal(-4, 2, len(f.ids()))).cause is None
    assert sum("temperature" in how for how in asked) <= 3
    asked.clear()
    assert f.compare(f.logprobs([f.lm.start.id, *f.ids()], temperature=0.7)).cause == "temperature 0.7"
    assert 2 <= sum("temperature" in how for how in asked) <= 9


def test_the_inverses_of_units() -> None:
    logprobs = np.array([-0.5, -3.0, -20.0])
    inverted = [unit for unit in TOKEN_UNITS if unit.nats is not None]
    assert len(inverted) == len(TOKEN_UNITS) - 1  # a running sum depends on several tokens
    for unit in inverted:
        assert np.allclose(unit.nats(unit.of(logprobs)), logprobs, rtol=1e-12)


def test_bounds_and_chances_of_perplexities() -> None:
    """They are those of the log probabilities: with a rounding of 0.8 nats, no negative number is near a perplexity."""
    logprobs = np.array([-7.5, -6.2, -10.4, -9.6, -9.6, -14.1, -15.4])
    result = Result(np.arange(7), logprobs, 0, 0, None)
    perplexities = next(unit for unit in TOKEN_UNITS if unit.name == "1/probability")
    match = matched(result, identity(7), perplexities, (), limit=0.8, rounding=0.0)
    assert match.fits(np.exp(0.79 - logprobs))
    assert match.fits(np.exp(-0.79 - logprobs))
    assert not match.fits(np.exp(-0.81 - logprobs))
    assert not match.fits(np.array([-8.22, -14.2, -9.72, -1.85, -0.85, -6.24, -2.46]))
    assert np.allclose(match.chances(), matched(result, identity(7), NATS, (), 0.8, 0.0).chances(), rtol=1e-5)
    assert np.allclose(match.shares(np.exp(0.4 - logprobs)), 0.5, rtol=1e-5)


def test_a_context() -> None:
    f, context, text = family("llama"), "Hello world,", " how are you today?"
    before, after = f.ids(context), f.ids(text)
    joint = f.logprobs([f.bos, *before, *after])
    assert f.compare(joint[len(before) :], text, context=context).agrees
    assert f.compare(joint, text, context=context).cause == "the context is scored too"
    assert f.compare(f.logprobs([f.bos, *after]), text, context=context).cause == "no context"
    assert f.compare(joint[len(before) :] / -LN2, text, context=context).cause == "surprisals in bits"


def test_another_start_symbol_and_no_end_symbol() -> None:
    f = family("llama")
    other = f.compare(f.logprobs([f.eos, *f.ids()]))
    assert other.cause == "another start symbol"
    assert f"start={f.eos}" in other.remedy
    assert f.compare(f.joint(), end=True).cause == "no end symbol"


def test_symbols_that_a_tokenizer_adds() -> None:
    f = family("template")
    assert f.compare(f.logprobs(f.ids(special=True))).cause == "an end symbol"
    twice = f.logprobs([f.bos, *f.ids(special=True)])
    assert {"the start symbol twice", "an end symbol"} == set(f.compare(twice[1:]).cause.split(" + "))


def test_control_symbols_in_a_text() -> None:
    f, text = family("llama"), "Hello</s> world"
    parsed = f.logprobs([f.bos, *f.lm.tokenizer.encode(text, "parse").tolist()])
    assert f.compare(parsed, text, special="text").cause == "control symbols"


def test_windows() -> None:
    f = family("llama")
    text = TEXT * 16
    assert len(f.ids(text)) > 128
    numbers = f.lm.score(text, window=64, stride=64).logprobs
    comparison = f.compare(numbers, text)
    assert comparison.cause == "other windows"
    assert "stride=64" in comparison.remedy


def test_pseudo_log_likelihoods_are_no_factors() -> None:
    from masked_zoo import masked

    lm = masked("bert").lm
    ids = [5, 6, 7, 4]
    terms = lm.pseudo_log_likelihood(ids).term_logprobs
    assert compare(lm, terms, ScoreCall(ids)).cause == "pseudo-log-likelihood"
    assert compare(lm, lm.score(ids).logprobs, ScoreCall(ids)).agrees


def test_other_numbers_have_no_known_cause() -> None:
    f = family("llama")
    count = len(f.ids())
    for numbers in (np.random.default_rng(0).normal(-4, 2, count), [-1.5] * (count + 3), -777.7):
        comparison = f.compare(numbers)
        assert not comparison.agrees
        assert comparison.cause is None
        assert "unknown" in str(comparison)
        assert "model.eval()" in comparison.remedy
    numbers = f.joint().tolist()
    numbers[3] -= 0.05  # one wrong number is not rounding
    assert f.compare(numbers).cause is None
    numbers[3] -= 6.95
    comparison = f.compare(numbers)
    assert comparison.cause is None
    assert comparison.largest == 3
    assert comparison.differences[3] == pytest.approx(-7, abs=1e-3)


def test_the_result_is_plain_data() -> None:
    f = family("llama")
    comparison = f.compare([None, *f.given().tolist()])
    table = comparison.to_pandas()
    assert list(table)[:6] == ["token", "logprob", "yours", "expected", "difference", "unit"]
    assert len(table) == len(f.ids()) == len(comparison)
    assert "".join(comparison.tokens[1:]) == TEXT[len(f.lm.tokenizer.token(f.ids()[0])) :]
    assert np.allclose(table["logprob"][1:], f.lm.score(TEXT).logprobs[1:])
    value = json.loads(comparison.to_json())
    assert value["cause"] == "no start symbol"
    assert value["agrees"] is False
    assert [row["yours"] for row in value["numbers"]][1:] == f.given().tolist()
    assert repr(comparison) == "Comparison(your numbers differ: no start symbol)"
    assert "no start symbol" in comparison._repr_html_()


def test_impossible_tokens() -> None:
    rows = {"": [0.6, 0.4, 0.0], "A": [0.5, 0.0, 0.5], "B": [0.2, 0.3, 0.5], "C": [0.1, 0.4, 0.5]}
    table = LanguageModel(TableModel(["A", "B", "C"], rows, probabilities=True, back_off=True))
    logprobs = table.score("ABC").logprobs
    assert logprobs.min() == -math.inf
    assert compare(table, logprobs, ScoreCall("ABC")).agrees
    assert compare(table, -logprobs / LN2, ScoreCall("ABC")).cause == "surprisals in bits"
    assert compare(table, [-0.7, -3.0, -0.9], ScoreCall("ABC")).cause is None


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"a": 1}, "must be a list, not a dict"),
        ("-1 -2", "must be a list, not one str"),
        ([], "there is no number"),
        ([None, None], "there is no number"),
        ([-1.0, "x"], "number 1 is 'x'"),
        ([True, False], "number 0 is True"),
    ],
)
def test_bad_numbers(numbers: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        family("llama").compare(numbers)


def test_rounding_is_read_from_the_numbers() -> None:
    assert numbers_of([-1.25, -3.5]).rounding == 0.005
    assert numbers_of([-1.0, -3.0]).rounding == 0.5
    assert numbers_of([-1.2345678, -3.5]).rounding == 0
    assert numbers_of(-7).total


@pytest.mark.real
def test_the_real_model(real: LanguageModel) -> None:
    own, tokenizer = real.model.lm, real.tokenizer
    ids = tokenizer.hf(TEXT)["input_ids"]
    with torch.inference_mode():
        logits = own(torch.tensor([ids])).logits[0]
    surprisals = -logits[:-1].log_softmax(-1)[range(len(ids) - 1), ids[1:]] / LN2
    assert compare(real, surprisals, ScoreCall(TEXT)).cause == "no start symbol + surprisals in bits"
