"""/v1/score: the probabilities of some tokens after a query and each of several items, as with SGLang."""

from __future__ import annotations

import math

import numpy as np
from fastapi import Request as HttpRequest
from fastapi import Response

from chainrule._types import Floats
from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.errors import ApiError
from chainrule.serving.replies.continuation import usage
from chainrule.serving.requests.scoring import ScoreBody
from chainrule.serving.served import Prompt, ServedModel
from chainrule.serving.tasks import Scoring
from chainrule.serving.wire import json_reply
from chainrule.text.requests import Request

routes = router()


@routes.post("/v1/score")
async def score(body: ScoreBody, request: HttpRequest) -> Response:
    """For each item, the probability of each label after the query and the item; with apply_softmax, among the labels."""
    service = service_of(request)
    served = service.model(body.model)
    prompts = await service.in_thread(_prompts, served, body)
    tokens = sum(len(prompt.ids) for prompt in prompts)
    service.check_tokens(tokens, "items")
    for prompt in prompts:
        service.check_length(served, len(prompt.ids), 0, "items")
    service.check_logprobs(len(prompts) * len(body.label_token_ids), "label_token_ids")
    labels = served.of_ids(body.label_token_ids, "label_token_ids").ids
    task = Scoring(
        lm=served.lm,
        tokens=tokens,
        deadline=service.deadline,
        requests=[Request(labels[:1], prompt.ids) for prompt in prompts],
        targets=[[labels]] * len(prompts),
    )
    [scores] = await service.results([task], request)
    rows = [_probabilities(each.target_logprobs[0], among=body.apply_softmax) for each in scores]
    return json_reply({"scores": rows, "model": body.model or served.name, "usage": usage(tokens), "object": "scoring"})


def _prompts(served: ServedModel, body: ScoreBody) -> list[Prompt]:
    """The query and each item, joined. Raises ApiError."""
    pairs = [(item, body.query) if body.item_first else (body.query, item) for item in body.items]
    for number, (first, second) in enumerate(pairs):
        if first and second and isinstance(first, str) != isinstance(second, str):
            message = f"query and items must both be texts, or both be token ids; item {number} differs from the query"
            raise ApiError(400, message, param="items", code="invalid_value")
    return served.prompts([first + second if first and second else first or second for first, second in pairs], add=True,
                          param="items")  # fmt: skip


def _probabilities(logprobs: Floats, *, among: bool) -> list[float]:
    """Probabilities, among the tokens of this vocabulary or among these tokens; all 0 if all are impossible."""
    if among and (total := np.logaddexp.reduce(logprobs)) > -math.inf:
        logprobs = logprobs - total
    return np.exp(logprobs).tolist()
