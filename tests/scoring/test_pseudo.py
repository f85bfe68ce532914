"""Pseudo-log-likelihoods against one masked text at a time. Their displays say that they are not probabilities."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
import transformers as tf
from masked_zoo import CLS, MASK, MASKED, SEP, TOKENS, masked, strong
from text_zoo import byte_level, unigram, wordpiece

import chainrule
from chainrule import InputError, LanguageModel, PseudoScore, TableModel
from chainrule.models.masked import MaskedModel

TEXT = "Hello quick dogs, world"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with a WordPiece tokenizer."""
    path, tokenizer = tmp_path_factory.mktemp("tiny-bert"), wordpiece()
    torch.manual_seed(0)
    config = tf.BertConfig(vocab_size=tokenizer.size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                           intermediate_size=24, max_position_embeddings=32)  # fmt: skip
    strong(tf.BertForMaskedLM(config)).save_pretrained(path)
    tokenizer.hf.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def lm(folder: Path) -> LanguageModel:
    return chainrule.load(folder)


def terms(lm: LanguageModel, before: list[int], ids: list[int], hidden: list[set[int]]) -> list[float]:
    """The terms, each by one forward. hidden[i]: the tokens that are hidden for term i."""
    frame, text = (1, 2, 3), [*before, *ids]
    possible = [i for i in range(lm.model.head.size) if i not in frame]
    logprobs = []
    for i, hidden_tokens in enumerate(hidden):
        visible = [p for p in range(len(text)) if p - len(before) not in hidden_tokens]
        row = oracle.masked_conditional(lm.model.lm, text, visible, len(before) + i, frame, possible)
        logprobs.append(float(row[ids[i]]))
    return logprobs


def test_each_token_given_all_others(lm: LanguageModel):
    score = lm.pseudo_log_likelihood(TEXT)
    ids = lm.tokenizer.encode(TEXT).tolist()
    expected = terms(lm, [], ids, [{i} for i in range(len(ids))])
    assert score.tokens == [" hello", " qu", "ick", " dog", "s", " ,", " wor", "ld"]
    assert score.term_logprobs == pytest.approx(expected, abs=1e-5)
    assert score.pll_nats == math.fsum(score.term_logprobs.tolist())
    assert not score.within_words


def test_the_rest_of_a_word_is_hidden_too(lm: LanguageModel):
    score = lm.pseudo_log_likelihood(TEXT, within_words=True)
    hidden = [{0}, {1, 2}, {2}, {3, 4}, {4}, {5}, {6, 7}, {7}]
    assert score.term_logprobs == pytest.approx(terms(lm, [], score.ids.tolist(), hidden), abs=1e-5)
    plain = lm.pseudo_log_likelihood(TEXT)
    assert [i for i in range(8) if abs(score.term_logprobs[i] - plain.term_logprobs[i]) > 1e-4] == [1, 3, 6]
    assert score.within_words


@pytest.mark.parametrize("within_words", [False, True])
def test_a_context_is_visible_but_has_no_term(lm: LanguageModel, within_words: bool):
    score = lm.pseudo_log_likelihood("quick dogs", context="Hello ", within_words=within_words)
    hidden = [{0, 1}, {1}, {2, 3}, {3}] if within_words else [{0}, {1}, {2}, {3}]
    before = lm.tokenizer.encode("Hello ").tolist()
    assert (score.context, len(score)) == ("Hello ", 4)
    assert score.term_logprobs == pytest.approx(terms(lm, before, score.ids.tolist(), hidden), abs=1e-5)


@pytest.mark.parametrize("name", MASKED)
def test_on_every_kind_of_masked_model(name: str):
    tiny = masked(name)
    score = tiny.lm.pseudo_log_likelihood([4, 5, 6, 7, 4])
    expected = [
        oracle.masked_conditional(tiny.own, score.ids, set(range(5)) - {i}, i, (CLS, SEP, MASK), TOKENS)[score.ids[i]]
        for i in range(5)
    ]
    assert score.term_logprobs == pytest.approx(expected, abs=1e-5)


