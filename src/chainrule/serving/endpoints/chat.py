"""/v1/chat/completions: chats continued, as with OpenAI and vLLM."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from chainrule.serving.endpoints.generating import Answering, call_of
from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.endpoints.streaming import streamed
from chainrule.serving.replies.chat import ChatShape
from chainrule.serving.requests.chat import ChatBody, Message
from chainrule.serving.served import Prompt, ServedModel

routes = router()


@routes.post("/v1/chat/completions")
async def chat(body: ChatBody, request: Request) -> Response:
    """Continue a chat. With prompt_logprobs, the tokens of the prompt have factors too."""
    service = service_of(request)
    served = service.model(body.model)
    prompt = await service.in_thread(
        chat_prompt, served, body.messages, body.add_special_tokens, body.add_generation_prompt, body.continue_final_message,
        body.chat_template_kwargs,
    )  # fmt: skip
    top = (body.top_logprobs or 0) if body.logprobs else None
    call = await call_of(
        service, served, [prompt], request, "chatcmpl-", length=body.length, usual=None, top=top,
        prompt_top=body.prompt_logprobs, body=body, param="messages",
    )  # fmt: skip
    answering = Answering(service, request, call, ChatShape(body))
    return await (streamed(answering) if body.stream else answering.reply())


def chat_prompt(
    served: ServedModel,
    messages: list[Message],
    add: bool,
    generation_prompt: bool,
    continues: bool,
    more: dict[str, Any] | None,
) -> Prompt:
    """The prompt of a chat. Raises ApiError."""
    options = (more or {}) | {
        "add_generation_prompt": generation_prompt and not continues,
        "continue_final_message": continues,
    }
    return served.of_chat([message.to_dict() for message in messages], add, options)
