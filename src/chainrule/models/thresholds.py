"""Numbers that a network reads as it runs. Some are thresholds (windows, positions from which attention is scaled).

The behaviour beyond a threshold shows only in texts that reach it. So a threshold is lowered temporarily, in a network that
belongs to the caller, where a strategy must agree with the model's own forward. If it cannot be lowered, a longer text is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from chainrule.ops.sealed import unless_memory


def integers_read(network: nn.Module, run: Callable[[], Any], least: int, bound: float) -> list[str]:
    """Names of integers from `least` to `bound` that `run` reads from the configs and modules of a network."""
    owners = _owners(network)
    return [name for name in names_read(owners, run) if any(least <= value <= bound for _, value in _held(owners, name))]


def numbers_read(network: nn.Module, run: Callable[[], Any]) -> list[float]:
    """All numbers that `run` reads so, including those in lists and dicts."""
    owners = _owners(network)
    names = names_read(owners, run)
    return [number for name in names for owner in owners for number in _numbers(_get(owner, name))]


def _numbers(value: Any, depth: int = 3) -> Iterator[float]:
    if type(value) in (int, float):
        yield value
    elif depth and type(value) in (list, tuple, dict):
        for item in value.values() if type(value) is dict else value:
            yield from _numbers(item, depth - 1)


@contextmanager
def lowered(networks: Sequence[nn.Module], name: str, most: int) -> Iterator[None]:
    """Within the block, the integer of this name is at most `most` in each config and module that has it.

    transformers keeps windows in the config, which its masks are made from, and in layers, which pass them to attention.
    """
    holders = _held([owner for network in networks for owner in _owners(network)], name)
    changed: list[tuple[Any, int]] = []
    try:
        for owner, value in holders:
            if _set(owner, name, min(most, value)):
                changed.append((owner, value))
        yield
    finally:
        for owner, value in changed:
            setattr(owner, name, value)


def _set(owner: Any, name: str, value: int) -> bool:
    """Set it, if possible: a property may only report the value of another object. Whether it was set."""
    try:
        setattr(owner, name, value)
    except (AttributeError, TypeError):
        return False
    return True


def _owners(network: nn.Module) -> list[Any]:
    """The objects that hold the numbers of a network: its modules and their configs."""
    configs = {id(m.config): m.config for m in network.modules() if hasattr(m, "config")}
    return [*configs.values(), *network.modules()]


def _held(owners: list[Any], name: str) -> list[tuple[Any, int]]:
    """The owners that have an integer of this name, with its value."""
    values = ((owner, _get(owner, name)) for owner in owners)
    return [(owner, value) for owner, value in values if type(value) is int]


def _get(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception as error:  # a config with a value for each layer (Gemma 4)
        unless_memory(error)
        return None


def names_read(owners: list[Any], run: Callable[[], Any]) -> list[str]:
    """Names of the attributes with numbers, or with collections of them, that `run` reads from these objects.

    The objects must belong to the caller: their classes are replaced by recording subclasses. Where a class does not allow it,
    or `run` depends on the class, all names of their attributes.
    """
    names: dict[str, None] = {}
    classes = [type(owner) for owner in owners]
    complete = False
    try:
        recording = {kind: _recording(kind, names) for kind in set(classes)}
        for owner, kind in zip(owners, classes, strict=True):
            owner.__class__ = recording[kind]
        run()
        complete = True
    except Exception as error:
        unless_memory(error)
    finally:
        for owner, kind in zip(owners, classes, strict=True):
            owner.__class__ = kind
    if not complete:
        names |= dict.fromkeys(name for owner in owners for name in vars(owner))
    return [name for name in names if not name.startswith("_")]


def _recording(kind: type, names: dict[str, None]) -> type:
    """A subclass whose objects record in `names` which attributes with numbers, or collections, are read from them."""

    def read(self: Any, name: str) -> Any:
        value = own(self, name)
        if type(value) in (int, float, list, tuple, dict):
            names[name] = None
        return value

    own: Any = kind.__getattribute__  # shared by all objects of the class
    return type(kind.__name__, (kind,), {"__getattribute__": read, "__module__": kind.__module__})
