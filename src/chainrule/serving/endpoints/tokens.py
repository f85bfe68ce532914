"""/tokenize, /detokenize and /tokenizer_info, as with vLLM."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from chainrule.serving.endpoints.chat import chat_prompt
from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.errors import ApiError
from chainrule.serving.requests.tokens import DetokenizeBody, TokenizeBody
from chainrule.serving.served import Prompt, ServedModel
from chainrule.serving.wire import json_reply

routes = router()


@routes.post("/tokenize")
async def tokenize(body: TokenizeBody, request: Request) -> Response:
    """The ids of a text or a chat."""
    service = service_of(request)
    served = service.model(body.model)
    ids = (await service.in_thread(_prompt, served, body)).ids.tolist()
    names = [served.name_of(id) for id in ids] if body.return_token_strs else None
    return json_reply({"count": len(ids), "max_model_len": served.max_length, "tokens": ids, "token_strs": names})


@routes.post("/detokenize")
async def detokenize(body: DetokenizeBody, request: Request) -> Response:
    """The text of token ids."""
    served = service_of(request).model(body.model)
    if served.lm.tokenizer is None:
        raise ApiError(400, f"{served.name} has no tokenizer", code="no_tokenizer")
    return json_reply({"prompt": served.text_of(served.of_ids(body.tokens, "tokens").ids.tolist())})


@routes.get("/tokenizer_info")
async def tokenizer_info(request: Request, model: str | None = None) -> Response:
    """What clients need to know of a tokenizer: its symbols and the template of chats."""
    served = service_of(request).model(model)
    tokenizer: Any = served.tokenizer
    hf = getattr(tokenizer, "hf", None)
    symbols = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    names = {f"{symbol}_token": _symbol(served, getattr(hf or tokenizer, f"{symbol}_token_id" if hf else f"{symbol}_id", None))
             for symbol in symbols}  # fmt: skip
    info = {"tokenizer_class": type(hf or tokenizer).__name__, "model_max_length": served.max_length}
    return json_reply(info | names | {"chat_template": getattr(hf, "chat_template", None)})


def _prompt(served: ServedModel, body: TokenizeBody) -> Prompt:
    if body.messages is not None:
        add, more = bool(body.add_special_tokens), body.chat_template_kwargs
        return chat_prompt(served, body.messages, add, body.add_generation_prompt, body.continue_final_message, more)
    return served.encoded([body.prompt or ""], add=body.add_special_tokens is not False)[0]


def _symbol(served: ServedModel, id: int | None) -> str | None:
    return None if id is None else served.name_of(id)
