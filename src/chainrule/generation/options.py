"""How to grow: the method and its numbers, checked before anything runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chainrule._checks import is_whole
from chainrule.errors import InputError, short
from chainrule.generation.transform import Transform
from chainrule.text.arguments import as_list
from chainrule.text.tokenizer import check_text

if TYPE_CHECKING:
    from chainrule.generation.result import Step

METHODS = ("greedy", "sample", "beam", "best")
LENGTH = 64  # tokens, where neither the length nor the model's context says otherwise
BEAMS, BUDGET = 4, 2000
_ONLY = {  # what belongs to one method only
    "temperature": ("sample",),
    "top_k": ("sample",),
    "top_p": ("sample",),
    "min_p": ("sample",),
    "seed": ("sample",),
    "num_beams": ("beam", "best"),
    "budget": ("best",),
}
_WHOLE = {  # the least and the most that each may be; more texts or tokens would never come to an end
    "max_tokens": (1, 1 << 24),
    "n": (1, 1 << 20),
    "top_k": (1, 1 << 31),
    "num_beams": (1, 1 << 20),
    "budget": (1, 1 << 31),
    "seed": (0, (1 << 63) - 1),
    "top": (0, 1 << 31),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """See `LanguageModel.generate`. Raises InputError for numbers out of range, and for those the method has no use for."""

    method: Literal["greedy", "sample", "beam", "best"] = "greedy"
    max_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    num_beams: int | None = None
    budget: int | None = None
    stop: Any = ()  # a text, or texts; once it is checked, a tuple
    top: int = 0
    on_token: Callable[[Step], None] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise InputError(f"method={short(self.method)} is none: choose {', '.join(map(repr, METHODS))}")
        for name, methods in _ONLY.items():
            if getattr(self, name) is not None and self.method not in methods:
                raise InputError(
                    f"{name}={short(getattr(self, name))} is for method={' or '.join(map(repr, methods))}; this is "
                    f"{self.method!r}"
                )
        for name, (low, high) in _WHOLE.items():
            _whole(name, getattr(self, name), low, high)
        if self.method == "greedy" and (self.n or 1) > 1:
            raise InputError(f"greedy grows one text, not {self.n}: choose method='sample', 'beam' or 'best'")
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(as_list(self.stop, "texts to stop at"))
        if any(not isinstance(text, str) or not text for text in stops):
            raise InputError(f"stop must be texts that are not empty, not {short(stops)}")
        for text in stops:
            check_text(text)
        object.__setattr__(self, "stop", stops)
        _ = self.transform  # checks its own

    @property
    def transform(self) -> Transform:
        """How sampling departs from the model's own distribution."""
        return Transform(1.0 if self.temperature is None else self.temperature, self.top_k, self.top_p, self.min_p)

    def chosen_seed(self) -> int:
        """The seed that was given, or one drawn for this time."""
        return secrets.randbits(32) if self.seed is None else self.seed

    @property
    def count(self) -> int:
        """How many texts are wanted."""
        return self.n or 1

    @property
    def width(self) -> int:
        """Of the beam: as many as were asked for, and never fewer than the texts that are wanted."""
        return max(self.num_beams or BEAMS, self.count)

    @property
    def spend(self) -> int:
        """Contexts that a search may have computed."""
        return self.budget or BUDGET

    def tokens(self, room: int | None) -> int:
        """How many tokens to grow at most, where the model's context has room for `room`."""
        if room is not None and room < 1:
            raise InputError("the context fills the model's own context already, so there is no room to grow: shorten it")
        if self.max_tokens is None:
            return LENGTH if room is None else min(LENGTH, room)
        if room is not None and self.max_tokens > room:
            raise InputError(f"max_tokens={self.max_tokens} does not fit: after this context there is room for {room}")
        return self.max_tokens


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if value is None:
        return
    if not is_whole(value, low):
        raise InputError(f"{name} must be a whole number, {low} or more, not {short(value)}")
    if value > high:
        raise InputError(f"{name} must be a whole number up to {high}, not {short(value)}")
