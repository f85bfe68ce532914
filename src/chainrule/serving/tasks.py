"""What the model's thread is asked to do: score texts, generate some, or call a function. Each has a future for the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from chainrule.engine.question import Progress
from chainrule.generation import Generated, Step
from chainrule.language import LanguageModel
from chainrule.results.batch import Scores
from chainrule.text.requests import Request

T = TypeVar("T")


class GivenUp(Exception):
    """Nobody waits for what is being computed."""


@dataclass(eq=False, kw_only=True)
class Task(Generic[T]):
    """One piece of work for a model."""

    lm: LanguageModel
    tokens: int  # of its texts, with those to generate: its share of a batch
    deadline: float  # on the clock of time.monotonic
    result: Future[T] = field(default_factory=Future)
    cancelled: bool = False  # nobody waits for the result any more

    @property
    def given_up(self) -> bool:
        """Whether the work would be for nobody."""
        return self.cancelled or time.monotonic() > self.deadline

    def succeed(self, value: T) -> None:
        """Give the result to the one who waits for it."""
        if self.result.set_running_or_notify_cancel():
            self.result.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Give an error to the one who waits for the result."""
        if self.result.set_running_or_notify_cancel():
            self.result.set_exception(error)


@dataclass(frozen=True)
class Conditions:
    """What texts must agree on to be scored in one forest. See `LanguageModel.score_batch`."""

    start: str | int | None = "given"
    end: bool | int | None = None
    temperature: float = 1.0
    last_n: int | None = None
    window: int | bool | None = False
    stride: int | None = None


@dataclass(eq=False, kw_only=True)
class Scoring(Task[Scores]):
    """Texts to score."""

    requests: list[Request]
    conditions: Conditions = Conditions()
    top: int = 0
    targets: Sequence[Any] | None = None  # for each text, a list of ids for each of its factors; None: no targets


@dataclass(eq=False, kw_only=True)
class Generation(Task[list[Generated]]):
    """Texts to generate after one context."""

    options: dict[str, Any]  # of LanguageModel.stream
    on_step: Callable[[Step], None] | None = None  # called in the model's thread


@dataclass(eq=False, kw_only=True)
class Call(Task[Any]):
    """A function to call, such as one that computes a part of a page. It calls `check` from time to time."""

    function: Callable[[Progress], Any]

    def check(self, *_: int) -> None:
        """Raises GivenUp once nobody waits for the result."""
        if self.given_up:
            raise GivenUp
