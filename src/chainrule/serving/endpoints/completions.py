"""/v1/completions: prompts scored and continued, as with OpenAI, vLLM and llama.cpp."""

from __future__ import annotations

from fastapi import Request, Response

from chainrule.serving.endpoints.generating import Answering, call_of
from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.endpoints.streaming import streamed
from chainrule.serving.replies.completions import CompletionShape
from chainrule.serving.requests.completions import LENGTH, CompletionBody

routes = router()


@routes.post("/v1/completions")
async def completions(body: CompletionBody, request: Request) -> Response:
    """Continue prompts, or score them: with echo and logprobs, each token of a prompt but the first has a factor."""
    service = service_of(request)
    served = service.model(body.model)
    prompts = await service.in_thread(served.prompts, body.prompt, add=body.add_special_tokens)
    of_echo = body.logprobs if body.echo else None
    tops = [top for top in (of_echo, body.prompt_logprobs) if top is not None]
    call = await call_of(
        service, served, prompts, request, "cmpl-", length=body.max_tokens, usual=LENGTH, top=body.logprobs,
        prompt_top=max(tops, default=None), body=body, param="prompt",
    )  # fmt: skip
    answering = Answering(service, request, call, CompletionShape(body))
    return await (streamed(answering) if body.stream else answering.reply())
