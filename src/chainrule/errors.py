"""The exceptions that chainrule raises deliberately.

ChainruleError
├── InputError      the input cannot be scored: empty text, ids out of range, wrong widths … (also a ValueError)
├── ModelError      the model cannot be used: unreadable, pickled weights, NaN, no language model …
└── OutputError     a result cannot be written to its target

The command line prints the message of each and exits with code 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from chainrule.verdict import Verdict

EXTRAS = {  # the modules of the extras in pyproject.toml
    "gguf": ("gguf", "accelerate"),
    "pandas": ("pandas",),
    "polars": ("polars",),
    "plot": ("altair", "vl_convert"),
    "lm-eval": ("lm_eval",),
    "ray": ("ray",),
    "serve": ("fastapi", "uvicorn", "msgspec", "prometheus_client"),
}


class ChainruleError(Exception):
    """Base of all errors of this library; the message, one line, says what was wrong, the value, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(_in_one_line(message))


class InputError(ChainruleError, ValueError):
    """A text, token id, embedding, file or option that cannot be scored as given.

    `item` is the index of the invalid input among several, or None; `reason` is the message without it.
    """

    def __init__(self, reason: str, item: int | None = None) -> None:
        super().__init__(reason if item is None else f"item {item}: {reason}")
        self.reason, self.item = _in_one_line(reason), item


class ModelError(ChainruleError):
    """A model that cannot be loaded, or that does not define a conditional distribution."""


class OutputError(ChainruleError):
    """A result that cannot be written."""


def require(extra: str, purpose: str, error: type[ChainruleError]) -> None:
    """Raises `error`, with the command to install it, if a package of this extra is missing."""
    for name in EXTRAS[extra]:
        if find_spec(name) is None:
            raise error(f"{purpose} needs {name}, which is not installed; run: pip install 'chainrule[{extra}]'")


@contextmanager
def of_one_text() -> Iterator[None]:
    """Where there is one text, an error does not name it as item 0."""
    try:
        yield
    except InputError as error:
        error.item, error.args = None, (error.reason,)
        raise


def raise_unless(accepted: Verdict) -> None:
    """Raises InputError with the reason if a verdict is false."""
    if not accepted:
        raise InputError(accepted.reason)


def _in_one_line(message: str) -> str:
    return " ".join(message.split("\n"))


def short(value: object) -> str:
    """The beginning of a value in one line, for a message."""
    try:
        shown = " ".join(repr(value).split())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # it has no repr, or its Rust code panics
        return f"one that cannot be shown ({type(value).__name__})"
    return shown if len(shown) <= 60 else shown[:57] + "…"
