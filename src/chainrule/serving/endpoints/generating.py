"""Prompts that are scored and continued: what /v1/completions and /v1/chat/completions have in common."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from chainrule._types import Ints
from chainrule.results.score import Score
from chainrule.serving.endpoints.route import digest
from chainrule.serving.replies.continuation import Call, Continuation, Shape
from chainrule.serving.replies.factors import Factors
from chainrule.serving.requests.generation import GenerationBody
from chainrule.serving.served import Prompt, ServedModel
from chainrule.serving.service import Service
from chainrule.serving.tasks import Generation, Scoring
from chainrule.serving.wire import json_reply
from chainrule.text.requests import Request

_ANY = np.zeros(1, np.int64)  # the id of a token after a prompt, which only marks the position to predict


async def call_of(
    service: Service, served: ServedModel, prompts: list[Prompt], request: HttpRequest, prefix: str, *, length: int | None,
    usual: int | None, top: int | None, prompt_top: int | None, body: GenerationBody, param: str,
) -> Call:  # fmt: skip
    """The call, with its limits checked. Raises ApiError.

    length: the most tokens of a text, as the client says; None: `usual` (None: any number), or as many as fit.
    """
    for prompt in prompts:
        service.check_length(served, len(prompt.ids), length or 0, param)
    if length is None:
        room = None if served.max_length is None else served.max_length + 1 - max(len(prompt.ids) for prompt in prompts)
        left = (service.limits.tokens - sum(len(prompt.ids) for prompt in prompts)) // (len(prompts) * body.n)
        length = max(1, min(each for each in (usual, room, left) if each is not None))
    tokens = sum(len(prompt.ids) for prompt in prompts)
    service.check_tokens(tokens + len(prompts) * body.n * length, param)
    of_texts = 0 if top is None else len(prompts) * length * (1 + top)
    of_prompts = 0 if prompt_top is None else tokens * (1 + prompt_top)
    service.check_logprobs(body.n * (of_texts + of_prompts), param)
    seed = secrets.randbits(32) if body.seed is None and not body.greedy and length else body.seed
    id = prefix + await digest(request, None if body.greedy else seed)
    top, prompt_top = (None if each is None else min(each, served.vocab_size) for each in (top, prompt_top))
    return Call(served, body, prompts, id, seed, length, top, prompt_top)


@dataclass(frozen=True)
class Answering:
    """A call of a client, and what answers it."""

    service: Service
    request: HttpRequest
    call: Call
    shape: Shape

    async def reply(self) -> Response:
        """The whole reply. Raises ApiError."""
        call = self.call
        if call.length == 1 and call.body.greedy:
            scores = await self.scores(one_more=True)
            texts = [Continuation.most_probable(call, score) for score in scores if score is not None]
        else:
            scores = await self.scores()
            texts = await self._texts() if call.length else []
        copies = call.body.n if call.body.greedy else 1
        texts = [text for text in texts for _ in range(copies)]
        return await self.service.in_thread(lambda: json_reply(self.shape.reply(call, self.prompt_factors(scores), texts)))

    async def scores(self, *, one_more: bool = False) -> list[Score | None]:
        """The score of each prompt, if its factors are wanted; None for one without factors.

        one_more: each score has one factor more, for the token after the prompt, with an alternative at least.
        """
        call, wanted = self.call, self.call.prompt_top is not None
        requests = [_request(prompt.ids, wanted, one_more) for prompt in call.prompts]
        scored = [request for request in requests if request is not None]
        if not scored:
            return [None] * len(requests)
        task = Scoring(
            lm=call.served.lm,
            tokens=sum(len(prompt.ids) + one_more for prompt in call.prompts),
            deadline=self.service.deadline,
            requests=scored,
            top=max(call.prompt_top or 0, (call.top or 1) if one_more else 0),
        )
        [scores] = await self.service.results([task], self.request)
        each = iter(scores)
        return [None if request is None else next(each) for request in requests]

    def prompt_factors(self, scores: Sequence[Score | None]) -> list[Factors | None]:
        """The factors of the tokens of each prompt; None if they are not wanted."""
        if self.call.prompt_top is None:
            return [None] * len(scores)
        return [
            _factors(prompt.ids, score, self.call.prompt_top) for prompt, score in zip(self.call.prompts, scores, strict=True)
        ]

    def generation(self, ids: Ints, on_step: Any = None) -> Generation:
        """The task that continues a prompt."""
        call = self.call
        options = call.body.options() | {
            "context": ids, "start": "given", "max_tokens": call.length, "top": call.top or 0,
        }  # fmt: skip
        if not call.body.greedy:
            options["seed"] = call.seed
        return Generation(
            lm=call.served.lm,
            tokens=len(ids) + call.length * call.body.n,
            deadline=self.service.deadline,
            options=options,
            on_step=on_step,
        )

    async def _texts(self) -> list[Continuation]:
        texts = await self.service.results([self.generation(prompt.ids) for prompt in self.call.prompts], self.request)
        return await self.service.in_thread(lambda: [Continuation.of(self.call, text) for own in texts for text in own])


def _request(ids: Ints, wanted: bool, one_more: bool) -> Request | None:
    """What is to be scored of a prompt; None if it is nothing. The first token is given."""
    if wanted and len(ids) + one_more > 1:
        return Request(np.concatenate((ids, _ANY)) if one_more else ids)
    return Request(_ANY, ids) if one_more else None


def _factors(ids: Ints, score: Score | None, top: int) -> Factors:
    """The factors of all tokens of a prompt, of which the first has none."""
    first = Factors.given(int(ids[0]))
    return first if score is None or len(ids) == 1 else first + Factors.of(score, top).first(len(ids) - 1)
