"""/v1/chat/completions: chats continued, with the factors of the reply and of the prompt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness_models import write
from serving_api import Api
from starlette.testclient import TestClient

import chainrule
from chainrule import LanguageModel
from chainrule.serving.app import create_app

PATH = "/v1/chat/completions"
CHAT = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A tiny network with a template of chats."""
    return chainrule.load(write("llama, byte level", tmp_path_factory.mktemp("chat")))


@pytest.fixture(scope="module")
def chat(lm: LanguageModel) -> Iterator[Api]:
    with TestClient(create_app({"tiny": lm})) as client:
        yield Api(client)


def prompt_of(lm: LanguageModel, **options: bool) -> list[int]:
    text = lm.tokenizer.hf.apply_chat_template(CHAT, tokenize=False, **({"add_generation_prompt": True} | options))
    return lm.tokenizer.encode(text, "parse").tolist()


def test_a_reply_is_what_the_model_generates(chat: Api, lm: LanguageModel):
    reply = chat.post(PATH, messages=CHAT, max_tokens=4, temperature=0, logprobs=True, top_logprobs=2)
    [choice] = reply["choices"]
    generated = lm.generate(prompt_of(lm), start="given", max_tokens=4, top=2)
    assert [each["id"] for each in choice["logprobs"]["content"]] == generated.ids.tolist()
    assert [each["logprob"] for each in choice["logprobs"]["content"]] == generated.logprobs.tolist()
    assert [
        [other["id"] for other in each["top_logprobs"]] for each in choice["logprobs"]["content"]
    ] == generated.top_ids.tolist()
    assert choice["message"]["role"] == "assistant"
    assert reply["usage"]["prompt_tokens"] == len(prompt_of(lm))
    assert reply["object"] == "chat.completion"


def test_the_factors_of_the_prompt(chat: Api, lm: LanguageModel):
    ids = prompt_of(lm)
    reply = chat.post(PATH, messages=CHAT, max_tokens=0, prompt_logprobs=1)
    assert reply["prompt_token_ids"] == ids
    assert reply["prompt_logprobs"][0] is None
    logprobs = [entry[str(id)]["logprob"] for id, entry in zip(ids[1:], reply["prompt_logprobs"][1:], strict=True)]
    assert logprobs == lm.score(ids, start="given").logprobs.tolist()
    assert reply["choices"][0]["message"]["content"] == ""


def test_parts_and_further_fields_of_messages(chat: Api):
    of_parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": "a", "type": "text"}]
    replies = [chat.post(PATH, messages=messages, max_completion_tokens=3, temperature=0) for messages in (CHAT, of_parts)]
    assert replies[0]["choices"] == replies[1]["choices"]


def test_a_stream_has_the_whole_reply_in_parts(chat: Api):
    body = {"messages": CHAT, "max_tokens": 5, "seed": 1, "n": 2, "logprobs": True, "prompt_logprobs": 0}
    whole, (first, *events) = chat.post(PATH, **body), chat.events(PATH, **body)
    assert [choice["delta"] for choice in first["choices"]] == [{"role": "assistant", "content": ""}] * 2
    assert first["prompt_logprobs"] == whole["prompt_logprobs"]
    assert {event["object"] for event in (first, *events)} == {"chat.completion.chunk"}
    for choice in whole["choices"]:
        parts = [part for event in events for part in event["choices"] if part["index"] == choice["index"]]
        assert "".join(part["delta"]["content"] for part in parts) == choice["message"]["content"]
        assert [entry for part in parts for entry in part["logprobs"]["content"]] == choice["logprobs"]["content"]
        assert parts[-1]["finish_reason"] == choice["finish_reason"]


def test_the_last_message_can_be_continued(chat: Api, lm: LanguageModel):
    whole = chat.post("/tokenize", messages=CHAT)
    assert whole["tokens"] == prompt_of(lm)
    closed = chat.post("/tokenize", messages=CHAT, add_generation_prompt=False)["tokens"]
    assert closed == prompt_of(lm, add_generation_prompt=False)
    opened = chat.post("/tokenize", messages=CHAT, continue_final_message=True)["tokens"]
    assert lm.tokenizer.hf.decode(opened).endswith("Hello")


def test_without_a_length_a_reply_fills_the_context(chat: Api, lm: LanguageModel):
    reply = chat.post(PATH, messages=CHAT, temperature=0, ignore_eos=True)
    assert lm.model.max_rows is not None
    assert reply["usage"]["total_tokens"] == lm.model.max_rows + 1  # the last token is nobody's context


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "tokenizer_kwargs", "conversation", "messages", "self"])
def test_a_client_sends_variables_of_the_template_only(chat: Api, name: str):
    assert chat.post(PATH, messages=CHAT, max_tokens=1, chat_template_kwargs={"any": 1})["choices"]
    status, error = chat.error(PATH, messages=CHAT, max_tokens=1, chat_template_kwargs={name: "{{ 1 }}"})
    assert (status, error["param"]) == (400, "chat_template_kwargs")


def test_a_model_without_a_template_says_so(table: Api):
    status, error = table.error(PATH, messages=[{"role": "user", "content": "A"}])
    assert (status, error["code"]) == (400, "no_chat_template")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "messages.0.content"),
        ([{"role": "user", "content": 3}], "messages.0.content"),
        ([{"content": "x"}], "messages.0.role"),
        ("x", "messages"),
    ],
)
def test_messages_that_are_none(chat: Api, messages: object, param: str):
    status, error = chat.error(PATH, messages=messages)
    assert (status, error["code"]) == (400, "invalid_value")
    assert error["param"] == param
