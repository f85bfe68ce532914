"""The page of a server: its sections have the numbers of the library, its headers admit nobody else, and its limits hold."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serving_api import Api
from starlette.testclient import TestClient

import chainrule
from chainrule import LanguageModel
from chainrule.pages.lessons import LESSONS
from chainrule.serving import lessons as module
from chainrule.serving.app import create_app
from chainrule.serving.limits import Limits
from chainrule.serving.requests.page import CHARACTERS, PageBody
from chainrule.serving.sections import section_of
from chainrule.serving.served import ServedModel
from chainrule.serving.tasks import GivenUp

TEXT = "It is raining."
MARKUP = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def page_of(tiny_folder: Any) -> Callable[..., dict[str, Any]]:
    """The data of `LanguageModel.page`, as JSON has it, from a model that keeps no prefixes."""
    lm = chainrule.load(tiny_folder)
    return lambda *args, **options: json.loads(json.dumps(lm.page(*args, special="text", **options).data))


@pytest.fixture
def closed(tiny: LanguageModel) -> Iterator[TestClient]:
    """A server with a key."""
    with TestClient(create_app({"tiny": tiny}, api_key="secret")) as client:
        yield client


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script [^>]*id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_the_page_comes_before_anything_is_computed(api: Api):
    reply = api.client.get("/")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    data = data_of(reply.text)
    assert data["live"]["models"] == ["tiny"]
    assert (data["live"]["url"], data["live"]["key"], data["live"]["lessons"]) == ("page", False, "lessons/")
    assert (data["readings"], data["openings"], data["variants"]) == ({}, None, [])
    assert all("Compute" in reason for reason in data["missing"].values())
    assert api.client.head("/").status_code == 200


def test_headers_forbid_frames_other_servers_and_guesses(api: Api):
    for path in ("/", "/lessons/", f"/lessons/{LESSONS[0].file}"):
        headers = api.client.get(path).headers
        policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["frame-ancestors"], policy["form-action"]) == ("'none'",) * 3
        assert policy["connect-src"] == ("'self'" if path == "/" else "'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def same_bits(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal, down to the last bit of each number."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("more", [{}, {"context": "Well."}, {"start": "given"}, {"start": 5, "context": "🙂 שלום"}])
def test_sections_have_the_numbers_of_the_library(api: Api, page_of: Callable[..., Any], more: dict[str, Any]):
    page = page_of(TEXT, **more, compare="It is dark.", max_tokens=4)
    replies = {
        section: api.post("/page", section=section, text=TEXT, **more, **own)
        for section, own in (
            ("text", {}), ("variants", {}), ("growths", {"max_tokens": 4}), ("comparison", {"compare": "It is dark."}),
        )
    }  # fmt: skip
    assert same_bits(replies["text"]["readings"]["text"], page["readings"]["text"])
    assert same_bits(replies["variants"]["openings"], page["openings"])
    assert same_bits(replies["text"]["openings"] | {"wrong": page["openings"]["wrong"]}, page["openings"])
    assert same_bits(replies["variants"]["variants"], page["variants"])
    assert same_bits(replies["growths"]["growths"], page["growths"])
    assert same_bits(replies["comparison"]["comparison"], page["comparison"])
    assert same_bits(replies["comparison"]["readings"]["other"], page["readings"]["other"])
    for reply in replies.values():
        assert {id: page["tokens"][id] for id in reply["tokens"]} == reply["tokens"]


def test_sections_have_the_same_bits_under_load(api: Api):
    alone = api.post("/page", section="text", text=TEXT)
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(api.post, "/v1/logprobs", input=f"{TEXT} {i}") for i in range(8)]
        asked = [pool.submit(api.post, "/page", section="text", text=TEXT) for _ in range(4)]
        assert all(same_bits(each.result(), alone) for each in asked)
        assert len({json.dumps(each.result()) for each in others}) == 8


@pytest.mark.parametrize(
    "change",
    [{"kind": "replace", "position": 1, "token": "x"}, {"kind": "replace", "position": 1, "token": 7},
     {"kind": "start", "start": "given"}, {"kind": "cut", "tokens": 2}],
)  # fmt: skip
def test_one_change(api: Api, change: dict[str, Any]):
    [variant] = api.post("/page", section="variant", text=TEXT, change=change)["variants"]
    reading = api.post("/page", section="text", text=TEXT)["readings"]["text"]
    assert variant["kind"] == change["kind"]
    if change["kind"] == "replace":
        assert variant["first"] == reading["position"].index(1)
        assert variant["logprob"] != reading["logprob"][variant["first"] :]


def test_a_method_of_growing(api: Api):
    ask = {"section": "growths", "text": TEXT, "max_tokens": 3}
    [sample] = api.post("/page", **ask, method="sample", seed=1)["growths"]["methods"]
    assert (sample["method"], len(sample["t"]) <= 3) == ("sample", True)
    assert [sample] == api.post("/page", **ask, method="sample", seed=1)["growths"]["methods"]


WRONG = [
    ({}, "section", "the field 'section' is missing"),
    ({"section": "all"}, "section", "section should be 'text', 'variants', 'variant', 'growths' or 'comparison', not \"all\""),
    ({"section": "text", "text": 3}, "text", "text should be a valid string, not 3"),
    ({"section": "text", "text": [5]}, "text", "text should be a valid string, not [5]"),
    ({"section": "text", "text": "a" * (CHARACTERS + 1)}, "text", f"text should have at most {CHARACTERS} characters"),
    ({"section": "text", "compare": "b"}, "compare", "compare is for section=comparison, not text"),
    ({"section": "variant"}, "change", "section=variant needs the field change"),
    ({"section": "variants", "change": {"kind": "cut", "tokens": 1}}, "change", "change is for section=variant, not variants"),
    ({"section": "variant", "change": {"kind": "cut"}}, "change", "a change of the kind cut has tokens, and nothing else"),
    ({"section": "variant", "change": {"kind": "start", "start": "bos", "tokens": 1}}, "change", "has start, and nothing else"),
    (
        {"section": "variant", "change": {"kind": "replace", "position": 1}},
        "change",
        "has position and token, and nothing else",
    ),
    ({"section": "variant", "change": {"kind": "x"}}, "change.kind", "change.kind should be 'replace', 'start' or 'cut'"),
    ({"section": "variant", "change": {"kind": "cut", "x": 1}}, "change.x", "there is no field 'change.x'"),
    ({"section": "growths", "max_tokens": 65}, "max_tokens", "max_tokens should be less than or equal to 64, not 65"),
    ({"section": "growths", "max_tokens": 0}, "max_tokens", "max_tokens should be greater than or equal to 1, not 0"),
    ({"section": "growths", "method": "best", "seed": 1}, "seed", "seed is for method=sample"),
    ({"section": "growths", "method": "x"}, "method", "method should be 'greedy', 'best', 'beam' or 'sample', not \"x\""),
    ({"section": "text", "unknown": 1}, "unknown", "there is no field 'unknown'; see /openapi.json"),
    ({"section": "text", "text": ""}, None, "an empty text has no token to score"),
    ({"section": "text", "start": 99_999}, "start", "start=99999 is out of range"),
    ({"section": "variant", "change": {"kind": "replace", "position": 1, "token": 99_999}}, None, "99999"),
    ({"section": "variant", "change": {"kind": "replace", "position": 99, "token": "x"}}, None, "99"),
    ({"section": "variant", "change": {"kind": "cut", "tokens": 99}}, None, "99"),
]


@pytest.mark.parametrize(("body", "param", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_body_is_an_error_that_names_the_field(api: Api, body: dict[str, Any], param: str | None, message: str):
    status, error = api.error("/page", **({"text": TEXT} | body))
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert message in error["message"]
    assert error["param"] == param


def test_a_form_of_another_origin_is_refused(api: Api):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        body = json.dumps({"section": "text", "text": TEXT})
        reply = api.client.post("/page", content=body, headers={"Content-Type": kind, "Origin": "https://example.com"})
        assert reply.status_code == 415
    reply = api.client.post("/page", content=body, headers={"Origin": "https://example.com"})  # a Blob without a type
    assert reply.status_code == 415
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    reply = api.client.options("/page", headers=asked)
    assert (reply.status_code, "access-control-allow-origin" in reply.headers) == (405, False)


def test_an_unknown_model(api: Api):
    status, error = api.error("/page", section="text", text=TEXT, model=MARKUP)
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert api.client.get("/lessons/", params={"model": "none"}).status_code == 404


def test_a_long_text(tiny: LanguageModel):
    with TestClient(create_app({"tiny": tiny}, limits=Limits(page_tokens=10))) as client:
        for own in ({"text": "a" * 11}, {"text": "a" * 6, "context": "b" * 5}):
            status, error = Api(client).error("/page", section="text", **own)
            assert (status, error["code"], error["param"]) == (413, "too_many_tokens", "text")
            assert error["message"] == "text has 11 tokens, with its context, and a page shows at most 10: shorten it"
        status, error = Api(client).error("/page", section="comparison", text="a", compare="b" * 11)
        assert (status, error["param"]) == (413, "compare")
        assert Api(client).post("/page", section="text", text="a" * 10)["readings"]["text"]["kind"] == "joint"
    with TestClient(create_app({"tiny": tiny}, limits=Limits(tokens=10))) as client:
        status, error = Api(client).error("/page", section="growths", text="aaa")
        assert (status, error["message"][:25]) == (413, "the request has 11 tokens")


def test_markup_is_text(api: Api):
    reply = api.client.post("/page", json={"section": "text", "text": MARKUP})
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "".join(reply.json()["readings"]["text"]["pieces"]) == MARKUP


def test_a_key(closed: TestClient, tiny: LanguageModel):
    live = data_of(closed.get("/").text)["live"]
    assert (live["key"], live["models"], live["lessons"]) == (True, [], None)  # names are for those who have the key
    for reply in (closed.post("/page", json={"section": "text", "text": TEXT}), closed.get("/lessons/")):
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    bearer = {"Authorization": "Bearer secret"}
    assert closed.post("/page", json={"section": "text", "text": TEXT}, headers=bearer).status_code == 200
    assert closed.get("/lessons/", headers=bearer).status_code == 200


def test_no_path_of_the_machine_is_shown(api: Api, tiny: LanguageModel):
    path = str(tiny.model.name)
    data = api.post("/page", section="text", text=TEXT)
    assert (data["model"]["name"], path in json.dumps(data)) == ("tiny", False)
    for lesson in LESSONS:
        html = api.client.get(f"/lessons/{lesson.file}").text
        assert path not in html
        assert path not in json.dumps(data_of(html))


def test_requests_are_counted(api: Api):
    api.client.get("/")
    api.error("/page", section="none")
    counted = api.client.get("/metrics").text
    assert re.search(r'^chainrule_requests_total\{path="/",status="200"\} [1-9]', counted, re.MULTILINE)
    assert re.search(r'^chainrule_requests_total\{path="/page",status="400"\} [1-9]', counted, re.MULTILINE)


def test_a_lesson_is_computed_once(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    made: list[tuple[LanguageModel, str]] = []
    make = module.lesson_page
    monkeypatch.setattr(module, "lesson_page", lambda lm, lesson: (made.append((lm, lesson.file)), make(lm, lesson))[1])
    file = LESSONS[0].file
    with TestClient(create_app({"a": tiny, "b": tiny})) as client, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(client.get, f"/lessons/{file}") for _ in range(4)]
        pages = {each.result().text for each in asked}
        assert (len(pages), len(made)) == (1, 1)
        assert data_of(pages.pop())["lesson"]["number"] == 1
        assert client.get(f"/lessons/{file}", params={"model": "b"}).status_code == 200
        assert len(made) == 2
        assert client.get("/lessons/9-none.html").json()["error"]["code"] == "not_found"
        assert client.get("/lessons/..%2f..%2fetc%2fpasswd").status_code == 404


def test_links_between_lessons_keep_the_model(tiny: LanguageModel):
    with TestClient(create_app({"a": tiny, 'b"<&': tiny})) as client:
        plain, chosen = (client.get("/lessons/", params=params).text for params in ({}, {"model": 'b"<&'}))
        for lesson in LESSONS:
            assert f'href="{lesson.file}"' in plain
            assert f'href="{lesson.file}?model=b%22%3C%26"' in chosen
        assert client.get("/lessons/index.html").text == plain  # to which lessons link
        own = client.get(f"/lessons/{LESSONS[1].file}", params={"model": 'b"<&'}).text
        for file in (LESSONS[0].file, LESSONS[2].file, "index.html"):
            assert f'href="{file}?model=b%22%3C%26"' in own
        reply = client.get("/lessons", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (307, "lessons/")


SECTIONS: list[dict[str, Any]] = [
    {"section": "text"}, {"section": "variants"}, {"section": "variant", "change": {"kind": "cut", "tokens": 1}},
    {"section": "comparison"}, {"section": "comparison", "compare": "It is dark."},
    *({"section": "growths", "method": method, "max_tokens": 6} for method in ("greedy", "best", "beam", "sample")),
]  # fmt: skip


@pytest.mark.parametrize("body", SECTIONS, ids=lambda body: "-".join(map(str, body.values())))
def test_each_section_stops_midway(tiny: LanguageModel, body: dict[str, Any]):
    served, asked = ServedModel("tiny", tiny), PageBody(text=TEXT, **body)
    calls: list[int] = []
    section_of(served, asked, lambda *_: calls.append(1))
    of_score: list[int] = []
    tiny.score(TEXT, special="text", top=10, progress=lambda *_: of_score.append(1))
    assert len(calls) >= len(of_score) + (6 if body["section"] == "growths" else 2 if body["section"] != "comparison" else 1)

    def stop_at_the_last(*_: int) -> None:
        left.pop()
        if not left:
            raise GivenUp

    left = calls[:]
    with pytest.raises(GivenUp):
        section_of(served, asked, stop_at_the_last)


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("192.168.1.2:8000", 200), ("LOCALHOST.", 200),
     ("a.localhost", 200), ("proxy.example:443", 200), ("evil.example:8000", 403), ("localhost.evil.example", 403),
     ("127.0.0.1.evil.example", 403)],
)  # fmt: skip
def test_a_page_whose_name_leads_to_this_machine_gets_nothing(tiny: LanguageModel, host: str, status: int):
    with TestClient(create_app({"tiny": tiny}, hosts=["Proxy.example"])) as client:
        for path in ("/", "/health", "/v1/models", "/lessons/"):
            assert client.get(path, headers={"Host": host}).status_code == status
        reply = client.post("/page", json={"section": "text", "text": "a"}, headers={"Host": host})
        assert reply.status_code == status
        if status == 403:
            assert reply.json()["error"]["code"] == "unknown_host"
            assert "--allow-host" in reply.json()["error"]["message"]


def test_a_program_that_serves_by_itself_answers_under_any_name(tiny: LanguageModel):
    with TestClient(create_app({"tiny": tiny})) as client:
        assert client.get("/", headers={"Host": "any.example"}).status_code == 200


def test_lessons_for_heads_and_without_a_slash(api: Api):
    for path in ("/lessons/", "/lessons/index.html", f"/lessons/{LESSONS[0].file}"):
        reply = api.client.head(path)
        assert (reply.status_code, reply.content) == (200, b"")
    for method in ("GET", "HEAD"):
        reply = api.client.request(method, "/lessons?model=a%22b", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (307, "lessons/?model=a%22b")


def test_the_page_names_the_model_as_it_is_served(tiny: LanguageModel):
    with TestClient(create_app({"small": tiny})) as client:
        model = Api(client).post("/page", section="text", text="a")["model"]
        assert (model["name"], model["title"]) == ("small", "small · float32")


@pytest.mark.parametrize(
    ("body", "param"),
    [({"start": True}, "start"),
     ({"section": "variant", "change": {"kind": "replace", "position": 0, "token": ""}}, "change.token"),
     ({"section": "comparison", "compare": ""}, "compare")],
)  # fmt: skip
def test_fields_are_named_as_the_client_wrote_them(api: Api, body: dict[str, Any], param: str):
    status, error = api.error("/page", **({"section": "text", "text": TEXT} | body))
    assert (status, error["param"]) == (400, param)
    assert error["message"].startswith(param)
