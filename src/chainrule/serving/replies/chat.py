"""Replies of /v1/chat/completions."""

from __future__ import annotations

from typing import Any

from chainrule.serving.replies.continuation import Call, Continuation
from chainrule.serving.replies.factors import Factors
from chainrule.serving.replies.logprobs import content, prompt_logprobs
from chainrule.serving.requests.chat import ChatBody


class ChatShape:
    """The shape of OpenAI's chats, with vLLM's `prompt_logprobs`, `prompt_token_ids` and `stop_reason`."""

    chunk = "chat.completion.chunk"

    def __init__(self, body: ChatBody) -> None:
        self._logprobs = body.logprobs

    def reply(self, call: Call, prompts: list[Factors | None], texts: list[Continuation]) -> dict[str, Any]:
        choices = [self._choice(call, index, text) for index, text in enumerate(texts)]
        if not texts:
            choices = [self._choice(call, index, Continuation("", Factors.none(), "length")) for index in range(call.body.n)]
        generated = sum(len(text.factors) for text in texts)
        return call.base("chat.completion") | {"choices": choices, "usage": call.usage(generated)} | _of_prompt(call, prompts)

    def first_events(self, call: Call, prompts: list[Factors | None]) -> list[dict[str, Any]]:
        end = None if call.length else "length"
        choices = [
            {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": end}
            for index in range(call.body.n)
        ]
        return [call.base(self.chunk) | {"choices": choices} | _of_prompt(call, prompts)]

    def event(self, call: Call, index: int, part: Continuation, offsets: list[int]) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": {"content": part.text},
            "logprobs": self._logprobs_of(call, part.factors),
            "finish_reason": part.finish,
            "stop_reason": part.stop,
        }
        return call.base(self.chunk) | {"choices": [choice]}

    def _choice(self, call: Call, index: int, text: Continuation) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": text.text, "refusal": None},
            "logprobs": self._logprobs_of(call, text.factors),
            "finish_reason": text.finish,
            "stop_reason": text.stop,
        }

    def _logprobs_of(self, call: Call, factors: Factors) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        return {"content": content(call.fragments, factors), "refusal": None}


def _of_prompt(call: Call, prompts: list[Factors | None]) -> dict[str, Any]:
    """The factors of the prompt, if they are asked for, with its ids."""
    top, factors = call.body.prompt_logprobs, prompts[0]
    if top is None or factors is None:
        return {}
    return {"prompt_token_ids": factors.ids, "prompt_logprobs": prompt_logprobs(call.fragments, factors.limited(top))}
