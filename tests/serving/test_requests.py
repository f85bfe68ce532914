"""Requests that are wrong: every reply is an error of OpenAI's shape that says what was wrong, with which value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving_api import Api
from starlette.testclient import TestClient

from chainrule import LanguageModel
from chainrule.serving.app import create_app
from chainrule.serving.limits import Limits

COMPLETIONS, CHAT, SCORE, LOGPROBS = "/v1/completions", "/v1/chat/completions", "/v1/score", "/v1/logprobs"


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        (COMPLETIONS, {}, "prompt", "the field 'prompt' is missing"),
        (COMPLETIONS, {"prompt": 3}, "prompt", "a text, a list of token ids, or a list of several is needed, not 3"),
        (COMPLETIONS, {"prompt": []}, "prompt", "a text, a list of token ids, or a list of several is needed, not []"),
        (COMPLETIONS, {"prompt": ["a", 3]}, "prompt", "item 1 is neither a text nor a list of token ids, but 3"),
        (COMPLETIONS, {"prompt": [[1], []]}, "prompt", "item 1 is neither a text nor a list of token ids, but []"),
        (COMPLETIONS, {"prompt": [1, True]}, "prompt", "item 1 of the token ids is true, which is no whole number"),
        (COMPLETIONS, {"prompt": ""}, "prompt", "the text '' has no tokens, so nothing follows from it: send at least one"),
        (COMPLETIONS, {"prompt": [-1]}, "prompt", "token id -1 is out of range: tiny has the ids 0 to"),
        (COMPLETIONS, {"prompt": [10**30]}, "prompt", "token id 1000000000000000000000000000000 is out of range"),
        (COMPLETIONS, {"prompt": "a", "unknown": 1}, "unknown", "there is no field 'unknown'; see /openapi.json"),
        (
            COMPLETIONS,
            {"prompt": "a", "best_of": 2},
            "best_of",
            "best_of is not supported: leave it out, or set it to 1, not 2",
        ),
        (COMPLETIONS, {"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias", "logit_bias is not supported: leave it out"),
        (COMPLETIONS, {"prompt": "a", "logprobs": "1"}, "logprobs", 'logprobs should be a valid integer, not "1"'),
        (COMPLETIONS, {"prompt": "a", "logprobs": True}, "logprobs", "logprobs should be a valid integer, not true"),
        (COMPLETIONS, {"prompt": "a", "logprobs": -1}, "logprobs", "logprobs should be greater than or equal to 0, not -1"),
        (COMPLETIONS, {"prompt": "a", "temperature": -1}, "temperature", "temperature should be greater than or equal to 0"),
        (COMPLETIONS, {"prompt": "a", "top_p": 0}, "top_p", "top_p should be greater than 0, not 0"),
        (COMPLETIONS, {"prompt": "a", "max_tokens": 0}, "max_tokens", "max_tokens=0 leaves nothing to reply: set echo or"),
        (COMPLETIONS, {"prompt": "a", "n": 1000}, "n", "n should be less than or equal to 128, not 1000"),
        (COMPLETIONS, {"prompt": "a", "stop": [3]}, "stop", "stop must be a text or a list of texts, not [3]"),
        (COMPLETIONS, {"prompt": "a", "stream_options": {}}, "stream_options", "stream_options is for stream=true"),
        (COMPLETIONS, {"prompt": "a", "max_tokens": 100}, "max_tokens", "the prompt has 1, and 100 after it: lower max_tokens"),
        (COMPLETIONS, {"prompt": [5] * 65, "max_tokens": 1}, "prompt", "this model's maximum context length is 64 tokens, but"),
        (COMPLETIONS, {"prompt": "a", "top_k": 1 << 40}, "top_k", "top_k should be less than or equal to 2147483648"),
        (COMPLETIONS, {"prompt": "a", "nothing": None}, "nothing", "there is no field 'nothing'"),
        (CHAT, {"messages": []}, "messages", "messages must have 1 item or more, not []"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages.0.content",
            "only parts of the type",
        ),
        (CHAT, {"messages": [{"role": "user", "content": "a"}], "tools": [{}]}, "tools", "tools is not supported"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2},
            "top_logprobs",
            "top_logprobs is for logprobs=true",
        ),
        (SCORE, {"query": "a", "items": ["b"]}, "label_token_ids", "the field 'label_token_ids' is missing"),
        (SCORE, {"query": "a", "items": ["b"], "label_token_ids": [9999]}, "label_token_ids", "token id 9999 is out of range"),
        (SCORE, {"query": "a", "items": [[5]], "label_token_ids": [1]}, "items", "query and items must both be texts, or both"),
        (SCORE, {"query": "", "items": [""], "label_token_ids": [1]}, "items", "the text '' has no tokens"),
        (LOGPROBS, {"input": ["a", ""]}, None, "item 1: an empty text has no token to score"),
        (LOGPROBS, {"input": "a", "start": "x"}, "start", "start should be 'auto', 'bos', 'eos' or 'given'"),
        (LOGPROBS, {"input": "a", "window": 1}, "window", "window must be a number of embeddings, 2 or more, or false, not 1"),
        (
            LOGPROBS,
            {"input": "a", "context": ["a", "b"]},
            "context",
            "context has 2 entries, and input has 1: give one for each text",
        ),
        (LOGPROBS, {"input": ["ab", "c"], "targets": [[[1]]]}, "targets", "targets has 1 entries, and input has 2"),
        (LOGPROBS, {"input": "ab", "targets": [[[1]]]}, "targets", "targets has 1 lists of ids, and the text has"),
        (LOGPROBS, {"input": [[5, 99999]]}, None, "token id 99999 at position 1 is out of range"),
        (LOGPROBS, {"input": [[5]], "start": "given"}, None, "a single token with a given start has no factor"),
        (LOGPROBS, {"input": "a", "end": 99999}, "end", "end=99999 is out of range"),
        ("/tokenize", {}, "prompt", "give either prompt or messages"),
        ("/detokenize", {"tokens": [99999]}, "tokens", "token id 99999 is out of range"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(api: Api, path: str, body: dict[str, Any], param: str | None, message: str):
    status, error = api.error(path, **body)
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert message in error["message"]
    assert error["param"] == param


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[", b"[" * 100_000, b'{"a":' * 10_000, b"\xff", b'{"prompt": "\xed\xa0\x80"}', b'{"prompt": NaN}', b"nul",
     b'{"prompt": "a", "temperature": Infinity}', b'{"prompt": "a"} x', b'"a"', b"3", b"null", b'{"prompt": "\\ud800"}',
     b'{"prompt": "a", "top_p": 1e999}', b'{"prompt": "a", "seed": ' + b"9" * 10_000 + b"}", b'{"prompt": ["\\udfff"]}'],
)  # fmt: skip
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT, SCORE, LOGPROBS, "/tokenize", "/page"])
def test_a_body_that_is_no_json_object_of_text(api: Api, path: str, body: bytes):
    reply = api.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


def test_a_body_of_another_kind(api: Api):
    reply = api.client.post(COMPLETIONS, data={"prompt": "a"})
    assert reply.status_code == 415
    assert "must be JSON, with the header Content-Type: application/json" in reply.json()["error"]["message"]


def test_unknown_paths_and_methods(api: Api):
    assert api.client.get("/nothing").json()["error"]["code"] == "not_found"
    assert api.client.get(COMPLETIONS).json()["error"]["code"] == "method_not_allowed"
    assert api.client.request("TRACE", COMPLETIONS).status_code == 405


def test_fields_that_change_nothing_are_taken(api: Api):
    neutral = {
        "best_of": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "logit_bias": None,
        "suffix": None, "user": "x", "max_gen_toks": 3, "min_tokens": 0, "logprobs": None, "top_k": -1, "min_p": 0,
        "n": None, "ignore_eos": None, "skip_special_tokens": None, "add_special_tokens": None, "stream": None, "echo": None,
    }  # fmt: skip
    body = {"prompt": "Hello", "max_tokens": 3, "seed": 1}
    assert api.post(COMPLETIONS, **body, **neutral)["choices"] == api.post(COMPLETIONS, **body)["choices"]


def test_limits_of_a_request(tiny: LanguageModel):
    with TestClient(create_app({"tiny": tiny}, limits=Limits(body=1000, tokens=50))) as client:
        api = Api(client)
        status, error = api.error(COMPLETIONS, prompt="a" * 2000)
        assert (status, error["code"]) == (413, "body_too_large")
        for path, body in (
            (COMPLETIONS, {"prompt": [[5] * 20, [6] * 20], "max_tokens": 10}),
            (SCORE, {"query": [5] * 10, "items": [[5] * 10] * 3, "label_token_ids": [1]}),
            (LOGPROBS, {"input": [[5] * 30] * 2}),
        ):
            status, error = api.error(path, **body)
            assert (status, error["code"]) == (413, "too_many_tokens")
            assert "tokens, with those to generate, and may have 50: split it" in error["message"]
        assert api.post(COMPLETIONS, prompt="a", max_tokens=2)["usage"]["total_tokens"] == 3
    with TestClient(create_app({"tiny": tiny}, limits=Limits(logprobs=100))) as client:
        for path, body in (
            (COMPLETIONS, {"prompt": [5] * 10, "echo": True, "logprobs": 10, "max_tokens": 0}),
            (COMPLETIONS, {"prompt": [5], "logprobs": 10, "max_tokens": 5, "n": 2}),
            (SCORE, {"query": [5], "items": [[5]] * 11, "label_token_ids": [1] * 10}),
            (LOGPROBS, {"input": [[5] * 10], "top": 10}),
        ):
            status, error = Api(client).error(path, **body)
            assert (status, error["code"]) == (413, "too_many_logprobs")
            assert error["message"] == "the reply would have 110 log probabilities, and may have 100: ask for fewer"


def test_no_path_of_the_machine_is_in_an_error(tiny_folder: Any, monkeypatch: pytest.MonkeyPatch):
    import chainrule
    from chainrule.errors import InputError, ModelError
    from chainrule.serving import worker

    lm = chainrule.load(tiny_folder)
    assert str(tiny_folder) in str(lm.model.name)
    with TestClient(create_app({"tiny": lm}), raise_server_exceptions=False) as client:
        for error, status in ((ModelError(f"{lm.model.name} gave NaN"), 500), (InputError(f"{lm.model.name} is bad"), 400),
                              (RuntimeError(f"{lm.model.name} broke"), 500)):  # fmt: skip
            monkeypatch.setattr(worker, "scored", lambda *_, error=error: (_ for _ in ()).throw(error))
            got, body = Api(client).error(COMPLETIONS, prompt="Hello world", echo=True, logprobs=1, max_tokens=0)
            assert got == status
            assert str(tiny_folder) not in json.dumps(body)
        assert body["message"] == "an error within the server; its log describes it"


def test_paths_are_exact_and_have_heads(api: Api):
    assert api.client.post(COMPLETIONS + "/", json={"prompt": "a"}, follow_redirects=False).status_code == 404
    assert (api.client.head("/health").status_code, api.client.head("/v1/models").status_code) == (200, 200)


def test_without_a_length_a_text_has_16_tokens_or_as_many_as_fit(api: Api):
    assert api.post(COMPLETIONS, prompt=[5] * 10, ignore_eos=True)["usage"]["completion_tokens"] == 16
    assert api.post(COMPLETIONS, prompt=[5] * 60, ignore_eos=True)["usage"]["completion_tokens"] == 5


def test_the_schema_lists_all_endpoints(api: Api):
    schema = api.client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        COMPLETIONS, CHAT, SCORE, LOGPROBS, "/tokenize", "/detokenize", "/tokenizer_info", "/v1/models", "/v1/models/{name}",
        "/health", "/metrics", "/", "/page", "/lessons/", "/lessons/{file}",
    }  # fmt: skip
    assert "422" not in json.dumps(schema["paths"])  # such replies have the status 400
    assert api.client.get("/docs").status_code == 404  # its page would load scripts of other servers
