"""The options of generation, checked before anything runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from chainrule._checks import is_whole
from chainrule.errors import InputError, short
from chainrule.generation.transform import Transform
from chainrule.text.arguments import as_list
from chainrule.text.tokenizer import check_text

if TYPE_CHECKING:
    from chainrule.generation.result import Step

Method: TypeAlias = Literal["greedy", "sample", "beam", "best"]
METHODS: tuple[Method, ...] = get_args(Method)
LENGTH = 64  # default maximum number of tokens
BEAMS, BUDGET = 4, 2000
_METHODS_OF = {  # the methods that take an option
    "temperature": ("sample",),
    "top_k": ("sample",),
    "top_p": ("sample",),
    "min_p": ("sample",),
    "seed": ("sample",),
    "num_beams": ("beam", "best"),
    "budget": ("best",),
}
_RANGES = {  # the smallest and largest value of each whole number; more texts or tokens would never finish
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
    """See `LanguageModel.generate`. Raises InputError for values out of range, and for options of another method."""

    method: Method = "greedy"
    max_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    num_beams: int | None = None
    budget: int | None = None
    stop: Any = ()  # a text, or texts; a tuple after the checks
    top: int = 0
    on_token: Callable[[Step], None] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise InputError(f"method={short(self.method)} is not a method: choose {', '.join(map(repr, METHODS))}")
        for name, methods in _METHODS_OF.items():
            value = getattr(self, name)
            if value is not None and self.method not in methods:
                named = " or ".join(map(repr, methods))
                raise InputError(f"{name}={short(value)} is for method={named}, and this is method={self.method!r}")
        for name, (low, high) in _RANGES.items():
            _check_whole(name, getattr(self, name), low, high)
        if self.method == "greedy" and (self.n or 1) > 1:
            raise InputError(f"method='greedy' gives one text, not n={self.n}: choose method='sample', 'beam' or 'best'")
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(as_list(self.stop, "texts to stop at"))
        if any(not isinstance(text, str) or not text for text in stops):
            raise InputError(f"stop must be one or more texts, none empty, not {short(stops)}")
        for text in stops:
            check_text(text)
        object.__setattr__(self, "stop", stops)
        _ = self.transform  # checks its numbers

    @property
    def transform(self) -> Transform:
        """The change of the model's distribution before sampling."""
        return Transform(1.0 if self.temperature is None else self.temperature, self.top_k, self.top_p, self.min_p)

    def chosen_seed(self) -> int:
        """The seed that was passed, or a random one."""
        return secrets.randbits(32) if self.seed is None else self.seed

    @property
    def count(self) -> int:
        """The number of texts."""
        return self.n or 1

    @property
    def width(self) -> int:
        """The width of the beam: `num_beams`, but at least the number of texts."""
        return max(self.num_beams or BEAMS, self.count)

    @property
    def max_contexts(self) -> int:
        """The maximum number of contexts that a search computes."""
        return self.budget or BUDGET

    def tokens(self, limit: int | None) -> int:
        """The maximum number of tokens. limit: tokens that fit into the model's context; None: no limit. Raises InputError."""
        if limit is not None and limit < 1:
            raise InputError("the context already fills the model's context, so there is no room for another token: shorten it")
        if self.max_tokens is None:
            return LENGTH if limit is None else min(LENGTH, limit)
        if limit is not None and self.max_tokens > limit:
            raise InputError(f"max_tokens={self.max_tokens} does not fit: after this context there is room for {limit}")
        return self.max_tokens


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if value is None:
        return
    if not is_whole(value, low):
        raise InputError(f"{name} must be a whole number, {low} or more, not {short(value)}")
    if value > high:
        raise InputError(f"{name} must be a whole number up to {high}, not {short(value)}")
