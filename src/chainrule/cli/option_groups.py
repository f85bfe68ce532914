"""Groups of options. A command takes a dataclass for each group, and Typer sees one option for each field."""

from __future__ import annotations

from collections.abc import Callable, Collection
from copy import copy
from dataclasses import fields, is_dataclass
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_type_hints


def expand_groups(function: Callable[..., None], omit: Collection[str] = ()) -> Callable[..., None]:
    """The function with each dataclass replaced by one parameter per field. Fields in `omit` keep their defaults.

    Parameters are keyword-only. They and the fields are annotated for Typer: Annotated[type, typer.Option(…)].
    The class attribute `panel` of a dataclass, if it has one, is the heading of its options in the help.
    Raises ValueError for a name in `omit` that no dataclass has.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, list[str]] = {}
    parameters: list[Parameter] = []
    for parameter in signature(function).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint):
            options = [option for option in _options(hint) if option.name not in omit]
            groups[parameter.name] = [option.name for option in options]
            parameters += options
        else:
            parameters.append(parameter.replace(annotation=hint))
    if unknown := set(omit) - {field.name for group in groups for field in fields(hints[group])}:
        raise ValueError(f"no group of {function.__name__} has {', '.join(sorted(unknown))}")

    @wraps(function)
    def call(**values: Any) -> None:
        collected = {group: hints[group](**{name: values.pop(name) for name in names}) for group, names in groups.items()}
        function(**values, **collected)

    call.__annotations__ = {}  # Typer would evaluate these; those of the signature are enough
    call.__signature__ = Signature(parameters)  # pyrefly: ignore[missing-attribute]
    return call


@cache
def _options(group: type) -> list[Parameter]:
    hints, panel = get_type_hints(group, include_extras=True), getattr(group, "panel", None)
    options = []
    for field in fields(group):
        kind, option = get_args(hints[field.name])
        option = copy(option)
        option.rich_help_panel = panel
        annotation = Annotated[kind, option]
        options.append(Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation))
    return options
