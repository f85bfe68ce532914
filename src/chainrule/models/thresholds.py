"""Numbers that a network looks up as it runs: some are thresholds (windows, places from which attention is scaled).

What happens beyond one shows only where a text comes up to it. So it is lowered for a while, in a network that nobody else
runs: what its own forward then does, a way of running it has to do as well. Where that cannot be done, a text is as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from chainrule.ops.sealed import unless_memory


def integers_read(network: nn.Module, run: Callable[[], Any], least: int, bound: float) -> list[str]:
    """Names of integers from `least` to `bound` that are looked up in the configs and modules of a network in `run`."""
    owners = _owners(network)
    return [name for name in names_read(owners, run) if any(least <= value <= bound for _, value in _held(owners, name))]


def numbers_read(network: nn.Module, run: Callable[[], Any]) -> list[float]:
    """All numbers that are looked up so, those in lists and dicts too."""
    owners = _owners(network)
    names = names_read(owners, run)
    return [number for name in names for owner in owners for number in _numbers(_looked_up(owner, name))]


def _numbers(value: Any, depth: int = 3) -> Iterator[float]:
    if type(value) in (int, float):
        yield value
    elif depth and type(value) in (list, tuple, dict):
        for item in value.values() if type(value) is dict else value:
            yield from _numbers(item, depth - 1)


@contextmanager
def lowered(networks: Sequence[nn.Module], name: str, most: int) -> Iterator[None]:
    """With the integer of this name at most `most` for a while, in each config and module that has it.

    transformers keeps windows in the config, where its masks come from, and in layers, which hand them to the attention.
    """
    found = _held([owner for network in networks for owner in _owners(network)], name)
    lower: list[tuple[Any, int]] = []
    try:
        for owner, value in found:
            if _set(owner, name, min(most, value)):
                lower.append((owner, value))
        yield
    finally:
        for owner, value in lower:
            setattr(owner, name, value)


def _set(owner: Any, name: str, value: int) -> bool:
    """Whether it can be set: a property may only tell what another object holds."""
    try:
        setattr(owner, name, value)
    except (AttributeError, TypeError):
        return False
    return True


def _owners(network: nn.Module) -> list[Any]:
    """What holds the numbers of a network: its modules and their configs."""
    configs = {id(m.config): m.config for m in network.modules() if hasattr(m, "config")}
    return [*configs.values(), *network.modules()]


def _held(owners: list[Any], name: str) -> list[tuple[Any, int]]:
    """Which of them have an integer of this name."""
    values = ((owner, _looked_up(owner, name)) for owner in owners)
    return [(owner, value) for owner, value in values if type(value) is int]


def _looked_up(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception as error:  # a config that has it for each layer apart (Gemma 4)
        unless_memory(error)
        return None


def names_read(owners: list[Any], run: Callable[[], Any]) -> list[str]:
    """Names of what holds numbers and is looked up in these objects, which nobody else has, in `run`.

    Where a class allows no other one that notes this, or `run` looks at classes: all names of what they hold.
    """
    found: dict[str, None] = {}
    classes = [type(owner) for owner in owners]
    noted = False
    try:
        noting = {kind: _noting(kind, found) for kind in set(classes)}
        for owner, kind in zip(owners, classes, strict=True):
            owner.__class__ = noting[kind]
        run()
        noted = True
    except Exception as error:
        unless_memory(error)
    finally:
        for owner, kind in zip(owners, classes, strict=True):
            owner.__class__ = kind
    if not noted:
        found |= dict.fromkeys(name for owner in owners for name in vars(owner))
    return [name for name in found if not name.startswith("_")]


def _noting(kind: type, found: dict[str, None]) -> type:
    """The same class, whose objects note in `found` which numbers are looked up in them, and what may hold some."""

    def look_up(self: Any, name: str) -> Any:
        value = own(self, name)
        if type(value) in (int, float, list, tuple, dict):
            found[name] = None
        return value

    own: Any = kind.__getattribute__  # of any of its objects
    return type(kind.__name__, (kind,), {"__getattribute__": look_up, "__module__": kind.__module__})
