"""OpenAI's client against two servers, in an environment that has it. serve_clients.py runs this.

    python benchmarks/serve_openai.py http://127.0.0.1:8000/v1 http://127.0.0.1:8001/v1

The first serves smollm2-135m with a key, the second any model, with --max-waiting 1.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import openai
from serve_clients import KEY, MODEL, Checks

PROMPT, LONG = "The quick brown fox", "Tell me a story. " * 20


def main() -> None:
    url, busy = sys.argv[1:]
    checks = Checks()
    print(f"openai {openai.__version__}", flush=True)
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    checks("models.list", [model.id for model in client.models.list()] == [MODEL])
    checks("models.retrieve", client.models.retrieve(MODEL).id == MODEL)
    _check_scores(checks, client)
    _check_texts(checks, client)
    _check_chats(checks, client)
    _check_errors(checks, client)
    wrong = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
    _refused(checks, "a wrong key", "AuthenticationError", None, "invalid_api_key", lambda: wrong.models.list())
    asyncio.run(_check_asyncio(checks, url, busy))
    raise SystemExit(1 if checks.failed else 0)


def _check_scores(checks: Checks, client: Any) -> None:
    score: dict[str, Any] = {"model": MODEL, "echo": True, "max_tokens": 0, "logprobs": 2}
    reply = client.completions.create(prompt=PROMPT, **score)
    [choice], logprobs = reply.choices, reply.choices[0].logprobs
    count = reply.usage.prompt_tokens
    lists = (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset)
    checks("a score has an entry for each token", {len(each) for each in lists} == {count}, lists)
    checks(
        "all but the first have a log probability",
        [x is None for x in logprobs.token_logprobs] == [True] + [False] * (count - 1),
    )
    checks("the text is the prompt", choice.text == PROMPT == "".join(logprobs.tokens), choice.text)
    ends = [*logprobs.text_offset[1:], len(PROMPT)]
    spelt = [PROMPT[begin:end] for begin, end in zip(logprobs.text_offset, ends, strict=True)]
    checks("the offsets are those of the tokens", spelt == logprobs.tokens, logprobs.text_offset)
    checks("no tokens were generated", (reply.usage.completion_tokens, reply.usage.total_tokens) == (0, count), reply.usage)
    several = client.completions.create(prompt=[PROMPT, "Hello there, world"], **score)
    checks("several prompts", [each.index for each in several.choices] == [0, 1])
    checks("the same in a list", several.choices[0].logprobs == logprobs)
    more = client.completions.create(prompt=PROMPT, **score | {"max_tokens": 1, "temperature": 0})
    checks("one token more", more.choices[0].logprobs.token_logprobs[:-1] == logprobs.token_logprobs)
    ids = [[504, 2365, 6354], [30, 40]]
    of_ids = client.completions.create(prompt=ids, **score)
    checks("token ids", [len(each.logprobs.tokens) for each in of_ids.choices] == [3, 2])
    extra = client.completions.create(prompt=PROMPT, model=MODEL, max_tokens=1, extra_body={"prompt_logprobs": 0})
    checks("vLLM's prompt_logprobs", len(extra.choices[0].prompt_logprobs) == count)


def _check_texts(checks: Checks, client: Any) -> None:
    for what, options in {
        "sampled": {"seed": 5, "max_tokens": 12},
        "most probable": {"temperature": 0, "max_tokens": 12},
        "several": {"n": 3, "seed": 5, "max_tokens": 12},
        "to a stop": {"seed": 5, "max_tokens": 40, "stop": ["e", "\n"]},
        "after the prompt": {"seed": 5, "max_tokens": 12, "echo": True},
        "after several prompts": {"prompt": [PROMPT, "Once"], "n": 2, "seed": 5, "max_tokens": 6},
    }.items():
        asked: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "logprobs": 1} | options
        reply = client.completions.create(**asked)
        checks(f"text, {what}: the same again", reply == client.completions.create(**asked))
        events = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        checks(f"text, {what}: the usage comes last", events[-1].choices == [] and events[-1].usage == reply.usage, events[-1])
        for whole in reply.choices:
            parts = [part for event in events for part in event.choices if part.index == whole.index]
            logprobs = [x for part in parts for x in part.logprobs.token_logprobs]
            seen = "".join(part.text for part in parts), parts[-1].finish_reason, logprobs
            expected = whole.text, whole.finish_reason, whole.logprobs.token_logprobs
            checks(f"text {whole.index}, {what}: streamed", seen == expected, seen)
            stops = [stop for stop in options.get("stop", ()) if stop in whole.text]
            checks(f"text {whole.index}, {what}: no stop in it", not stops, stops)


def _check_chats(checks: Checks, client: Any) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "temperature": 0}
    asked |= {"logprobs": True, "top_logprobs": 3, "max_completion_tokens": 6}
    reply = client.chat.completions.create(**asked)
    [choice], tokens = reply.choices, reply.choices[0].logprobs.content
    spelt = b"".join(bytes(each.bytes) for each in tokens).decode()
    checks("a chat's text is that of its tokens", spelt == choice.message.content)
    checks("each token has three alternatives", {len(each.top_logprobs) for each in tokens} == {3})
    checks("the most probable is the first", all(each.top_logprobs[0].token == each.token for each in tokens))
    checks("a chat's usage", reply.usage.completion_tokens == len(tokens))
    events = list(client.chat.completions.create(**asked, stream=True))
    deltas = [part for event in events for part in event.choices]
    checks("a chat, streamed", "".join(part.delta.content or "" for part in deltas) == choice.message.content)
    streamed = [each for part in deltas if part.logprobs for each in part.logprobs.content]
    checks("its log probabilities", streamed == tokens)
    plain = client.chat.completions.create(**asked | {"logprobs": False, "top_logprobs": None})
    checks("a chat without log probabilities", plain.choices[0].logprobs is None)


def _check_errors(checks: Checks, client: Any) -> None:
    def wrong(**fields: Any) -> Callable[[], Any]:
        return lambda: client.completions.create(**{"model": MODEL, "prompt": PROMPT} | fields)

    for what, name, param, code, call in (
        ("an unknown model", "NotFoundError", "model", "model_not_found", wrong(model="none")),
        ("a temperature below 0", "BadRequestError", "temperature", "invalid_value", wrong(temperature=-1)),
        ("an unknown field", "BadRequestError", "nonsense", "invalid_value", wrong(extra_body={"nonsense": 1})),
        ("an unknown token", "BadRequestError", "prompt", "invalid_token", wrong(prompt=[10**6])),
        ("a prompt without tokens", "BadRequestError", "prompt", "empty_prompt", wrong(prompt="")),
        ("too long a prompt", "BadRequestError", "prompt", "context_length_exceeded", wrong(prompt=[1] * 9000)),
    ):
        _refused(checks, what, name, param, code, call)


def _refused(checks: Checks, what: str, name: str, param: str | None, code: str, call: Callable[[], Any]) -> None:
    try:
        seen: object = call()
    except openai.APIStatusError as error:
        seen = type(error).__name__, error.param, error.code, bool(error.request_id)
    checks(f"{what} is refused", seen == (name, param, code, True), seen)


async def _check_asyncio(checks: Checks, url: str, busy: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY) as client:
        score: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "echo": True, "max_tokens": 0, "logprobs": 0}
        replies = await asyncio.gather(*[client.completions.create(**score) for _ in range(40)])
        checks("asyncio: 40 at a time", all(each == replies[0] for each in replies))
        stream = await client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=5, stream=True)
        checks("asyncio: a stream", len([event async for event in stream]) == 5)
        stream = await client.completions.create(model=MODEL, prompt=LONG, max_tokens=2000, stream=True)
        await anext(stream)
        await stream.close()
        checks("asyncio: alive after a stream that was closed", (await client.completions.create(**score)) == replies[0])
    asked: dict[str, Any] = {"model": "default", "prompt": "a", "max_tokens": 60}
    async with openai.AsyncOpenAI(base_url=busy, api_key="none", max_retries=0) as client:
        replies = await asyncio.gather(*[client.completions.create(**asked) for _ in range(60)], return_exceptions=True)
        errors = [each for each in replies if isinstance(each, BaseException)]
        kinds = {type(each) for each in errors}
        checks("too many at a time: RateLimitError", kinds == {openai.RateLimitError}, kinds)
        limited = [each for each in errors if isinstance(each, openai.RateLimitError)]
        checks("it says when to try again", all(each.response.headers.get("retry-after") == "1" for each in limited))
    async with openai.AsyncOpenAI(base_url=busy, api_key="none", max_retries=30) as client:
        replies = await asyncio.gather(*[client.completions.create(**asked) for _ in range(60)])
        checks("all are answered when they try again", len(replies) == 60)


if __name__ == "__main__":
    main()
