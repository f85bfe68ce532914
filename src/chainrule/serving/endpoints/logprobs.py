"""/v1/logprobs: texts scored, with everything that `LanguageModel.score_batch` gives, as JSON or as an Arrow stream."""

from __future__ import annotations

from fastapi import Request as HttpRequest
from fastapi import Response

from chainrule.errors import InputError
from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.replies.arrays import ARROW, arrow_reply, json_arrays
from chainrule.serving.requests.scoring import LogprobsBody
from chainrule.serving.served import ServedModel
from chainrule.serving.service import Service
from chainrule.serving.tasks import Conditions, Scoring
from chainrule.serving.wire import json_reply
from chainrule.text.reading import Reading

routes = router()


@routes.post("/v1/logprobs")
async def logprobs(body: LogprobsBody, request: HttpRequest) -> Response:
    """Score texts. With the header Accept: application/vnd.apache.arrow.stream, the reply is a table, a row for each text."""
    service = service_of(request)
    served = service.model(body.model)
    task = await service.in_thread(_task, service, served, body)
    service.check_tokens(task.tokens, "input")
    service.check_logprobs(task.tokens * (1 + task.top), "input")
    [scores] = await service.results([task], request)
    if ARROW in request.headers.get("accept", ""):
        return await service.in_thread(arrow_reply, served, body, scores)
    return await service.in_thread(lambda: json_reply(json_arrays(served, body, scores)))


def _task(service: Service, served: ServedModel, body: LogprobsBody) -> Scoring:
    """The texts as a task. Raises ApiError."""
    try:
        requests = served.requests(body.input, body.contexts, Reading.of(body.special))
        conditions = Conditions(
            start=body.start, end=served.lm.scorer.end(body.end), temperature=float(body.temperature), last_n=body.last_n,
            window=body.window, stride=body.stride,
        )  # fmt: skip
    except InputError as error:
        raise service.visible(error) from None
    tokens = sum(len(request.context_ids) + len(request.ids) for request in requests)
    return Scoring(
        lm=served.lm,
        tokens=tokens,
        deadline=service.deadline,
        requests=requests,
        conditions=conditions,
        top=min(body.top, served.vocab_size),
        targets=body.targets,
    )
