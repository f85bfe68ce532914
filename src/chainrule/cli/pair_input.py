"""Tables of minimal pairs: two texts in a row, or one text in a row with its item and its condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from chainrule.cli.inputs import BadRow, Record, Source
from chainrule.cli.output import note
from chainrule.errors import InputError, short
from chainrule.files.columns import Columns
from chainrule.files.rows import Block, listed

_NAMES = (("good", "bad"), ("sentence_good", "sentence_bad"))  # the second are those of BLiMP


@dataclass(frozen=True)
class PairColumns(Columns):
    """The columns of the good texts (`text`) and of the bad ones (`pair`); None: `good` and `bad`, or those of BLiMP."""

    @property
    def options(self) -> dict[str, str | None]:
        """The names of the columns, by command-line option."""
        return {"good": self.text, "bad": self.pair, "context_column": self.context, "id": self.id}

    def found(self, block: Block, name: str) -> tuple[Columns, str]:
        """These columns with those of the texts. Raises InputError if they are not there. name: of the file."""
        if self.text is not None and self.pair is not None:
            return self, ""
        for good, bad in _NAMES:
            own = replace(self, text=self.text or good, pair=self.pair or bad)
            if own.text in block.names and own.pair in block.names:
                return own, ""
        raise InputError(
            f"{name}: there are no columns 'good' and 'bad': name them with --good and --bad; {listed(block.names)}"
        )


class PairSource(Source):
    """Pairs of texts, one in a row."""

    keyed = False  # whether rows have the user's column of items alone, in place of all columns


@dataclass
class LongSource(PairSource):
    """Pairs whose two texts are two rows, which have the same item and the conditions `good` and `bad`.

    All rows are read before the first pair. A pair has the place of its good text in the user's table.
    """

    item: str = ""
    condition: str = ""
    good: str | None = None
    bad: str | None = None  # None: the other condition, if there are two
    keyed: bool = field(default=True, init=False)

    def __iter__(self) -> Iterator[Record]:
        records = list(super().__iter__())
        items, conditions = (self.values(records, column) or [] for column in (self.item, self.condition))
        good, bad = self._conditions(conditions)
        by_item: dict[str, dict[str, Record]] = {}
        for record, item, condition in zip(records, items, conditions, strict=True):
            if item is None:
                raise InputError(f"{record.where} has nothing in the column {self.item!r} (--by)")
            if condition is None or condition not in (good, bad):
                continue
            own = by_item.setdefault(item, {})
            if condition in own:
                where = f"{own[condition].where} and {record.where}"
                raise InputError(f"item {short(item)} has two texts in the condition {condition!r}: {where}")
            own[condition] = record
        self.columns = replace(self.columns, id=self.item)
        index = 0
        for item, own in by_item.items():
            if problem := self._problem_of(item, own, good, bad):
                if not self.skip_bad:
                    raise BadRow(problem)
                self.skip(problem)
                continue
            first, second = own[good], own[bad]
            where = f"item {short(item)} ({first.where}, {second.where})"
            yield replace(first, item=(str(first.item), str(second.item)), where=where, index=index)
            index += 1

    def count(self) -> None:
        """The number of pairs is not known before all rows have been read."""

    def _conditions(self, conditions: list[str | None]) -> tuple[str, str]:
        """The conditions of the good and of the bad texts. Raises InputError."""
        found = [name for name in dict.fromkeys(conditions) if name is not None]
        names = ", ".join(map(short, found))
        if self.good not in found:
            raise InputError(f"no row has the condition {self.good!r} (--good); the conditions are: {names}")
        others = [name for name in found if name != self.good]
        bad = self.bad if self.bad is not None or len(others) != 1 else others[0]
        if bad is None:
            raise InputError(f"name the condition of the bad texts with --bad; the conditions are: {names}")
        if bad not in others:
            raise InputError(f"no other row has the condition {bad!r} (--bad); the conditions are: {names}")
        left_out = [name for name in others if name != bad]
        if left_out:
            note(f"chainrule: note: rows in other conditions are left out: {', '.join(map(short, left_out))}")
        return str(self.good), bad

    @staticmethod
    def _problem_of(item: str, own: dict[str, Record], good: str, bad: str) -> str:
        """Why an item is no pair; "" if it is one."""
        for condition, other in ((good, bad), (bad, good)):
            if condition not in own:
                return f"{own[other].where}: item {short(item)} has no text in the condition {condition!r}"
        if own[good].context != own[bad].context:
            return f"item {short(item)}: the texts have different contexts: {own[good].where}, {own[bad].where}"
        return ""
