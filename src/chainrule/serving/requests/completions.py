"""The body of /v1/completions."""

from __future__ import annotations

from pydantic import Field, model_validator

from chainrule.serving.requests.base import MOST_ALTERNATIVES, Texts, invalid
from chainrule.serving.requests.generation import GenerationBody

LENGTH = 16  # tokens to generate if a request does not say how many, as with OpenAI


class CompletionBody(GenerationBody):
    """Texts to continue, or to score: echo=true with logprobs gives a factor for each token of the prompt but the first."""

    prompt: Texts = Field(description="A text, a list of texts, a list of token ids, or a list of such lists.")
    max_tokens: int | None = Field(
        None, ge=0, le=1 << 24, description="0 is for echo and prompt_logprobs. Default: 16, or as many as fit."
    )
    echo: bool | None = Field(None, description="Give the prompt back, with the continuation after it.")
    logprobs: int | None = Field(None, ge=0, le=MOST_ALTERNATIVES, description="So many alternatives for each token.")
    add_special_tokens: bool = Field(
        True, description="Add the symbols that the tokenizer adds around a text. Token ids are taken as they are."
    )

    @model_validator(mode="after")
    def _check_length(self) -> CompletionBody:
        if self.max_tokens == 0 and not self.echo and self.prompt_logprobs is None:
            raise invalid(
                "max_tokens", "max_tokens=0 leaves nothing to reply: set echo or prompt_logprobs, or generate a token"
            )
        return self
