"""The chain rule written out."""

import math
import random
import re
from itertools import accumulate

import pytest
from model_zoo import tiny_any_order

from chainrule import InputError, LanguageModel, TableModel
from chainrule.results.explanation import running_sums

CONTEXT = 64  # of `tiny`


@pytest.fixture
def lm() -> LanguageModel:
    return LanguageModel(TableModel(["A", "B"], {"": [0.1, 0.9], "A": [0.5, 0.5], "AA": [0.8, 0.2]}, probabilities=True))


@pytest.fixture
def fair() -> LanguageModel:
    return LanguageModel(TableModel(["H", "T"], {"": [0.5, 0.5]}, probabilities=True, back_off=True))


def formulas(lm: LanguageModel, text, **options) -> list[str]:
    return [f.formula for f in lm.explain(text, **options).factors]


def test_every_factor_with_its_context_and_the_running_product(lm: LanguageModel):
    explanation = lm.explain("AAB")
    assert [f.formula for f in explanation.factors] == ["Pr(x_0 | s)", "Pr(x_1 | s, e_0)", "Pr(x_2 | s, e_0, e_1)"]
    assert [f.token for f in explanation.factors] == ["A", "A", "B"]
    assert [f.context for f in explanation.factors] == [1, 2, 3]
    assert [f.probability for f in explanation.factors] == pytest.approx([0.1, 0.5, 0.2], abs=1e-15)
    assert [math.exp(f.running_logprob) for f in explanation.factors] == pytest.approx([0.1, 0.05, 0.01], abs=1e-15)
    assert explanation.factors[-1].running_logprob == pytest.approx(explanation.score.logprob, abs=1e-14)


def test_the_first_token_is_given(lm: LanguageModel):
    explanation = lm.explain("AAB", start="given")
    assert [f.formula for f in explanation.factors] == ["Pr(x_1 | e_0)", "Pr(x_2 | e_0, e_1)"]
    assert explanation.head() == "conditional: the first token is given, and has no factor"
    assert explanation.total().startswith("Pr(x) given its context = exp(")


def test_positions_include_the_context(lm: LanguageModel):
    assert formulas(lm, "AB", context="A") == ["Pr(x_1 | s, e_0)", "Pr(x_2 | s, e_0, e_1)"]
    assert formulas(lm, "AB", context="A", start="given") == ["Pr(x_1 | e_0)", "Pr(x_2 | e_0, e_1)"]
    assert "given its context" in lm.explain("AB", context="A").total()


def test_long_contexts_are_shortened(fair: LanguageModel):
    names = formulas(fair, "HTHTHTH")
    assert names[3] == "Pr(x_3 | s, e_0, e_1, e_2)"
    assert names[4] == "Pr(x_4 | s, e_0, …, e_3)"
    assert names[6] == "Pr(x_6 | s, e_0, …, e_5)"
    assert formulas(fair, "HTHTHTH", start="given")[-1] == "Pr(x_6 | e_0, …, e_5)"


def test_formulas_name_the_embeddings_of_a_window(fair: LanguageModel):
    names = formulas(fair, "HTHTHTH", window=3, stride=1)
    assert names[2:] == [f"Pr(x_{i} | s, e_{i - 2}, e_{i - 1})" for i in range(2, 7)]
    names = formulas(fair, "HTHTHTH", window=2, stride=1, start="given")
    assert names == ["Pr(x_1 | e_0)", *(f"Pr(x_{i} | e_{i - 2}, e_{i - 1})" for i in range(2, 7))]


def test_windows_of_a_network(tiny: LanguageModel):
    score = tiny.explain([3, 5, 7] * CONTEXT)
    for i, f in enumerate(score.factors):
        first = int(re.search(r"e_(\d+)", f.formula)[1]) if f.context > 1 else i
        assert f.context == 1 + i - first
        assert f.formula.startswith(f"Pr(x_{i} | s")


