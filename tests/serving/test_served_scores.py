"""/v1/logprobs, /v1/score, /tokenize and /detokenize beside the library."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_api import Api
from starlette.testclient import TestClient

from chainrule import LanguageModel, TableModel
from chainrule.serving.app import create_app

ARROW = "application/vnd.apache.arrow.stream"
TEXTS = ["Hello world", "é 🙂", "Hello there"]


def arrow(api: Api, **body: Any) -> pyarrow.Table:
    reply = api.client.post("/v1/logprobs", json=body, headers={"Accept": ARROW})
    assert (reply.status_code, reply.headers["content-type"]) == (200, ARROW)
    return pyarrow.ipc.open_stream(io.BytesIO(reply.content)).read_all()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"start": "given", "top": 2},
        {"start": 5, "end": True, "temperature": 0.5},
        {"context": "The text before", "last_n": 3},
        {"context": [None, "a b", "c"], "end": 7},
        {"window": 4, "stride": 2},
    ],
)
def test_the_numbers_are_those_of_score_batch(api: Api, tiny: LanguageModel, how: dict[str, Any]):
    scores, reply = tiny.score_batch(TEXTS, **how), api.post("/v1/logprobs", input=TEXTS, **how)
    table = arrow(api, input=TEXTS, **how).to_pydict()
    for i, (item, score) in enumerate(zip(reply["data"], scores, strict=True)):
        assert (item["index"], item["logprob"], item["kind"]) == (i, score.logprob, score.kind)
        for name in ("ids", "logprobs", "ranks", "entropies_bits", "contexts"):
            assert item[name] == getattr(score, name).tolist() == table[name][i]
        if "top" in how:
            assert item["top_ids"] == score.top_ids.tolist() == table["top_ids"][i]
            assert item["top_logprobs"] == score.top_logprobs.tolist() == table["top_logprobs"][i]
        assert item["impossible"] == []
        assert item["start"] == score.start.id
    assert table["logprob"] == scores.logprob.tolist()


def test_targets_and_spans(api: Api, tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXTS[0])
    targets = [[[1, 2]] * len(ids), None]
    reply = api.post("/v1/logprobs", input=TEXTS[:2], targets=targets, spans=True)["data"]
    score = tiny.score(TEXTS[0], targets=targets[0])
    assert score.spans is not None
    assert reply[0]["target_logprobs"] == [each.tolist() for each in score.target_logprobs]
    assert reply[0]["target_ids"] == targets[0]
    assert reply[1]["target_logprobs"] == [[]] * len(reply[1]["ids"])
    assert reply[0]["spans"] == [list(span) for span in score.spans.char_spans]
    table = arrow(api, input=TEXTS[:2], targets=targets, spans=True).to_pydict()
    assert table["target_logprobs"] == [item["target_logprobs"] for item in reply]
    assert [list(span) for span in zip(table["span_begins"][0], table["span_ends"][0], strict=True)] == reply[0]["spans"]


def test_token_ids_have_no_spans(api: Api):
    [item] = api.post("/v1/logprobs", input=[5, 6], spans=True)["data"]
    assert item["spans"] is None


def test_an_impossible_factor_is_null_with_its_place_and_infinite_in_arrow():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [0, -math.inf], "B": [0, 0]}, back_off=True))
    with TestClient(create_app({"table": lm})) as client:
        api = Api(client)
        [item] = api.post("/v1/logprobs", input="ABA", top=2)["data"]
        assert (item["logprob"], item["impossible"], item["logprobs"][1]) == (None, [1], None)
        assert item["top_logprobs"][1] == [0.0, None]
        [logprobs] = arrow(api, input="ABA")["logprobs"].to_pylist()
        assert logprobs[1] == -math.inf


@given(
    query=st.lists(st.integers(0, 200), min_size=1, max_size=6),
    items=st.lists(st.lists(st.integers(0, 200), min_size=1, max_size=4), min_size=1, max_size=3),
    labels=st.lists(st.integers(0, 200), min_size=1, max_size=4),
    softmax=st.booleans(),
    first=st.booleans(),
)
def test_scores_are_probabilities_of_the_next_token(
    api: Api, tiny: LanguageModel, query: list[int], items: list[list[int]], labels: list[int], softmax: bool, first: bool
):
    reply = api.post("/v1/score", query=query, items=items, label_token_ids=labels, apply_softmax=softmax, item_first=first)
    for item, row in zip(items, reply["scores"], strict=True):
        logprob_V = tiny.conditional(item + query if first else query + item, start="given").logprobs
        logprobs = logprob_V[labels]
        expected = np.exp(logprobs - np.logaddexp.reduce(logprobs)) if softmax else np.exp(logprobs)
        assert row == pytest.approx(expected.tolist(), rel=1e-9)
    assert reply["usage"]["prompt_tokens"] == sum(len(query) + len(item) for item in items)


def test_query_and_item_are_joined_as_texts(api: Api, tiny: LanguageModel):
    [row] = api.post("/v1/score", query="Hello wor", items="ld", label_token_ids=[5])["scores"]
    ids = tiny.tokenizer.encode("Hello world")
    assert row == pytest.approx([math.exp(tiny.conditional(ids, start="given").logprobs[5])], rel=1e-9)


def test_labels_that_are_all_impossible():
    lm = LanguageModel(TableModel(["A", "B", "C"], {"": [0, 0, 0], "A": [0, -math.inf, -math.inf]}, back_off=True))
    with TestClient(create_app({"table": lm})) as client:
        for softmax in (True, False):
            reply = Api(client).post("/v1/score", query="A", items="A", label_token_ids=[1, 2], apply_softmax=softmax)
            assert reply["scores"] == [[0.0, 0.0]]


def test_texts_are_encoded_and_decoded(api: Api, tiny: LanguageModel):
    text = "Hello </s> é 🙂"
    reply = api.post("/tokenize", prompt=text, return_token_strs=True)
    assert reply["tokens"] == tiny.tokenizer.encode(text, "parse").tolist()
    assert reply["count"] == len(reply["tokens"])
    assert reply["max_model_len"] == tiny.model.max_rows
    assert reply["token_strs"] == [tiny.tokenizer.token(id) for id in reply["tokens"]]
    assert api.post("/detokenize", tokens=reply["tokens"])["prompt"] == text
    assert api.post("/tokenize", prompt="")["tokens"] == []
    assert api.post("/detokenize", tokens=[])["prompt"] == ""


def test_what_clients_need_to_know_of_the_tokenizer(api: Api, table: Api):
    info = api.client.get("/tokenizer_info").json()
    assert (info["eos_token"], info["bos_token"], info["chat_template"]) == ("</s>", "<s>", None)
    assert table.client.get("/tokenizer_info").json()["eos_token"] is None
