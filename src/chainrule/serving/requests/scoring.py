"""The bodies of our own /v1/logprobs and of SGLang's /v1/score."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from chainrule.serving.requests.base import MOST_ALTERNATIVES, Body, OneText, Texts, invalid, is_ids, one_text
from chainrule.serving.wire import in_json


def _contexts(value: Any) -> Any:
    if value is None or isinstance(value, str) or is_ids(value):
        return value
    if not isinstance(value, list):
        raise ValueError(f"context must be a text, a list of token ids, or a list with one for each text, not {in_json(value)}")
    return [None if item is None else one_text(item) for item in value]


_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_CONTEXT: list[dict[str, Any]] = [{"type": "string"}, _IDS, {"type": "null"}]
Contexts = Annotated[
    Any,
    BeforeValidator(_contexts),
    WithJsonSchema({"anyOf": [*_CONTEXT, {"type": "array", "items": {"anyOf": _CONTEXT}}]}),
]


def _window(value: Any) -> Any:
    if value is None or value is False or (type(value) is int and value >= 2):
        return value
    raise ValueError(f"window must be a number of embeddings, 2 or more, or false, not {in_json(value)}")


Window = Annotated[
    int | bool | None,
    BeforeValidator(_window),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 2}, {"const": False}, {"type": "null"}]}),
]


class LogprobsBody(Body):
    """Texts to score, as `LanguageModel.score_batch` takes them."""

    input: Texts = Field(description="A text, a list of texts, a list of token ids, or a list of such lists.")
    context: Contexts = Field(None, description="One context for all texts, or a list with one for each (null: none).")
    start: Literal["auto", "bos", "eos", "given"] | int = Field(
        "auto", description="What the first token is conditioned on: a start symbol, or nothing: then it is given."
    )
    end: bool | int | None = Field(None, description="True, or the id of an end symbol: add its factor.")
    top: int = Field(0, ge=0, le=MOST_ALTERNATIVES, description="So many alternatives at each position.")
    targets: list[list[list[int]] | None] | None = Field(
        None, description="For each text: for each of its factors, the ids whose log probability is wanted in its place."
    )
    last_n: int | None = Field(None, ge=1, lt=1 << 31, description="Score the last n tokens of each text only.")
    temperature: float = Field(1.0, gt=0, description="Of softmax(logits / temperature).")
    window: Window = Field(None, description="The most embeddings to condition on; false: refuse longer texts.")
    stride: int | None = Field(None, ge=1, lt=1 << 31, description="The tokens from one window to the next.")
    special: Literal["text", "parse"] = Field("text", description="How names of control symbols in texts are read.")
    spans: bool = Field(False, description="Give the characters of the text that each token spells.")

    @model_validator(mode="after")
    def _check_lengths(self) -> LogprobsBody:
        for name, values in (("context", self.context), ("targets", self.targets)):
            several = isinstance(values, list) and not is_ids(values)
            if several and len(values) != len(self.input):
                raise invalid(
                    name, f"{name} has {len(values)} entries, and input has {len(self.input)}: give one for each text"
                )
        return self

    @property
    def contexts(self) -> list[Any]:
        """A context for each text; None: no context."""
        if isinstance(self.context, list) and not is_ids(self.context):
            return self.context
        return [self.context] * len(self.input)


class ScoreBody(Body):
    """Items to compare after a query, by the probabilities of some tokens after both. As SGLang's ScoringRequest."""

    query: OneText = Field("", description="A text or token ids.")
    items: Texts = Field(description="A text, a list of texts, or a list of lists of token ids.")
    label_token_ids: list[int] = Field(min_length=1, description="The ids whose probabilities are wanted.")
    apply_softmax: bool = Field(False, description="Normalise over the labels.")
    item_first: bool = Field(False, description="The item comes before the query.")