def test_the_end_symbol_is_the_last_factor():
    rows = {"": [0.5, 0.5, 0], "A": [0.2, 0.2, 0.6]}
    lm = LanguageModel(TableModel(["A", "B", "."], rows, probabilities=True, end="."))
    last = lm.explain("A", end=True).factors[-1]
    assert (last.formula, last.token) == ("Pr(x_1 | s, e_0)", ".")
    assert last.probability == pytest.approx(0.6, abs=1e-15)


def test_lines_of_text(lm: LanguageModel):
    lines = str(lm.explain("AAB")).splitlines()
    assert lines[0] == "joint: the first token is predicted from the start symbol <start> (id 2)"
    assert [line.split() for line in lines[1:3]] == [
        ["factor", "token", "Pr", "log", "Pr", "running", "rank"],
        ["(nats)", "(nats)"],
    ]
    assert lines[3].split() == ["Pr(x_0", "|", "s)", "'A'", "0.1", "-2.302585", "-2.302585", "2"]
    assert lines[5].split()[-5:] == ["'B'", "0.2", "-1.609438", "-4.605170", "2"]
    assert lines[6] == "Pr(x) = exp(-4.605170) = 0.01"
    assert len({line.index("-") for line in lines[3:6]}) == 1  # aligned


def test_running_sums_are_exact():
    for numbers in (
        [0.1] * 10,
        [1e16, 1.0, -1e16, 1e-16],
        [-0.5, -math.inf, -0.25],
        [],
        [random.gauss(0, 10**i) for i in range(9)],
    ):
        expected = [math.fsum(numbers[: i + 1]) for i in range(len(numbers))]
        assert list(running_sums(numbers)) == expected
    assert list(accumulate([0.1] * 10))[-1] != math.fsum([0.1] * 10)


def test_products_too_small_for_a_float(fair: LanguageModel):
    assert fair.explain("H" * 10_000).total() == "Pr(x) = exp(-6931.471806) = 5.01237e-3011"


def test_an_impossible_text():
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 0]}, probabilities=True, back_off=True))
    explanation = lm.explain("AB")
    assert (explanation.factors[1].probability, explanation.factors[1].running_logprob) == (0.0, -math.inf)
    assert explanation.total() == "Pr(x) = exp(-inf) = 0"


def test_to_dict(lm: LanguageModel):
    contents = lm.explain("AAB").to_dict()
    assert contents["start"] == {"kind": "joint", "policy": "bos", "id": 2, "token": "<start>"}
    assert (contents["logprob"], contents["end_id"]) == (lm.score("AAB").logprob, None)
    logprobs = [f["logprob"] for f in contents["factors"]]
    assert [f["running_logprob"] for f in contents["factors"]] == [math.fsum(logprobs[:i]) for i in (1, 2, 3)]
    assert contents["factors"][-1]["running_logprob"] == contents["logprob"]
    top = lm.explain("AAB", top=1).to_dict()["factors"][0]["top"]
    assert top == [{"token": name, "logprob": logprob} for name, logprob in lm.score("AAB", top=1).top(0)]
    names = {"place", "formula", "token", "logprob", "running_logprob", "context", "probability", "position", "rank"}
    assert set(contents["factors"][0]) == names
    assert [f["place"] for f in contents["factors"]] == [0, 1, 2]
    backwards = tiny_any_order("llama").lm.explain(IDS, order="right-to-left").to_dict()["factors"]
    assert [f["place"] for f in backwards] == [4, 3, 2, 1, 0]


# In an order

IDS = [3, 50, 7, 11, 12]


