"""Results with items, by number, in slices, and one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar, overload

Item = TypeVar("Item")


class Items(ABC, Generic[Item]):
    """A result that has an item of its own for each index."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _item(self, i: int, /) -> Item:
        """The item of an index from 0."""

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, range(len(self)))

    @overload
    def __getitem__(self, item: int) -> Item: ...
    @overload
    def __getitem__(self, item: slice) -> list[Item]: ...
    def __getitem__(self, item: int | slice) -> Item | list[Item]:
        if isinstance(item, slice):
            return [self._item(i) for i in range(*item.indices(len(self)))]
        return self._item(range(len(self))[item])
