"""The fields with which texts are generated, of completions and of chats."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from chainrule.serving.requests.base import MOST_ALTERNATIVES, MOST_TEXTS, Body, invalid
from chainrule.serving.wire import in_json


def _stops(value: Any) -> Any:
    if value is None or value == "":
        return []
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise ValueError(f"stop must be a text or a list of texts, not {in_json(value)}")
    return list(dict.fromkeys(filter(None, stops)))


Stops = Annotated[
    list[str],
    BeforeValidator(_stops),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
]


class StreamOptions(BaseModel):
    """What a stream has beside its tokens."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = Field(None, description="Send the numbers of tokens before the end.")
    continuous_usage_stats: bool | None = Field(None, description="Send the numbers of tokens with each event.")


class GenerationBody(Body):
    """How texts are generated. Log probabilities are those of the model itself, without temperature and the like."""

    ignored: ClassVar = frozenset(
        {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
         "request_id", "priority", "cache_salt", "max_gen_toks", "cache_prompt", "parallel_tool_calls"}
    )  # fmt: skip
    neutral: ClassVar = {
        "best_of": (1,), "frequency_penalty": (0,), "presence_penalty": (0,), "repetition_penalty": (1,), "logit_bias": ({},),
        "suffix": ("",), "use_beam_search": (False,), "length_penalty": (1,), "min_tokens": (0,), "stop_token_ids": ([],),
        "bad_words": ([],), "allowed_token_ids": ([],), "include_stop_str_in_output": (False,),
        "spaces_between_special_tokens": (True,), "truncate_prompt_tokens": (), "response_format": ({"type": "text"},),
        "structured_outputs": (), "guided_json": (), "guided_regex": (), "guided_choice": (), "guided_grammar": (),
        "logits_processors": ([],), "prompt_embeds": (), "kv_transfer_params": (), "return_token_ids": (False,),
        "repeat_penalty": (1,), "typical_p": (1,), "mirostat": (0,), "mirostat_mode": (0,), "grammar": ("",),
    }  # fmt: skip

    n: int = Field(1, ge=1, le=MOST_TEXTS, description="The number of texts for each prompt.")
    temperature: float | None = Field(None, ge=0, description="0: the most probable token each time. Default: 1.")
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1 << 31, description="−1 and 0: all tokens.")
    min_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=0, le=(1 << 63) - 1, description="Equal requests with one seed get equal replies.")
    stop: Stops = Field([], description="Texts at which to stop; the text ends before them.")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool = Field(False, description="Treat the end symbol like any other token.")
    skip_special_tokens: bool = Field(True, description="Leave control symbols out of the generated text.")
    prompt_logprobs: int | None = Field(
        None, ge=0, le=MOST_ALTERNATIVES, description="Give the factors of the prompt, each with so many alternatives."
    )
    return_tokens_as_token_ids: bool | None = Field(None, description='Name tokens "token_id:5" in the log probabilities.')

    @model_validator(mode="after")
    def _check_stream(self) -> GenerationBody:
        if self.stream_options is not None and not self.stream:
            raise invalid("stream_options", "stream_options is for stream=true")
        return self

    @property
    def greedy(self) -> bool:
        """Whether each token is the most probable one."""
        return self.temperature == 0

    def options(self) -> dict[str, Any]:
        """The options of `LanguageModel.stream`, without the length and the context."""
        end = {"end": False} if self.ignore_eos else {}
        if self.greedy:
            return {"method": "greedy", "stop": self.stop, **end}
        sampling = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k if (self.top_k or 0) > 0 else None,
            "min_p": self.min_p or None,
            "seed": self.seed,
        }
        return {"method": "sample", "n": self.n, "stop": self.stop, **sampling, **end}