def test_factors_are_in_the_order_of_prediction():
    explanation = tiny_any_order("llama").lm.explain(IDS, order=(0, 4, 2, 1, 3))
    assert [f.formula for f in explanation.factors] == [
        "Pr(x_0 | s)",
        "Pr(x_4 | s, e_0)",
        "Pr(x_2 | s, e_0, e_4)",
        "Pr(x_1 | s, e_0, e_4, e_2)",
        "Pr(x_3 | s, e_0, e_4, e_2, e_1)",
    ]
    assert [f.token for f in explanation.factors] == ["<3>", "<12>", "<7>", "<50>", "<11>"]
    assert [f.logprob for f in explanation.factors] == explanation.score.logprobs[[0, 4, 2, 1, 3]].tolist()
    assert [f.running_logprob for f in explanation.factors] == list(accumulate(f.logprob for f in explanation.factors))
    lines = str(explanation).splitlines()
    assert lines[0] == "joint: the first token in the order is predicted from the start symbol <0> (id 0)"
    assert lines[1].startswith("order 0, 4, 2, 1, 3; the length (5 tokens) is given; ")
    names = " · ".join(f.formula for f in explanation.factors)
    numbers = " · ".join(f"{f.probability:.6g}" for f in explanation.factors)
    assert lines[-3:-1] == [f"Pr(x) = {names} = {numbers}", explanation.total()]
    assert explanation.to_dict()["ordering"]["order"] == [0, 4, 2, 1, 3]


def test_an_order_whose_first_token_is_given():
    explanation = tiny_any_order("llama").lm.explain(IDS, order=(3, 1, 4, 0, 2), start="given")
    assert [f.formula for f in explanation.factors] == [
        "Pr(x_1 | e_3)", "Pr(x_4 | e_3, e_1)", "Pr(x_0 | e_3, e_1, e_4)", "Pr(x_2 | e_3, e_1, e_4, e_0)"
    ]  # fmt: skip
    assert explanation.head().startswith("conditional: the first token in the order is given, and has no factor\n")
    assert explanation.total().startswith("Pr(x) given the first token in the order = exp(")


def test_a_context_comes_first_in_every_order():
    explanation = tiny_any_order("llama").lm.explain(IDS[:2], context=[9, 9], order=(1, 0))
    assert [f.formula for f in explanation.factors] == ["Pr(x_3 | s, e_0, e_1)", "Pr(x_2 | s, e_0, e_1, e_3)"]
    assert explanation.product()[0].startswith("Pr(x) given its context = Pr(x_3 | s, e_0, e_1) · ")


def test_long_orders_are_shortened():
    explanation = tiny_any_order("llama", 40).lm.explain([7] * 12, order="right-to-left")
    assert explanation.factors[8].formula == "Pr(x_3 | s, e_11, e_10, e_9, e_8, e_7, e_6, e_5, e_4)"
    assert explanation.factors[9].formula == "Pr(x_2 | s, e_11, e_10, e_9, e_8, e_7, e_6, e_5, …, e_3)"
    assert explanation.product() == []
    assert len(tiny_any_order("llama", 40).lm.explain([7] * 8, order="right-to-left").product()) == 1


def test_left_to_right_is_written_as_without_an_order(lm: LanguageModel):
    explanation, default = lm.explain("AAB", order="left-to-right"), lm.explain("AAB")
    assert str(explanation).splitlines()[2:] == str(default).splitlines()[1:]
    assert explanation.head() == f"{default.head()}\n{explanation.score.ordering.describe()}"


def test_a_score_is_explained_as_it_is(lm: LanguageModel):
    score = tiny_any_order("llama").lm.score(IDS, order="random:3")[2]
    assert str(tiny_any_order("llama").lm.explain(score)) == str(
        tiny_any_order("llama").lm.explain(IDS, order=score.ordering.order)
    )
    assert str(lm.explain(lm.score("AAB"))) == str(lm.explain("AAB"))
    for options in ({"context": "A"}, {"order": "random"}):
        with pytest.raises(InputError, match="a score is explained as it is"):
            lm.explain(lm.score("AAB"), **options)


def test_several_orders_are_not_explained_at_once():
    lm = tiny_any_order("llama").lm
    for order in ("random:2", [(0, 1, 2, 3, 4)]):
        with pytest.raises(InputError, match=r"explain takes one order.*explain\(mixture\[0\]\)"):
            lm.explain(IDS, order=order)
    with pytest.raises(InputError, match="explain takes one order"):
        lm.explain(lm.score(IDS, order="random:2"))
