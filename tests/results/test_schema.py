"""The columns of a table, made for all sequences at once, are what each score says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import text_zoo
from hypothesis import given
from hypothesis import strategies as st
from unicode_texts import PLAIN_TEXTS

from chainrule import LanguageModel, Scores
from chainrule.text.spans import char_spans, distinct

ZOO = text_zoo.LOSSLESS | text_zoo.LOSSY
TEXTS = ["The quick brown fox", "naïve  café 🎉", "a b", "日本語のテキスト", "Hello ☃ WORLD", "the cat sat", "e\u0301"]


def per_token(scores: Scores) -> dict[str, list[Any]]:
    """The slow, obvious way."""
    rows = [
        {
            "index": i,
            "place": place,
            "token": score.tokens[place],
            "id": score.ids[place],
            "logprob": score.logprobs[place],
            "context": score.contexts[place],
            "rank": score.ranks[place],
            "begin": score.spans.char_spans[place][0] if score.spans else None,
            "stop": score.spans.char_spans[place][1] if score.spans else None,
            "start": score.start.policy,
            "start_id": score.start.id,
            "end_id": score.end,
            "kind": score.kind,
            "top": [token for token, _ in score.top(place)],
            "top_logprob": [logprob for _, logprob in score.top(place)],
        }
        for i, score in enumerate(scores)
        for place in range(len(score))
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def with_tokenizer(tiny: LanguageModel, name: str) -> LanguageModel:
    """The tiny model scores any ids below its size: what it makes of them is not looked at."""
    return LanguageModel(tiny.model, ZOO[name](), engine=tiny.engine)


def ids_below(lm: LanguageModel, texts: list[str]) -> list[str]:
    return [text for text in texts if lm.tokenizer.encode(text).max(initial=lm.model.head.size) <= lm.model.head.size]


@pytest.mark.filterwarnings("ignore:the tokens begin with the start symbol")
@pytest.mark.parametrize("name", ["byte_level", "llama", "unigram", "wordpiece", "word_end", "t5"])
@pytest.mark.parametrize("options", [{}, {"end": 7}, {"start": "given", "end": 7}, {"context": "Hello "}], ids=str)
def test_columns_are_what_each_score_says(tiny: LanguageModel, name: str, options: dict[str, Any]):
    lm = with_tokenizer(tiny, name)
    scores = lm.score_batch(
        [*ids_below(lm, TEXTS), [3, 4, 5]] if "context" not in options else ids_below(lm, TEXTS), top=2, **options
    )
    found = scores.to_arrow("token").to_pydict()
    for column, values in per_token(scores).items():
        assert found[column] == values, column
    whole = scores.to_arrow().to_pydict()
    for column in ("text", "logprob", "bits", "perplexity", "bytes", "bits_per_byte", "kind", "boundary", "windows"):
        assert whole[column] == [getattr(score, column) for score in scores], column


def test_pairs_have_neither_spans_nor_one_text(tiny: LanguageModel):
    scores = with_tokenizer(tiny, "wordpiece").score_batch([("a", "b"), "the cat"], end=7)
    found = scores.to_arrow("token").to_pydict()
    assert found["begin"] == per_token_begin(scores)
    assert scores.to_arrow()["bytes"].to_pylist() == [score.bytes for score in scores]


def per_token_begin(scores: Scores) -> list[int | None]:
    return [score.spans.char_spans[i][0] if score.spans else None for score in scores for i in range(len(score))]


@pytest.mark.parametrize("name", ZOO)
@given(texts=st.lists(PLAIN_TEXTS, max_size=5))
def test_spans_of_many_texts_are_those_of_each(name: str, texts: list[str]):
    tokenizer = ZOO[name]()
    ids = tokenizer.encode_batch(texts)
    begin, stop = char_spans(tokenizer, texts, ids)
    want = [span for text, own in zip(texts, ids, strict=True) for span in tokenizer.spans(text, own).char_spans]
    assert list(zip(begin.tolist(), stop.tolist(), strict=True)) == want


@given(st.lists(st.integers(0, 50)))
def test_distinct_is_unique(drawn: list[int]):
    ids = np.array(drawn, np.int64)
    found, which = distinct(ids)
    want, inverse = np.unique(ids, return_inverse=True)
    assert (found.tolist(), which.tolist()) == (want.tolist(), inverse.tolist())
