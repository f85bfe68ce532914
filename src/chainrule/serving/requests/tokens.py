"""The bodies of /tokenize and /detokenize, as vLLM has them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from chainrule.serving.requests.base import Body, invalid
from chainrule.serving.requests.chat import Message


class TokenizeBody(Body):
    """A prompt, or the messages of a chat, to encode."""

    prompt: str | None = None
    messages: list[Message] | None = Field(None, min_length=1)
    add_special_tokens: bool | None = Field(None, description="Default: true for a prompt, false for messages.")
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = None
    return_token_strs: bool | None = Field(None, description="Give the text of each token too.")

    @model_validator(mode="after")
    def _check_one(self) -> TokenizeBody:
        if (self.prompt is None) == (self.messages is None):
            raise invalid("prompt", "give either prompt or messages")
        return self


class DetokenizeBody(Body):
    """Token ids whose text is wanted."""

    tokens: list[int]
