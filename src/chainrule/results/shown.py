"""The views of results for terminals, notebooks and documents, registered by another package."""

from __future__ import annotations

from functools import singledispatch
from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule.errors import OutputError, require

if TYPE_CHECKING:
    import altair

# The package that registers the views. It imports the results, so it is imported here by name and only for the first view:
# an import statement, also one in a function, would make the two packages depend on each other.
_VIEWS = "chainrule.display"


@singledispatch
def rich(result: Any) -> Any:
    """The view for a terminal, as Rich renders it. Raises TypeError for a result without one."""
    raise TypeError(f"{type(result).__name__} has no view for a terminal")


@singledispatch
def text(result: Any) -> Any:
    """The view whose `str()` is plain text: that for a terminal, if no other is registered."""
    return rich(result)


@singledispatch
def html(result: Any) -> str | None:
    """The view for a notebook; None for a result without one, which notebooks then show as text."""
    return None


@singledispatch
def document(result: Any, form: str) -> str:
    """The result as a document: "html", "svg" or "latex". Raises TypeError for a result without one."""
    raise TypeError(f"{type(result).__name__} has no document")


@singledispatch
def chart(result: Any, **options: Any) -> altair.TopLevelMixin:
    """The chart, as Altair draws it. Raises TypeError for a result without one."""
    raise TypeError(f"{type(result).__name__} has no chart")


def exported(result: Any, form: str) -> str:
    """`document`, with the views registered."""
    import_module(_VIEWS)
    return document(result, form)


def as_text(result: Any) -> str:
    """The view of a result as plain text, of its natural width."""
    import_module(_VIEWS)
    return str(text(result))


def plotted(result: Any, **options: Any) -> altair.TopLevelMixin:
    """`chart`, with the views registered. Raises OutputError without the extra `plot`."""
    require("plot", "plot", OutputError)
    import_module(_VIEWS)
    return chart(result, **options)


class Shown:
    """A result that terminals and notebooks show."""

    def __rich__(self) -> Any:
        import_module(_VIEWS)
        return rich(self)

    def _repr_html_(self) -> str | None:
        import_module(_VIEWS)
        return html(self)
