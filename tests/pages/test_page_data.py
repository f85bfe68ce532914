"""The data of a page: the numbers are those of the library, bit for bit, for every kind of model and for strange texts."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from model_kinds import KINDS
from model_zoo import tiny_any_order
from page_data import checked, in_order, numbers
from text_zoo import wordpiece

import chainrule
from chainrule import Explanation, InputError, LanguageModel, OutputError, TableModel
from chainrule.pages import Tokens, pseudo_reading, reading, text_section
from chainrule.results.numbers import probability

TEXT = "Hello world, naïve café"
STRANGE = [
    "x",
    " ",
    "👩‍👩‍👧 🎉",
    "שלום, مرحبا",
    "日本語",
    "a\n\t\\ ␣ \x00 \x7f",
    '</script><script>alert(1)</script> "<b>"',
    "e\u0301 combining",
]


@pytest.fixture
def table() -> LanguageModel:
    """A table in which B never follows A."""
    rows = {"": [0.5, 0.5, 0.0], "A": [0.5, 0.0, 0.5], "B": [0.2, 0.5, 0.3]}
    return LanguageModel(TableModel(["A", "B", "C"], rows, probabilities=True, back_off=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"context": "Pack my box "},
        {"start": "given"},
        {"start": "eos", "end": True},
        {"context": "Pack", "start": "given", "end": True},
        {"temperature": 0.7},
        {"window": 8, "stride": 3},
        {"order": "left-to-right"},
    ],
    ids=str,
)
def test_the_numbers_are_those_of_score_and_explain(tiny: LanguageModel, options: dict[str, Any]):
    page, score = tiny.page(TEXT, **options), tiny.score(TEXT, top=10, **options)
    own, factors = checked(page)["readings"]["text"], tiny.explain(TEXT, **options).factors
    assert own["logprob"] == score.logprobs.tolist() == [f.logprob for f in factors]
    assert own["running_logprob"] == [f.running_logprob for f in factors]
    assert own["running_probability"] == [probability(f.running_logprob) for f in factors]
    assert own["probability"] == [f.probability for f in factors]
    assert own["surprisal_bits"] == score.surprisals_bits.tolist()
    assert own["entropy_bits"] == score.entropies_bits.tolist()
    assert own["rank"] == score.ranks.tolist()
    assert own["contexts"] == score.contexts.tolist()
    assert own["position"] == [f.position for f in factors]
    assert own["total"]["logprob"] == score.logprob == own["running_logprob"][-1]
    assert (own["total"]["bits"], own["total"]["bits_per_byte"]) == (score.bits, score.bits_per_byte)
    assert [[row[0] for row in factor] for factor in own["top"]] == score.top_ids.tolist()
    assert np.allclose([[row[1] for row in factor] for factor in own["top"]], score.top_logprobs, rtol=1e-7, atol=0)
    assert "".join(own["pieces"]) == (score.context or "") + TEXT
    assert own["given"] == len(score.request.context_ids)


def test_from_embeddings_come_the_same_factors(tiny: LanguageModel):
    score = tiny.score(TEXT)
    own = checked(tiny.page(TEXT))["readings"]["text"]
    assert own["by_embeddings"] == tiny.score(embeddings=tiny.embed(score.ids)).logprobs.tolist()
    after = checked(tiny.page(TEXT, context="Pack my box ", end=True, window=12))["readings"]["text"]
    assert after["by_embeddings"] == after["logprob"]


def test_embeddings_that_the_text_was_scored_with_are_shown(tiny: LanguageModel):
    e_TD = tiny.embed(TEXT) * 1.5
    score = tiny.score(tiny.score(TEXT).ids, embeddings=e_TD, end=True)
    data = checked(tiny.page(score))
    assert data["readings"]["text"]["logprob"] == score.logprobs.tolist()
    norms = data["openings"]["inputs"]["norm"]
    assert norms[1:-1] == pytest.approx(e_TD.norm(dim=-1).tolist(), rel=1e-5)
    assert data["variants"] == []
    assert "embeddings" in data["missing"]["variants"]
    logits = np.array(data["openings"]["logit"]) - data["openings"]["logsumexp"]
    assert logits.tolist() == score.logprobs.tolist()


@pytest.mark.parametrize("text", STRANGE)
def test_strange_texts(tiny: LanguageModel, text: str):
    page = tiny.page(text, max_tokens=2)
    data = checked(page)
    assert "".join(data["readings"]["text"]["pieces"]) == text
    assert data["readings"]["text"]["logprob"] == tiny.score(text).logprobs.tolist()
    assert all(name and name.isprintable() and " " not in name for name in data["tokens"].values())
    assert "<script>alert" not in page.html


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("wide", "generating")])
def test_every_kind_of_model(kind: str):
    lm = KINDS[kind].make()
    ids = [1, 2, 0] if kind in ("any-order", "sums", "table", "two-stream") else [5, 6, 7, 4]
    score = lm.score(ids, top=3)
    data = checked(lm.page(ids, max_tokens=2))
    own = data["readings"]["text"]
    assert own["logprob"] == in_order(score, score.logprobs.tolist())
    assert own["rank"] == in_order(score, score.ranks.tolist())
    has_logits = lm.predictor.strategy not in ("masked", "two-stream")
    assert (data["openings"] is not None) == has_logits == ("openings" not in data["missing"])
    assert (data["growths"] is not None) == bool(lm.predictor.accepts.next_token)
    assert data["comparison"] is not None
    assert data["model"]["vocabulary"] == lm.model.head.size


@pytest.mark.parametrize("kind", ["any-order", "masked", "sums", "table"])
def test_orders(kind: str):
    lm = KINDS[kind].make()
    ids = [5, 6, 7, 4] if kind == "masked" else [1, 2, 0, 1]
    score = lm.score(ids, order=[2, 0, 3, 1], top=2)
    data = checked(lm.page(ids, order=[2, 0, 3, 1], max_tokens=2))
    own = data["readings"]["text"]
    assert own["order"] == [2, 0, 3, 1] == own["position"]
    assert own["known"] == [[], [2], [2, 0], [2, 0, 3]]
    assert own["logprob"] == in_order(score, score.logprobs.tolist())
    assert own["running_logprob"][-1] == own["total"]["logprob"] == score.logprob
    assert data["variants"] == []
    assert "order" in data["missing"]["variants"]
    assert data["comparison"] is not None
    assert (data["openings"] is not None) == (kind == "any-order")


def test_impossible_texts(table: LanguageModel):
    data = checked(table.page("CAB", compare="CAB"))
    own = data["readings"]["text"]
    assert own["logprob"] == ["-Infinity", math.log(0.5), "-Infinity"] or own["logprob"][0] == "-Infinity"
    assert numbers(own["logprob"]) == table.score("CAB").logprobs.tolist()
    assert own["total"]["perplexity"] == "Infinity"
    assert data["comparison"]["difference_total"] is None
    assert data["comparison"]["decided"] is None


def test_a_text_of_one_token(table: LanguageModel):
    data = checked(table.page("A"))
    assert data["readings"]["text"]["logprob"] == [math.log(0.5)]
    assert [each["kind"] for each in data["variants"]] == ["replace"]


def test_token_ids_have_no_pieces(tiny: LanguageModel):
    own = checked(tiny.page([5, 6, 7], context=[8, 9]))["readings"]["text"]
    assert (own["pieces"], own["text"], own["given"], own["sequence"]) == (None, None, 2, [8, 9, 5, 6, 7])


def test_a_page_of_an_explanation_is_that_of_its_text(tiny: LanguageModel):
    assert tiny.explain(TEXT).page().data == tiny.page(TEXT).data
    score = tiny.score(TEXT, context="Pack", top=2, window=9, stride=2)
    assert tiny.explain(score).page().data == tiny.page(TEXT, context="Pack", window=9, stride=2).data


def test_a_page_without_the_model_has_the_factors(tiny: LanguageModel):
    score = tiny.score(TEXT, top=2)
    data = checked(Explanation(score).page())
    assert data["readings"]["text"]["logprob"] == score.logprobs.tolist()
    assert set(data["missing"]) == {"openings", "variants", "growths", "comparison"}


def test_a_pickled_explanation_holds_no_model(tiny: LanguageModel):
    explanation = tiny.explain(TEXT)
    copy = pickle.loads(pickle.dumps(explanation))
    assert str(copy) == str(explanation)
    assert copy.page().data["openings"] is None
    assert len(pickle.dumps(explanation)) < len(pickle.dumps(Explanation(explanation.score))) + 100


def test_a_score_of_another_model_is_refused(tiny: LanguageModel, abc: LanguageModel):
    with pytest.raises(InputError, match="another model"):
        tiny.page(abc.score("AB"))
    with pytest.raises(InputError, match="another model"):
        tiny.page(TEXT, compare=abc.score("AB"))


def test_a_score_takes_no_other_options(tiny: LanguageModel):
    with pytest.raises(InputError, match="as it is"):
        tiny.page(tiny.score(TEXT), temperature=0.5)
    with pytest.raises(InputError, match="one order"):
        tiny.page(TEXT, order="random:2")


def test_a_pseudo_log_likelihood_is_no_probability():
    lm = KINDS["masked"].make()
    pseudo = lm.pseudo_log_likelihood([5, 6, 7], context=[4])
    own = pseudo_reading(Tokens(lm.tokenizer), pseudo)
    assert own.keys() == reading(Tokens(lm.tokenizer), lm.score([5, 6, 7])).keys()
    assert own["logprob"] == pseudo.term_logprobs.tolist()
    assert own["known"] == [[0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert own["total"]["logprob"] == pseudo.pll_nats
    assert own["running_probability"] is own["total"]["probability"] is None
    json.dumps(own, allow_nan=False)


def test_known_positions_are_those_of_the_score():
    lm = tiny_any_order("llama").lm
    score = lm.score([3, 50, 7, 12], context=[9, 4], order="right-to-left")
    own = reading(Tokens(lm.tokenizer), score)
    assert own["known"] == [[0, 1], [0, 1, 5], [0, 1, 5, 4], [0, 1, 5, 4, 3]]
    assert own["contexts"] == [3, 4, 5, 6]


def test_a_section_alone_is_that_of_the_page(tiny: LanguageModel):
    page, part = tiny.page(TEXT).data, text_section(tiny, tiny.score(TEXT))
    assert part["readings"]["text"] == page["readings"]["text"]
    assert part["openings"] | {"wrong": None} == page["openings"] | {"wrong": None}
    assert part["tokens"].items() <= page["tokens"].items()


def test_writing(tiny: LanguageModel, tmp_path: Path):
    page = tiny.page("x", max_tokens=1)
    page.write(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page.html
    with pytest.raises(OutputError, match="html"):
        page.write(tmp_path / "page.pdf")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_notebook_shows_the_page_in_a_frame(tiny: LanguageModel):
    page = tiny.page('</iframe> "x"', max_tokens=1)
    frame = page._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!')
    assert frame.count("<") == 2
    assert "resize: vertical" in frame


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None, "8", 10**9])
def test_a_wrong_number_of_tokens_is_an_error(tiny: LanguageModel, wrong: Any):
    with pytest.raises(InputError, match=r"max_tokens must be a whole number from 1 to 1,000, not"):
        tiny.page("It is", max_tokens=wrong)


def test_a_text_grows_by_as_many_tokens_as_fit(tiny: LanguageModel):
    room = tiny.page("a" * 60, max_tokens=8).data["growths"]
    assert room["max_tokens"] == 4
    assert room["methods"][0]["logprob"] == tiny.generate("a" * 60, max_tokens=4, end=False).logprobs.tolist()
    full = tiny.page("a" * 64).data
    assert (full["growths"], "no room for another token" in full["missing"]["growths"]) == (None, True)


@pytest.mark.parametrize("other", ["", [], 5, [-1], "\ud800", ["a", "b"]])
def test_a_second_text_that_cannot_be_scored_is_named(tiny: LanguageModel, other: Any):
    done: list[int] = []
    with pytest.raises(InputError, match=r"^the second text, .* cannot be compared: (?!item)"):
        tiny.page("It is", compare=other, progress=lambda *_: done.append(1))
    of_score: list[int] = []
    tiny.score("It is", progress=lambda *_: of_score.append(1))
    assert len(done) == len(of_score)  # before the what-ifs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoints of a masked and of a causal BERT, whose tokenizer takes pairs."""
    tokenizer, made = wordpiece(), []
    sizes = {"vocab_size": tokenizer.size, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 32, "initializer_range": 0.3}  # fmt: skip
    for network, more in ((tf.BertForMaskedLM, {}), (tf.BertLMHeadModel, {"is_decoder": True})):
        folder = tmp_path_factory.mktemp("private") / "bert"
        torch.manual_seed(0)
        network(tf.BertConfig(**sizes, **more)).save_pretrained(folder)
        tokenizer.hf.save_pretrained(folder)
        made.append(folder)
    return made[0], made[1]


def test_no_page_has_the_path_of_the_model(folders: tuple[Path, Path]):
    page = chainrule.load(folders[0]).page("the cat", order="random")
    assert page.data["missing"]["growths"].startswith("bert is not a causal model")
    assert "private" not in page.to_json() + page.html + repr(page)


def test_a_pair_of_texts_is_compared_with_another_pair(folders: tuple[Path, Path]):
    lm = chainrule.load(folders[1])
    page = lm.page(("the cat", "it is"), compare=("the dog", "it is"))
    other = lm.score(("the dog", "it is"))
    assert checked(page)["readings"]["other"]["logprob"] == other.logprobs.tolist()
    assert page.data["comparison"]["difference_total"] == pytest.approx(lm.score(("the cat", "it is")).logprob - other.logprob)
