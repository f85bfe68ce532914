"""A progress bar on standard error, if that is a terminal. It is removed before anything else is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """A progress bar. unit: the noun for the amounts that are passed to `update`; its rate is shown too."""

    def __init__(self, bars: Progress, unit: str) -> None:
        self._bars, self._unit = bars, unit
        self._task = bars.add_task("starting", total=None, amount="", rate="")
        self._began = time.monotonic()
        self._earlier = self._now = 0  # amounts of earlier parts of the work, and of this one

    def __call__(self, label: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done. label: what is being done."""
        self.show(label, done, done, total, f"{done}/{total} {self._unit}")

    def show(self, label: str, amount: int, done: float, total: float | None, words: str, rate: float | None = None) -> None:
        """Show `done` of `total` (None: unknown) with these words. amount: how many units this part of the work has taken.

        rate: units in a second (default: of all amounts since the start).
        """
        if amount < self._now:
            self._earlier += self._now
        self._now = amount
        if rate is None:
            rate = (self._earlier + amount) / max(1e-9, time.monotonic() - self._began)
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
        self._bars.start()
        fields = {"amount": words, "rate": f"{speed} {self._unit}/s"}
        self._bars.update(self._task, description=label, completed=done, total=total, **fields)

    def hide(self) -> None:
        """Take the bar off the screen until it is shown again."""
        self._bars.stop()


@contextmanager
def progress(unit: str) -> Iterator[Bar | None]:
    """Yields the bar; None without a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        TextColumn("{task.fields[amount]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
    )
    # Standard output must not be redirected: Rich would write it to this console
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, expand=True) as bars:
        yield Bar(bars, unit)