def test_shared_terms_of_many_texts_are_computed_once(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    texts, rows = ["hello dog", "hello fox", "hello dog", TEXT], []
    hidden = MaskedModel.hidden
    monkeypatch.setattr(MaskedModel, "hidden", lambda self, ids: (rows.append(len(ids)), hidden(self, ids))[1])
    scores = lm.pseudo_log_likelihoods(texts)
    lengths = [len(score) for score in scores]
    distinct = {tuple(np.where(np.arange(len(s)) == i, 3, s.ids)) for s in scores for i in range(len(s))}
    assert sum(rows) == len(distinct) < sum(lengths)
    for score, text in zip(scores, texts, strict=True):
        assert score.text == text
        assert score.term_logprobs == pytest.approx(lm.pseudo_log_likelihood(text).term_logprobs, abs=1e-5)


def test_it_is_a_score_and_not_a_probability():
    """Two coins that always land alike."""
    coins = LanguageModel(TableModel(["A", "B"], {"": [0.5, 0.5], "A": [1, 0], "B": [0, 1]}, probabilities=True))
    scores = coins.pseudo_log_likelihoods(["".join(s) for s in product("AB", repeat=2)])
    assert [score.pll_nats for score in scores] == [0, -math.inf, -math.inf, 0]
    assert sum(math.exp(score.pll_nats) for score in scores) == 2
    assert np.exp(coins.score_batch(["AA", "AB", "BA", "BB"]).logprob).sum() == 1
    assert not {"logprob", "logprobs", "probability", "perplexity", "bits"} & set(dir(scores[0]))
    for shown in (repr(scores[0]), str(scores[0]), json.dumps(scores[0].to_dict())):
        assert "a score, not a probability" in shown


def test_words_are_those_of_the_tokenizer():
    text = "hello quick dogs, world don't"
    words_of = {wordpiece: ["hello", "quick", "dogs", ","], byte_level: ["hello", "quick", "dogs", ","],
                unigram: ["hello", "quick", "dogs,", "world"]}  # fmt: skip
    for tokenizer, expected in ((make(), words) for make, words in words_of.items()):
        ids = tokenizer.encode(text)
        word_of = tokenizer.words(text, ids)
        assert (np.diff(word_of) >= 0).all()
        words = ["".join(tokenizer.token(int(i)) for i in ids[word_of == w]).strip() for w in range(word_of[-1] + 1)]
        assert words[:4] == expected
    lossy = wordpiece().words("ab cd", [170, 170, 170])  # not the tokens of the tokenizer: split at white space
    assert lossy.tolist()[0] == 0
    assert LanguageModel(TableModel(["A", " "], {"": [0, 0]})).tokenizer.words("AA A", [0, 0, 1, 0]).tolist() == [0, 0, 1, 2]


def test_texts_that_cannot_be_scored(lm: LanguageModel, abc: LanguageModel):
    with pytest.raises(InputError, match=r"item 1: token '\[SEP\]' \(id 2\) at position 1 cannot occur"):
        lm.pseudo_log_likelihoods(["hello dog", "hello [SEP]"], special="parse")
    with pytest.raises(InputError, match=r"item 1: .* has 40 tokens, 42 with \[CLS\] and \[SEP\], and the model takes 32"):
        lm.pseudo_log_likelihoods(["hello dog", "x " * 40])
    with pytest.raises(InputError, match="within_words needs a text"):
        lm.pseudo_log_likelihood([5, 6], within_words=True)
    with pytest.raises(InputError, match="takes a list of texts"):
        lm.pseudo_log_likelihoods("hello")
    with pytest.raises(InputError, match="an empty text"):
        lm.pseudo_log_likelihood("")
    with pytest.raises(InputError, match=r"^table is a causal model.*3\^11"):
        abc.pseudo_log_likelihood("A" * 11)


def test_contents(lm: LanguageModel):
    score = lm.pseudo_log_likelihood(TEXT)
    contents = score.to_dict()
    assert isinstance(score, PseudoScore)
    assert (contents["pll_nats"], contents["tokens"], contents["kind"]) == (score.pll_nats, 8, "pseudo-log-likelihood")
    assert [term["term_logprob"] for term in contents["terms"]] == score.term_logprobs.tolist()
    lines = str(score).splitlines()
    assert [line.split()[-2] for line in lines[2:10]] == [f"{term:.6f}" for term in score.term_logprobs]
    assert lines[12].split()[0] == f"{score.pll_nats:.6f}"
    from rich.console import Console

    console = Console(file=io.StringIO(), width=200)
    console.print(score)
    assert "not a probability" in console.file.getvalue()


def test_the_command(folder: Path, lm: LanguageModel, command, tmp_path: Path):
    model = ["--model", str(folder)]
    code, out, _ = command("pseudo", TEXT, *model)
    (row,) = csv.DictReader(io.StringIO(out))
    assert (code, row["kind"], row["tokens"]) == (0, "pseudo-log-likelihood", "8")
    assert float(row["pll_nats"]) == pytest.approx(lm.pseudo_log_likelihood(TEXT).pll_nats, abs=1e-6)
    code, out, _ = command("pseudo", TEXT, "--within-words", "--json", "--context", "Hello ", *model)
    expected = lm.pseudo_log_likelihood(TEXT, context="Hello ", within_words=True)
    assert json.loads(out)["pll_nats"] == pytest.approx(expected.pll_nats, abs=1e-6)
    assert len(json.loads(out)["terms"]) == 8
    lines = tmp_path / "lines.txt"
    lines.write_text("hello dog\nhello fox\n")
    code, out, _ = command("pseudo", "--file", str(lines), "--json", *model)
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["hello dog", "hello fox"]
    code, out, _ = command("pseudo", "--file", str(lines), "--output", str(tmp_path / "out.csv"), *model)
    assert (code, out) == (0, "")
    assert len(list(csv.DictReader((tmp_path / "out.csv").open()))) == 2


def test_errors_of_the_command(folder: Path, command, tmp_path: Path):
    lines = tmp_path / "lines.txt"
    lines.write_text("hello dog\n" + "x " * 40 + "\n")
    for arguments, message, rows in ((["--file", str(lines)], f"line 2 of {lines}: ", 1), ([""], "text 1 is empty", 0)):
        code, out, err = command("pseudo", *arguments, "--model", str(folder))
        assert (code, len(list(csv.DictReader(io.StringIO(out))))) == (2, rows)
        assert message in err
        assert err.count("\n") == 1


def test_the_columns_of_a_file_have_one_type(folder: Path, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Contexts begin in a later shard."""
    import pyarrow.parquet

    from chainrule.cli import sections

    monkeypatch.setattr(sections, "ROWS", 2)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": "hello dog", "before": c}) + "\n" for c in (None, None, None, "quick fox")))
    arguments = ["--file", str(rows), "--context-column", "before", "-o", str(tmp_path / "out.parquet")]
    assert command("pseudo", *arguments, "--model", str(folder))[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["before"].to_pylist() == [None, None, None, "quick fox"]
    assert table["index"].to_pylist() == [0, 1, 2, 3]
