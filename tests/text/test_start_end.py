"""Start and end symbols: which symbol a policy selects, and its description."""

import numpy as np
import pytest

from chainrule.errors import InputError
from chainrule.text import Start, resolve_end, resolve_start

NONE = {"vocab_size": 100}
BOTH = {"vocab_size": 100, "tokenizer_bos": 1, "tokenizer_eos": 2, "config_bos": 3, "config_eos": 4}
GPT2 = {"vocab_size": 100, "tokenizer_bos": 99, "tokenizer_eos": 99}


@pytest.mark.parametrize(
    ("requested", "symbols", "policy", "id"),
    [
        ("auto", BOTH, "bos", 1),
        ("auto", BOTH | {"tokenizer_bos": None}, "bos", 3),
        ("auto", BOTH | {"tokenizer_bos": None, "config_bos": None}, "eos", 2),
        ("auto", {"vocab_size": 100, "config_eos": [4, 5]}, "eos", 4),
        ("auto", {"vocab_size": 100, "config_eos": []}, "given", None),
        ("auto", BOTH | {"tokenizer_bos": 100}, "bos", 3),  # a symbol that the model has no row for
        ("auto", NONE, "given", None),
        ("auto", {"vocab_size": 100, "tokenizer_bos": 0}, "bos", 0),
        ("bos", BOTH, "bos", 1),
        ("eos", BOTH, "eos", 2),
        ("given", BOTH, "given", None),
        (7, BOTH, "id", 7),
        (0, NONE, "id", 0),
        (np.int64(99), NONE, "id", 99),
    ],
)
def test_start(requested: str | int, symbols: dict, policy: str, id: int | None):
    start = resolve_start(requested, token="[{}]".format, **symbols)
    assert (start.policy, start.id, start.token) == (policy, id, None if id is None else f"[{id}]")
    assert start.kind == ("conditional" if id is None else "joint")
    assert type(start.id) in (int, type(None))
    assert start.to_dict() == {"kind": start.kind, "policy": policy, "id": id, "token": start.token}


@pytest.mark.parametrize(
    ("requested", "symbols", "match"),
    [
        ("bos", NONE, "no BOS symbol.*start=ID.*given"),
        ("eos", NONE, "no EOS symbol"),
        ("BOS", BOTH, "'auto', 'bos', 'eos', 'given'"),
        ("", BOTH, "choose"),
        (-1, BOTH, "0 to 99"),
        (100, BOTH, "0 to 99"),
        (True, BOTH, "True"),
        (1.0, BOTH, "1.0"),
        (None, BOTH, "None"),
    ],
)
def test_an_invalid_start_is_an_input_error(requested, symbols: dict, match: str):
    with pytest.raises(InputError, match=match):
        resolve_start(requested, **symbols)


def test_describe_names_the_symbol_before_the_first_token():
    def describe(requested: str | int, **symbols) -> str:
        return resolve_start(requested, token="[{}]".format, **symbols).describe()

    assert describe("auto", **BOTH) == "joint: the first token is predicted from the start symbol [1] (id 1)"
    assert describe("auto", **GPT2).endswith("the start symbol [99] (id 99), which is also the end symbol")
    assert "end symbol, used as the start symbol, [2]" in describe("eos", **BOTH)
    assert "also" not in describe("eos", **BOTH)
    assert describe(7, **BOTH).endswith("predicted from the token [7] (id 7)")
    assert describe("given", **BOTH).startswith("conditional: the first token is given")


def test_start_of_gpt2_is_its_bos():
    assert resolve_start("auto", **GPT2) == Start("bos", 99, "<99>", also_end=True)


@pytest.mark.parametrize(
    ("requested", "want"),
    [(False, None), (None, None), (True, 2), (7, 7), (1, 1), (0, 0), (np.int32(5), 5)],
)
def test_end(requested: bool | int | None, want: int | None):
    end = resolve_end(requested, vocab_size=100, tokenizer_eos=2, config_eos=4)
    assert end == want
    assert type(end) in (int, type(None))


def test_a_config_with_several_end_symbols_uses_the_first():
    assert resolve_end(True, vocab_size=100, config_eos=[4, 5]) == 4


@pytest.mark.parametrize(("requested", "match"), [(True, "no EOS"), (100, "0 to 99"), (-1, "0 to 99"), ("eos", "True")])
def test_an_invalid_end_is_an_input_error(requested, match: str):
    with pytest.raises(InputError, match=match):
        resolve_end(requested, vocab_size=100)
