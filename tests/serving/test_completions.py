"""/v1/completions: prompts scored and continued, beside the library's own numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness_models import write
from hypothesis import given
from hypothesis import strategies as st
from serving_api import Api
from starlette.testclient import TestClient
from text_zoo import CORPUS

import chainrule
from chainrule import LanguageModel, TableModel
from chainrule.serving.app import create_app
from chainrule.serving.fragments import Fragments
from chainrule.serving.replies.continuation import Call
from chainrule.serving.replies.factors import Factors
from chainrule.serving.replies.logprobs import Offsets, completion_logprobs
from chainrule.serving.replies.text import TextStream, text_of_tokens
from chainrule.serving.requests.completions import CompletionBody
from chainrule.serving.served import ServedModel
from chainrule.serving.wire import encoded

PATH = "/v1/completions"
TEXT = "Hello world, é 🙂 again"


def logprobs_of(reply: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return reply["choices"][number]["logprobs"]


@given(ids=st.lists(st.integers(0, 300), min_size=2, max_size=20), top=st.integers(0, 4))
def test_a_prompt_of_ids_has_the_factors_of_the_library(api: Api, tiny: LanguageModel, ids: list[int], top: int):
    reply = api.post(PATH, prompt=ids, echo=True, logprobs=top, max_tokens=0)
    got, score = logprobs_of(reply), tiny.score(ids, start="given", top=top)
    assert got["token_logprobs"] == [None, *score.logprobs.tolist()]
    assert got["tokens"] == [tiny.tokenizer.token(id) for id in ids]
    assert [None if each is None else each["id"] for each in got["content"]] == [None, *ids[1:]]
    for i, entry in enumerate(got["content"][1:]):
        assert [other["id"] for other in entry["top_logprobs"]] == score.top_ids[i].tolist()
        assert [other["logprob"] for other in entry["top_logprobs"]] == score.top_logprobs[i].tolist()
        assert all(
            bytes(other["bytes"]) == tiny.tokenizer.token_bytes(other["id"]) for other in [entry, *entry["top_logprobs"]]
        )
    assert reply["usage"] == {"prompt_tokens": len(ids), "completion_tokens": 0, "total_tokens": len(ids)}


@pytest.mark.parametrize("top", [0, 1, 3])
def test_the_dictionary_has_the_token_first_and_the_alternatives(api: Api, tiny: LanguageModel, top: int):
    got = logprobs_of(api.post(PATH, prompt=TEXT, echo=True, logprobs=top, max_tokens=0))
    assert got["top_logprobs"][0] is None
    for name, logprob, others in zip(got["tokens"][1:], got["token_logprobs"][1:], got["top_logprobs"][1:], strict=True):
        assert next(iter(others.items())) == (name, logprob)
        assert len(others) in (top, top + 1)


def test_offsets_count_characters_of_the_prompt(api: Api, tiny: LanguageModel):
    got = logprobs_of(api.post(PATH, prompt=TEXT, echo=True, logprobs=0, max_tokens=1, temperature=0))
    spans = tiny.score(TEXT).spans
    assert spans is not None
    assert got["text_offset"] == [first for first, _ in spans.char_spans] + [len(TEXT)]


def test_offsets_of_ids_are_those_of_their_text(api: Api, tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXT).tolist()
    of_text, of_ids = (logprobs_of(api.post(PATH, prompt=each, echo=True, logprobs=0, max_tokens=0)) for each in (TEXT, ids))
    assert of_ids == of_text
    assert api.post(PATH, prompt=ids, echo=True, max_tokens=0)["choices"][0]["text"] == TEXT


def test_several_prompts_are_choices_in_their_order(api: Api):
    prompts = [TEXT, "Hello", [5, 6, 7]]
    together = api.post(PATH, prompt=prompts, echo=True, logprobs=1, max_tokens=2, temperature=0)["choices"]
    alone = [api.post(PATH, prompt=each, echo=True, logprobs=1, max_tokens=2, temperature=0)["choices"][0] for each in prompts]
    assert together == [each | {"index": index} for index, each in enumerate(alone)]


def test_one_greedy_token_is_that_of_a_longer_text(api: Api, tiny: LanguageModel):
    for text in CORPUS[:3]:
        [one] = api.post(PATH, prompt=text[:20], logprobs=2, max_tokens=1, temperature=0)["choices"]
        [two] = api.post(PATH, prompt=text[:20], logprobs=2, max_tokens=2, temperature=0)["choices"]
        assert one["logprobs"]["content"] == two["logprobs"]["content"][:1]
        assert one["logprobs"]["text_offset"] == two["logprobs"]["text_offset"][:1]
        generated = tiny.generate(tiny.tokenizer.encode(text[:20]), max_tokens=2, start="given")
        assert [each["id"] for each in two["logprobs"]["content"]] == generated.ids.tolist()
        assert two["logprobs"]["token_logprobs"] == generated.logprobs.tolist()
        assert one["finish_reason"] == "length"


def test_a_token_that_is_given_first_has_no_factor(api: Api):
    got = logprobs_of(api.post(PATH, prompt=[5], echo=True, logprobs=1, max_tokens=0))
    assert (got["token_logprobs"], got["top_logprobs"], got["content"]) == ([None], [None], [None])
    got = logprobs_of(api.post(PATH, prompt=[5], echo=True, logprobs=1, max_tokens=1, temperature=0))
    assert [each is None for each in got["token_logprobs"]] == [True, False]


def test_the_factors_of_a_prompt_as_vllm_gives_them(api: Api, tiny: LanguageModel):
    ids = tiny.tokenizer.encode(TEXT).tolist()
    [choice] = api.post(PATH, prompt=TEXT, prompt_logprobs=2, max_tokens=0)["choices"]
    score = tiny.score(ids, start="given", top=2)
    assert choice["prompt_logprobs"][0] is None
    assert choice["text"] == ""
    assert choice["logprobs"] is None
    for i, entry in enumerate(choice["prompt_logprobs"][1:]):
        own, *_ = entry
        assert own == str(ids[i + 1])
        assert entry[own]["logprob"] == score.logprobs[i]
        assert entry[own]["rank"] == score.ranks[i]
        assert entry[own]["decoded_token"] == tiny.tokenizer.token(ids[i + 1])
        assert set(entry) == {own, *map(str, score.top_ids[i].tolist())}
        assert [entry[str(id)]["rank"] for id in score.top_ids[i].tolist()] == [1, 2]


def test_sampling_is_that_of_the_library(api: Api, tiny: LanguageModel):
    how = {"temperature": 0.8, "top_p": 0.9, "top_k": 50, "seed": 7, "n": 3}
    reply = api.post(PATH, prompt=TEXT, max_tokens=5, logprobs=0, **how)
    texts = tiny.generate(tiny.tokenizer.encode(TEXT), method="sample", max_tokens=5, start="given", **how)
    for choice, text in zip(reply["choices"], texts, strict=True):
        assert [each["id"] for each in choice["logprobs"]["content"]] == text.ids.tolist()
        assert choice["logprobs"]["token_logprobs"] == text.logprobs.tolist()
    assert reply["usage"]["completion_tokens"] == sum(len(text.ids) for text in texts)


def test_without_a_seed_texts_differ_and_with_one_they_do_not(api: Api):
    texts = {api.post(PATH, prompt="H", max_tokens=8)["choices"][0]["text"] for _ in range(5)}
    assert len(texts) > 1
    replies = [api.client.post(PATH, json={"prompt": "H", "max_tokens": 8, "seed": 5}).content for _ in range(3)]
    assert len(set(replies)) == 1


def test_greedy_texts_are_copied(api: Api):
    choices = api.post(PATH, prompt=["a", "b"], n=2, temperature=0, max_tokens=3)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert choices[0]["text"] == choices[1]["text"]
    assert choices[2]["text"] == choices[3]["text"]


def test_a_text_ends_before_the_text_to_stop_at(api: Api):
    [whole] = api.post(PATH, prompt="Hello", max_tokens=12, temperature=0)["choices"]
    stop = next(each for each in whole["text"][2:] if each not in whole["text"][:2] and each.isascii())
    [cut] = api.post(PATH, prompt="Hello", max_tokens=12, temperature=0, stop=["never", stop])["choices"]
    assert cut["text"] == whole["text"].partition(stop)[0]
    assert (cut["finish_reason"], cut["stop_reason"]) == ("stop", stop)


def test_symbols_in_a_generated_text_are_not_shown_and_take_no_characters(tiny: LanguageModel):
    served = ServedModel("tiny", tiny)
    others = tiny.tokenizer.encode("ab").tolist()
    ids = [*others, tiny.tokenizer.bos_id, *others]
    assert text_of_tokens(served, ids, [], skip_special=True) == ("abab", None)
    assert text_of_tokens(served, ids, [], skip_special=False) == ("ab<s>ab", None)
    assert text_of_tokens(served, ids, ["ba"], skip_special=True) == ("abab", None)  # the symbol is between them
    assert text_of_tokens(served, ids, ["b<s"], skip_special=True) == ("a", "b<s")
    assert text_of_tokens(served, ids, ["<s>"], skip_special=True) == ("ab", "<s>")
    body = CompletionBody.model_validate({"prompt": "a"})
    hidden = Call(served, body, [], "x", None, 9, 0, None).hidden
    own = [len("ab"[:i]) for i in range(len(others))]
    assert Offsets(served, 10, hidden).before(ids) == [*(10 + i for i in own), 12, *(12 + i for i in own)]


def test_a_stop_text_is_searched_in_bytes(tiny: LanguageModel):
    served, ids = ServedModel("tiny", tiny), tiny.tokenizer.encode("a🙂b").tolist()
    assert text_of_tokens(served, ids[:-2], ["\ufffd"], skip_special=True)[1] is None  # of an incomplete character
    assert text_of_tokens(served, ids, ["🙂"], skip_special=True) == ("a", "🙂")
    stream = TextStream(served, ["🙂!"], skip_special=True)
    assert "".join(stream.feed(id, last=False) for id in ids[:-1]) == "a"  # the rest may begin the text to stop at
    assert stream.feed(ids[-1], last=True) == "🙂b"


@pytest.mark.parametrize("more", [{}, {"logprobs": 1}, {"echo": True, "logprobs": 2}, {"stop": ["e", "o"], "n": 2}])
def test_a_stream_has_the_whole_reply_in_parts(api: Api, more: dict[str, Any]):
    body: dict[str, Any] = {"prompt": ["Hello", TEXT], "max_tokens": 6, "seed": 3, "temperature": 1} | more
    whole = api.post(PATH, **body)
    events = api.events(PATH, **body, stream_options={"include_usage": True})
    assert events[-1]["choices"] == []
    assert events[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        parts = [part for event in events for part in event["choices"] if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + [choice["finish_reason"]]
        if choice["logprobs"] is not None:
            for name, values in choice["logprobs"].items():
                assert [value for part in parts for value in part["logprobs"][name]] == values
    assert {event["id"].partition("-")[0] for event in events} == {"cmpl"}


def test_usage_with_every_event(api: Api):
    events = api.events(PATH, prompt="Hello", max_tokens=3, ignore_eos=True, stream_options={"continuous_usage_stats": True})
    assert [event["usage"]["completion_tokens"] for event in events] == [1, 2, 3]


def test_symbols_are_added_to_texts_as_the_tokenizer_does_and_never_to_ids(tmp_path: Path):
    lm = chainrule.load(write("mistral, SentencePiece, <s>", tmp_path))
    tokenizer = lm.tokenizer
    ids = tokenizer.hf("Hello there")["input_ids"]
    assert ids[0] == tokenizer.bos_id
    with TestClient(create_app({"tiny": lm})) as client:
        api = Api(client)

        def of(prompt: Any, **more: Any) -> dict[str, Any]:
            return logprobs_of(api.post(PATH, prompt=prompt, echo=True, logprobs=0, max_tokens=0, **more))

        assert of("Hello there")["token_logprobs"] == of(ids)["token_logprobs"]
        assert of("Hello there")["token_logprobs"][1:] == lm.score("Hello there", start="bos").logprobs.tolist()
        assert of("Hello there")["text_offset"][:2] == [0, 0]  # the symbol takes no characters
        without = of("Hello there", add_special_tokens=False)
        assert without["token_logprobs"] == of(ids[1:])["token_logprobs"]
        assert without["tokens"] == of("Hello there")["tokens"][1:]
        assert of("<s>Hello")["tokens"][:2] == ["<s>", "<s>"]  # a name in the text is the symbol, too


def test_an_impossible_token_has_the_lowest_number(abc: LanguageModel):
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, -math.inf], "A": [0, -math.inf], "B": [0, 0]}))
    with TestClient(create_app({"table": lm})) as client:
        [choice] = Api(client).post(PATH, prompt="AB", echo=True, logprobs=2, prompt_logprobs=2, max_tokens=0)["choices"]
    assert choice["logprobs"]["token_logprobs"] == [None, -9999.0]
    assert choice["logprobs"]["top_logprobs"] == [None, {"B": -9999.0, "A": 0.0}]
    assert choice["prompt_logprobs"][1]["1"] == {"logprob": -9999.0, "rank": 2, "decoded_token": "B"}


def test_more_alternatives_than_tokens_are_all_tokens(table: Api):
    [choice] = table.post(PATH, prompt="A", echo=True, logprobs=10, max_tokens=1, temperature=0)["choices"]
    assert [len(each) for each in choice["logprobs"]["top_logprobs"][1:]] == [3]


@pytest.mark.parametrize(("own", "greedy"), [(1, True), (2, False)])
def test_of_two_tokens_with_one_text_the_more_probable_counts(own: int, greedy: bool):
    fragments = Fragments(["A", "B", "B"].__getitem__, [b"A", b"B", b"b"].__getitem__)
    logprobs = {1: -0.4, 2: -1.4, 0: -2.4}
    factors = Factors([own], [logprobs[own]], [own], [[*logprobs]], [[*logprobs.values()]])
    got = msgspec.json.decode(encoded(completion_logprobs(fragments, factors, [0])))
    assert got["top_logprobs"] == [{"B": -0.4, "A": -2.4}]
    assert (got["token_logprobs"][0] == max(got["top_logprobs"][0].values())) == greedy  # as clients decide it
    assert [(each["id"], bytes(each["bytes"])) for each in got["content"][0]["top_logprobs"]] == [
        (1, b"B"),
        (2, b"b"),
        (0, b"A"),
    ]


def test_tokens_can_be_named_by_their_ids(api: Api):
    got = logprobs_of(api.post(PATH, prompt=[5, 6], echo=True, logprobs=0, max_tokens=0, return_tokens_as_token_ids=True))
    assert got["tokens"] == ["token_id:5", "token_id:6"]
    assert list(got["top_logprobs"][1]) == ["token_id:6"]


def test_equal_requests_have_equal_bytes(api: Api):
    body = {"prompt": TEXT, "echo": True, "logprobs": 2, "max_tokens": 3, "temperature": 0}
    assert len({api.client.post(PATH, json=body).content for _ in range(4)}) == 1


def test_the_first_model_answers_without_a_name(tiny: LanguageModel, abc: LanguageModel):
    with TestClient(create_app({"one": tiny, "two": abc})) as client:
        api = Api(client)
        assert api.post(PATH, prompt=[1], max_tokens=1)["model"] == "one"
        assert api.post(PATH, prompt="A", max_tokens=1, model="two")["model"] == "two"
        status, error = api.error(PATH, prompt="A", model="three")
        assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert error["message"] == "the model 'three' is not served here: choose of one, two, or leave model out"
        listed = client.get("/v1/models").json()["data"]
        assert [each["id"] for each in listed] == ["one", "two"]
        assert client.get("/v1/models/two").json() == listed[1]
        assert client.get("/v1/models/three").status_code == 404
