"""Token ids: the output of transformers' tokenizers, ids in one row, and what an error says of anything else."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from transformers import AutoTokenizer, BatchEncoding

from chainrule import InputError, LanguageModel, TableModel

TEXTS = ["The quick brown fox", "Hello", "a naïve dog"]


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@pytest.fixture(scope="module")
def table() -> LanguageModel:
    return LanguageModel(TableModel(["A", "B"], {"": [1, 2], "A": [0, 3], "B": [4, 0]}, back_off=True))


@pytest.mark.parametrize("tensors", [None, "np", "pt"])
def test_the_output_of_a_tokenizer_has_the_score_of_its_text(tiny: LanguageModel, tokenizer: Any, tensors: str | None):
    text = TEXTS[0]
    encoding = tokenizer(text, return_tensors=tensors, add_special_tokens=False)
    wanted = tiny.score(text)
    assert tiny.score(encoding).logprobs.tolist() == wanted.logprobs.tolist()
    assert tiny.score(encoding.input_ids).ids.tolist() == wanted.ids.tolist()
    assert (
        tiny.score(encoding, context=tokenizer("Yes:", return_tensors=tensors, add_special_tokens=False)).kind == "conditional"
    )
    assert tiny.conditional(encoding).logprobs.tolist() == tiny.conditional(text).logprobs.tolist()
    assert tiny.generate(encoding, max_tokens=2, end=False).logprob == tiny.generate(text, max_tokens=2, end=False).logprob
    assert torch.equal(tiny.embed(encoding), tiny.embed(text))
    assert len(tiny.score_batch(encoding)) == 1


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tensors", [None, "np", "pt"])
def test_padding_is_left_out(tiny: LanguageModel, tokenizer: Any, tensors: str | None, side: str):
    encoding = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors=tensors, add_special_tokens=False)
    wanted = tiny.score_batch(TEXTS)
    assert len({len(row) for row in encoding["input_ids"]}) == 1 < len(set(wanted.tokens.tolist()))
    assert tiny.score_batch(encoding).logprob.tolist() == wanted.logprob.tolist()
    assert tiny.score_batch([encoding_of(encoding, i) for i in range(3)]).logprob.tolist() == wanted.logprob.tolist()
    after = tiny.score_batch([[5]] * 3, context=encoding)  # one for each
    assert after.logprob.tolist() == tiny.score_batch([[5]] * 3, context=[s.ids.tolist() for s in wanted]).logprob.tolist()
    one = tokenizer(TEXTS[1], return_tensors=tensors, add_special_tokens=False)  # for all
    ids = wanted[1].ids.tolist()
    assert (
        tiny.score_batch([[5]] * 3, context=one).logprob.tolist() == tiny.score_batch([[5]] * 3, context=ids).logprob.tolist()
    )


def encoding_of(batch: BatchEncoding, i: int) -> BatchEncoding:
    return BatchEncoding({name: values[i : i + 1] for name, values in batch.items()})


def test_a_start_symbol_of_the_tokenizer_is_scored_as_given_with_a_warning(tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXTS[0]).tolist()
    encoding = BatchEncoding({"input_ids": [[tiny.tokenizer.bos_id, *ids]], "attention_mask": [[1] * (len(ids) + 1)]})
    with pytest.warns(UserWarning, match=r"begin with the start symbol <s> .*added too.*start='given'"):
        doubled = tiny.score(encoding)
    assert doubled.ids.tolist() == [tiny.tokenizer.bos_id, *ids]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = tiny.score(encoding, start="given")
    assert given.ids.tolist() == ids
    assert given.logprobs == pytest.approx(tiny.score(TEXTS[0]).logprobs, abs=1e-5)


@pytest.mark.parametrize(
    "make", [list, np.array, torch.tensor, lambda rows: tuple(map(tuple, rows)), lambda r: [np.array(r[0])]]
)
def test_one_row_of_ids_is_one_text(table: LanguageModel, make: Any):
    wanted = table.score([0, 1, 1]).logprobs.tolist()
    row = make([[0, 1, 1]])
    assert table.score(row).logprobs.tolist() == wanted
    assert table.score([1], context=make([[0, 1]])).logprobs.tolist() == wanted[2:]
    assert table.conditional(row).context == 4
    assert table.score_batch(row).logprob.tolist() == [table.score([0, 1, 1]).logprob]


WRONG: dict[str, tuple[Any, str]] = {
    "floats": ([0.5, 1.5], r"token ids are whole numbers, not float \(0.5 at position 0 of \[0.5, 1.5\]\)"),
    "whole floats": (torch.ones(3), r"not float32 \(1.0 at position 0 of .*\); convert them: \[int\(id\) for id in ids\]"),
    "rows": ([[0, 1], [1]], r"expected the token ids of one text, not 2 sequences .*; score_batch takes several texts"),
    "an array of rows": (np.zeros((2, 3), int), r"not 2 rows of shape \(3,\); score_batch takes several texts"),
    "a dict": ({"text": "AB"}, r"not dict \(\{'text': 'AB'\}\): pass one of its values, such as its text"),
    "a dict with ids": ({"input_ids": [0, 1]}, "pass one of its values, such as its input_ids"),
    "bytes": (b"AB", "bytes is not text; decode it first"),
    "a file": (io.StringIO("AB"), r"not StringIO \(.*: pass the text in it: file.read\(\)"),
    "a path": (Path("a.txt"), r"for the text in the file, pass path.read_text\(\)"),
    "a DataFrame": (pandas.DataFrame({"t": ["A"]}), r"expected one text, not a DataFrame: use score_batch\(table\['text'\]\)"),
    "a Series": (pandas.Series(["A"]), "expected one text, not a Series of texts: use score_batch"),
    "texts": (["A", "B"], r"expected one text, not a list of texts \(\['A', 'B'\]\); score_batch takes a list"),
    "three texts": (("A", "B", "A"), "not a list of texts"),
    "embeddings": (torch.zeros(3, 8), r"not torch.float32 of shape \(3, 8\); embeddings are passed by name: score\("),
    "narrow embeddings": (torch.zeros(3, 8, dtype=torch.bfloat16), r"not torch.bfloat16 of shape \(3, 8\); embeddings are"),
    "NumPy embeddings": (np.zeros((3, 8)), r"not float64 of shape \(3, 8\); embeddings are passed by name"),
    "a set": ({0, 1}, "a set has no order; pass a list"),
    "a number": (3, r"not int \(3\): a text is in quotes, and token ids are in a list"),
    "a bool": (True, r"not bool \(True\): a text is in quotes"),
    "NaN": (math.nan, r"the text is missing \(nan\)"),
    "a model": (torch.nn.Linear(2, 2), r"not Linear \(Linear\(.*: pass a str, a list of token ids, or a tuple of two texts"),
    "a text among ids": (["A", 0], "'A' at position 0 .*; a text and token ids cannot be mixed"),
    "None among ids": ([0, None], r"not NoneType \(None at position 1 of \[0, None\]\); pass token ids"),
    "a mask": ([True, False], r"not bool \(True at position 0 of \[True, False\]\); a mask selects ids: pass those"),
    "a scalar": (torch.tensor(3), r"not a single one \(tensor\(3\)\): put it into a list"),
    "a generator": ((i for i in "AB"), r"not generator .*: score_batch takes several texts; for token ids, pass list"),
    "huge": ([10**30], r"token ids are out of range \(\[10+\]\)"),
    "objects": (np.array([0, None], object), r"not NoneType \(None at position 1"),
    "an encoding of two texts": (BatchEncoding({"input_ids": [[0], [1]]}), "not the output of a tokenizer for 2 texts"),
    "an encoding without ids": (BatchEncoding({"labels": [1]}), r"no input_ids; it has \['labels'\]"),
    "a hole": (BatchEncoding({"input_ids": [0, 1, 1], "attention_mask": [1, 0, 1]}), "hides the token at position 1, between"),
    "a short mask": (BatchEncoding({"input_ids": [0, 1], "attention_mask": [1]}), "input_ids and attention_mask have"),
    "only padding": (BatchEncoding({"input_ids": [0, 1], "attention_mask": [0, 0]}), "an empty sequence of token ids"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_an_error_says_what_was_given_and_what_to_pass(table: LanguageModel, kind: str):
    value, message = WRONG[kind]
    with pytest.raises(InputError, match=message) as error:
        table.score(value)
    assert not str(error.value).startswith("item")
    assert len(str(error.value)) < 220
    assert ("embeddings=" in str(error.value)) == ("embeddings" in kind or kind == "floats")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (io.StringIO("A\nB\n"), r"not a file, whose lines end in newlines: pass file.read\(\).splitlines\(\)"),
        (torch.zeros(3, 8), r"not torch.float32 of shape \(3, 8\); embeddings: score\(embeddings=...\)"),
        (np.zeros((3, 8)), r"not float64 of shape \(3, 8\)"),
        ([{"text": "A"}], r"item 0: .*not dict .*such as its text"),
        ([0, 1], r"item 0: .*not int \(0\): .*token ids are in a list"),
    ],
)
def test_an_error_of_a_batch(table: LanguageModel, value: Any, message: str):
    with pytest.raises(InputError, match=message):
        table.score_batch(value)
