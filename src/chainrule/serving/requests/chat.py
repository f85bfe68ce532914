"""The body of /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from chainrule.serving.requests.base import MOST_ALTERNATIVES, invalid
from chainrule.serving.requests.generation import GenerationBody
from chainrule.serving.wire import in_json


def _content(value: Any) -> Any:
    """A text, or parts that are texts. Raises ValueError."""
    for part in value if isinstance(value, list) else ():
        if isinstance(part, dict) and part.get("type", "text") != "text":
            raise ValueError(f"only parts of the type text are supported, not {in_json(part['type'])}")
    return value


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a chat. The model's template may use further fields, such as a name."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: str
    content: Annotated[str | list[Part] | None, BeforeValidator(_content)] = None

    def to_dict(self) -> dict[str, Any]:
        """As templates take it."""
        content = self.content
        if isinstance(content, list):
            content = "\n".join(part.text for part in content)
        return {"role": self.role, **(self.model_extra or {}), "content": content or ""}


class ChatTemplateBody(GenerationBody):
    """The messages, and how the model's template makes a prompt of them."""

    messages: list[Message] = Field(min_length=1)
    add_generation_prompt: bool = Field(True, description="End the prompt where the model's reply begins.")
    continue_final_message: bool = Field(False, description="Leave the last message open, for the model to continue it.")
    add_special_tokens: bool = Field(False, description="Add symbols to those of the template.")
    chat_template_kwargs: dict[str, Any] | None = Field(None, description="Further variables of the template.")

    @model_validator(mode="after")
    def _check_end(self) -> ChatTemplateBody:
        if self.continue_final_message and self.add_generation_prompt and "add_generation_prompt" in self.model_fields_set:
            raise invalid("continue_final_message", "continue_final_message and add_generation_prompt exclude each other")
        return self


class ChatBody(ChatTemplateBody):
    """A chat to continue, with log probabilities of the reply, and of the prompt (prompt_logprobs) if they are asked for."""

    neutral: ClassVar = {
        **GenerationBody.neutral, "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],),
        "function_call": ("none",),
        "modalities": (["text"],), "audio": (), "prediction": (), "web_search_options": (), "reasoning_effort": (),
        "verbosity": (), "chat_template": (), "documents": ([],), "include_reasoning": (True, False),
    }  # fmt: skip

    max_tokens: int | None = Field(None, ge=0, le=1 << 24, description="Default: as many as fit. 0 is for prompt_logprobs.")
    max_completion_tokens: int | None = Field(None, ge=0, le=1 << 24, description="As max_tokens.")
    logprobs: bool | None = Field(None, description="Give the log probability of each token of the reply.")
    top_logprobs: int | None = Field(None, ge=0, le=MOST_ALTERNATIVES, description="So many alternatives for each token.")
    echo: Literal[False] | None = None

    @model_validator(mode="after")
    def _check_logprobs(self) -> ChatBody:
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs", "top_logprobs is for logprobs=true")
        if self.length == 0 and self.prompt_logprobs is None:
            raise invalid("max_tokens", "max_tokens=0 leaves nothing to reply: set prompt_logprobs, or generate a token")
        return self

    @property
    def length(self) -> int | None:
        """The most tokens to generate; None: as many as fit."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
