"""Replies of /v1/completions."""

from __future__ import annotations

from typing import Any

from chainrule.serving.replies.continuation import Call, Continuation
from chainrule.serving.replies.factors import Factors
from chainrule.serving.replies.logprobs import (
    Offsets,
    completion_logprobs,
    offsets_of_prompt,
    prompt_logprobs,
)
from chainrule.serving.requests.completions import CompletionBody
from chainrule.serving.served import Prompt


class CompletionShape:
    """The shape of OpenAI's completions, with vLLM's `prompt_logprobs` and `stop_reason`."""

    chunk = "text_completion"

    def __init__(self, body: CompletionBody) -> None:
        self._echo, self._logprobs = bool(body.echo), body.logprobs

    def reply(self, call: Call, prompts: list[Factors | None], texts: list[Continuation]) -> dict[str, Any]:
        choices = [
            self._choice(call, index, prompt, factors, texts[index] if texts else None)
            for number, (prompt, factors) in enumerate(zip(call.prompts, prompts, strict=True))
            for index in range(number * call.body.n, (number + 1) * call.body.n)
        ]
        generated = sum(len(text.factors) for text in texts)
        return call.base(self.chunk) | {"choices": choices, "usage": call.usage(generated)}

    def first_events(self, call: Call, prompts: list[Factors | None]) -> list[dict[str, Any]]:
        if not self._echo and call.body.prompt_logprobs is None:
            return []
        events = []
        for number, (prompt, factors) in enumerate(zip(call.prompts, prompts, strict=True)):
            choices = [self._choice(call, number * call.body.n + n, prompt, factors, None) for n in range(call.body.n)]
            if call.length:
                choices = [choice | {"finish_reason": None} for choice in choices]
            events.append(call.base(self.chunk) | {"choices": choices})
        return events

    def event(self, call: Call, index: int, part: Continuation, offsets: list[int]) -> dict[str, Any]:
        choice = {
            "index": index,
            "text": part.text,
            "logprobs": self._logprobs_of(call, part.factors, offsets),
            "finish_reason": part.finish,
            "stop_reason": part.stop,
        }
        return call.base(self.chunk) | {"choices": [choice]}

    def _choice(
        self, call: Call, index: int, prompt: Prompt, factors: Factors | None, text: Continuation | None
    ) -> dict[str, Any]:
        served, shown = call.served, call.served.text_of_prompt(prompt)
        all_factors, offsets = Factors.none(), []
        if self._echo and factors is not None:
            all_factors, offsets = factors, offsets_of_prompt(served, prompt)
        if text is not None:
            all_factors = all_factors + text.factors
            offsets = offsets + Offsets(served, len(shown), call.hidden).before(text.factors.ids)
        choice: dict[str, Any] = {
            "index": index,
            "text": (shown if self._echo else "") + ("" if text is None else text.text),
            "logprobs": self._logprobs_of(call, all_factors, offsets),
            "finish_reason": "length" if text is None else text.finish,
            "stop_reason": None if text is None else text.stop,
        }
        if call.body.prompt_logprobs is not None and factors is not None:
            choice["prompt_logprobs"] = prompt_logprobs(call.fragments, factors.limited(call.body.prompt_logprobs))
        return choice

    def _logprobs_of(self, call: Call, factors: Factors, offsets: list[int]) -> dict[str, Any] | None:
        if self._logprobs is None:
            return None
        return completion_logprobs(call.fragments, factors.limited(self._logprobs), offsets)
