"""The body of /page: which part of the page is wanted, of which text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chainrule.serving.requests.base import Body, invalid

CHARACTERS = 65_536  # of a text; a longer one is refused before it is tokenised
GROWN = 64  # tokens that a page lets a text grow by

_FIELDS = {  # which are for one section alone
    "change": "variant",
    "method": "growths",
    "max_tokens": "growths",
    "seed": "growths",
    "compare": "comparison",
}
_PARTS = {"replace": ("position", "token"), "start": ("start",), "cut": ("tokens",)}  # of a change, by its kind


class Change(BaseModel):
    """A change of a text or of its start symbol, as `chainrule.pages` takes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["replace", "start", "cut"]
    position: int | None = Field(None, ge=0, description="replace: the position of a token of the text.")
    token: Annotated[str, Field(min_length=1, max_length=200)] | int | None = Field(
        None, description="replace: its new text, or the id of a token."
    )
    start: Literal["bos", "eos", "given"] | int | None = Field(None, description="start: the new start symbol.")
    tokens: int | None = Field(None, ge=1, description="cut: the number of tokens to cut off the beginning.")

    @model_validator(mode="after")
    def _check_parts(self) -> Change:
        given = {name for name, value in self.to_dict().items() if name != "kind" and value is not None}
        if given != set(_PARTS[self.kind]):
            wanted = " and ".join(_PARTS[self.kind])
            raise invalid("change", f"a change of the kind {self.kind} has {wanted}, and nothing else")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The parts that are given."""
        return self.model_dump(exclude_none=True)


class PageBody(Body):
    """One section of the page of a text. The sections of a text are asked for one after another."""

    section: Literal["text", "variants", "variant", "growths", "comparison"]
    text: str = Field(max_length=CHARACTERS)
    context: str | None = Field(None, max_length=CHARACTERS, description="The text before, which is not scored itself.")
    start: Literal["auto", "bos", "eos", "given"] | int | None = Field(
        None, description="What the first token is conditioned on. Default: the start symbol of the model."
    )
    change: Change | None = Field(None, description="variant: what to change.")
    method: Literal["greedy", "best", "beam", "sample"] | None = Field(
        None, description="growths: how tokens are chosen. Default: greedy, best and beam, side by side."
    )
    max_tokens: int = Field(8, ge=1, le=GROWN, description="growths: the most tokens to add.")
    seed: int | None = Field(None, ge=0, le=(1 << 63) - 1, description="growths: of the method sample.")
    compare: str | None = Field(
        None,
        max_length=CHARACTERS,
        description="comparison: the other text. Default: the text with its most surprising token replaced.",
    )

    @model_validator(mode="after")
    def _check_section(self) -> PageBody:
        for name, section in _FIELDS.items():
            if name in self.model_fields_set and section != self.section:
                raise invalid(name, f"{name} is for section={section}, not {self.section}")
        if self.section == "variant" and self.change is None:
            raise invalid("change", "section=variant needs the field change")
        if self.seed is not None and self.method != "sample":
            raise invalid("seed", "seed is for method=sample")
        return self

    @property
    def texts(self) -> list[str]:
        """The texts that are scored."""
        return [self.text] if self.compare is None else [self.text, self.compare]
