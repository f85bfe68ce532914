"""What bodies of requests share: strict types, texts or token ids, and fields that change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from chainrule.serving.wire import in_json

MOST_ALTERNATIVES = 1000  # at each position; each is some 60 bytes of the reply
MOST_TEXTS = 128  # that are generated for one prompt

_ID = {"type": "integer", "minimum": 0}
_TEXT_OR_IDS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": _ID, "minItems": 1}]}


class Body(BaseModel):
    """A body. `ignored`: fields that change no number. `neutral`: fields that are not supported, with the values of each that
    change nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())

    ignored: ClassVar[frozenset[str]] = frozenset()
    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    model: str | None = Field(None, description="The name of a model that is served. Default: the first one.")

    @model_validator(mode="before")
    @classmethod
    def _without_neutral(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, values in cls.neutral.items():
            if name in data and not any(_same(data[name], value) for value in (None, *values)):
                shown = " or ".join(map(in_json, values)) if values else "null"
                raise invalid(name, f"{name} is not supported: leave it out, or set it to {shown}, not {in_json(data[name])}")
        left_out = cls.ignored.union(cls.neutral)
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {
            name: value
            for name, value in data.items()
            if name not in left_out and not (value is None and name in optional)  # null is the default
        }


def invalid(param: str, message: str) -> PydanticCustomError:
    """An error about a field, for a check of several fields together."""
    return PydanticCustomError("invalid", "{message}", {"message": message, "param": param})


def _same(value: Any, neutral: Any) -> bool:
    return (type(value) is type(neutral) and value == neutral) or (
        isinstance(value, int | float) and not isinstance(value, bool) and not isinstance(neutral, bool) and value == neutral
    )


def is_ids(value: Any) -> bool:
    """Whether this is a list of token ids."""
    return isinstance(value, list) and len(value) > 0 and all(type(id) is int for id in value)


def one_text(value: Any) -> Any:
    """A text or a list of token ids. Raises ValueError."""
    if isinstance(value, str) or is_ids(value):
        return value
    raise ValueError(f"a text or a list of token ids is needed, not {in_json(value)}")


def texts_of(value: Any) -> list[Any]:
    """Texts and lists of token ids, from one of them or a list of them. Raises ValueError."""
    if isinstance(value, str) or is_ids(value):
        return [value]
    if not isinstance(value, list) or not value:
        raise ValueError(f"a text, a list of token ids, or a list of several is needed, not {in_json(value)}")
    of_ids = type(value[0]) is int
    for i, item in enumerate(value):
        if of_ids and type(item) is not int:
            raise ValueError(f"item {i} of the token ids is {in_json(item)}, which is no whole number")
        if not of_ids and not isinstance(item, str) and not is_ids(item):
            raise ValueError(f"item {i} is neither a text nor a list of token ids, but {in_json(item)}")
    return value


OneText = Annotated[Any, BeforeValidator(one_text), WithJsonSchema(_TEXT_OR_IDS)]
Texts = Annotated[
    list[Any],
    BeforeValidator(texts_of),
    WithJsonSchema({"anyOf": [*_TEXT_OR_IDS["anyOf"], {"type": "array", "items": _TEXT_OR_IDS, "minItems": 1}]}),
]
