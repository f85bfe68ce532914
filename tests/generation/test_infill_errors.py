"""Bad input of infilling and of generation in an order, and models that cannot do either."""

from __future__ import annotations

import numpy as np
import pytest
from masked_zoo import masked, two_stream
from model_zoo import tiny, tiny_any_order
from random_tables import random_table

from chainrule import InputError, LanguageModel, TableModel

TABLE = random_table(3)


def test_impossible_fillings():
    rows = {"": [1, 0], "A": [0.25, 0.75], "B": [0.5, 0.5]}
    lm = LanguageModel(TableModel(["A", "B"], rows, probabilities=True))
    for method in ("greedy", "sample", "beam", "best"):
        with pytest.raises(InputError, match="every filling of these positions is impossible"):
            lm.infill("B____", method=method)
        assert lm.infill("____B", method=method).text == "AB"
    texts = {s.text for s in lm.infill("____", [2], order=(1, 0), method="sample", n=50, seed=1)}
    assert texts == {"AA", "AB"}


TEMPLATES = [
    ("AB", {}, "there is no blank in 'AB': write ____"),
    ("", {}, "there is no blank in ''"),
    ([0, 1], {}, "there is no blank in"),
    (
        "A____B____",
        {"lengths": [1]},
        r"the template has 2 blanks, so lengths= must hold 2 whole numbers, each 1 or more, not \[1\]",
    ),
    ("A____", {"lengths": [1, 1]}, "the template has 1 blank, so lengths= must hold 1 whole number"),
    ("A____", {"lengths": [0]}, "each 1 or more"),
    ("A____", {"lengths": [1.5]}, "each 1 or more"),
    ("A____", {"lengths": [True]}, "each 1 or more"),
    ([0, None], {"lengths": [1]}, "each None is one token"),
    (7, {}, "a template is a text with ____ in it, or token ids"),
    ([0, 7, None], {}, "token id 7 at position 1 is out of range"),
    ([-1, None], {}, "token id -1 at position 0 is out of range"),
    (["A", None], {}, "'A' at position 0 of the template is neither a token id nor None"),
    ("A____", {"order": "random:2"}, "one order, not several: pass one"),
    ("A____", {"order": [(0,), (0,)]}, "one order, not several: pass one"),
    ("A____", {"order": (1, 0)}, "does not fit a single token"),
    ("A____", {"top": 4}, "top must be a whole number from 0 to 3, not 4"),
    ("A____", {"seed": 1}, "seed=1 is for method='sample'"),
    ("AD____", {}, "'D' is not in the vocabulary"),
    ("A____", {"lengths": [20]}, "all 3.21 texts of 21 tokens"),
]


@pytest.mark.parametrize(("template", "options", "message"), TEMPLATES)
def test_bad_templates(template, options, message):
    with pytest.raises(InputError, match=message):
        TABLE.infill(template, **options)


ORDERS = [
    ({"order": (1, 0)}, "pass max_tokens="),
    ({"order": (1, 0), "max_tokens": 3}, "not a permutation of the 3 positions"),
    ({"order": "random:2", "max_tokens": 2}, "one order, not several: pass one"),
    ({"order": "backwards", "max_tokens": 2}, "is not an order"),
    ({"order": (1, 0), "max_tokens": 2, "end": True}, "leave end= out"),
    ({"order": (1, 0), "max_tokens": 2, "end": 0}, "leave end= out"),
    ({"order": (1, 0), "max_tokens": 2, "stop": ["A"]}, "leave stop= out"),
    ({"order": (1, 0), "max_tokens": 2, "top": 9}, "top must be a whole number from 0 to 3"),
]


@pytest.mark.parametrize(("options", "message"), ORDERS)
def test_bad_orders(options, message):
    with pytest.raises(InputError, match=message):
        TABLE.generate("A", **options)


def test_an_order_may_be_an_array():
    expected = TABLE.generate("A", order=(1, 0), max_tokens=2)
    assert TABLE.generate("A", order=np.array([1, 0]), max_tokens=2).ids.tolist() == expected.ids.tolist()
    assert TABLE.generate("A", order=(1, 0), max_tokens=2, end=False).text == expected.text


def test_models_that_cannot_infill():
    large = tiny("llama").lm
    for call in (lambda: large.infill([4, None, 5, None]), lambda: large.generate([3], order=(2, 1, 0), max_tokens=3)):
        with pytest.raises(InputError, match=r"llama is a causal model.*sum over all 61\^4 texts of 4 tokens"):
            call()
    any_order = tiny_any_order("llama").lm
    with pytest.raises(InputError, match="has no tokenizer: pass token ids"):
        any_order.infill("A____")
    with pytest.raises(InputError, match="token id 61 at position 0 is out of range"):
        any_order.infill([61, None])
    with pytest.raises(InputError, match="it has 10 tokens, and the model has 9 positions"):
        any_order.infill([3, None] * 5)
    with pytest.raises(InputError, match=r"token '<3>' \(id 3\) at position 0 cannot occur"):
        masked("bert").lm.infill([3, None])
    with pytest.raises(InputError, match="at least one known token"):
        two_stream().lm.generate(max_tokens=2, order=(1, 0))
