"""What came of each check, in words, in numbers and in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from chainrule.files.writing import json_text

MARKS = {"pass": "pass", "fail": "FAIL", "follows": "follows", "warn": "warn", "skip": "-"}


@dataclass(frozen=True)
class Finding:
    """What one check found. It fails where `error` is more than `tolerance`; with no error there was nothing to check."""

    checked: str  # what was held against what, how often
    error: float | None = None  # the largest
    tolerance: float = 0.0
    unit: str = "nats"
    cause: str = ""  # of a failure, the likely one
    warning: str = ""  # what is no failure, and yet to be known
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Property:
    """One property of the numbers and whether it holds on this model and machine.

    status: "pass"; "fail"; "follows" (it does not hold, as is to be expected when `because`, another property, has failed);
    "warn" (it holds, with a warning); "skip" (it does not apply, `checked` says why).
    """

    name: str
    status: str
    finding: Finding
    because: str = ""

    @classmethod
    def judged(cls, name: str, finding: Finding, because: str = "") -> Property:
        """With the status that the finding's numbers give; `because`: a property whose failure would show here too."""
        if finding.error is None:
            return cls(name, "skip", finding)
        if finding.error <= finding.tolerance:
            return cls(name, "warn" if finding.warning else "pass", finding)
        return cls(name, "follows" if because else "fail", finding, because)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.finding, name)

    @property
    def says(self) -> str:
        """What to know besides the numbers: the likely cause, or the warning."""
        if self.status == "follows":
            return f"as is to be expected, since {self.because} failed"
        return {"fail": self.finding.cause, "warn": self.finding.warning}.get(self.status, "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"property": self.name, "status": self.status, **vars(self.finding), "because": self.because}


def versions() -> dict[str, str]:
    """Of everything that numbers may depend on."""
    return {name: version(name) for name in ("chainrule", "torch", "transformers", "tokenizers", "numpy")}


class Report:
    """Every property, in order. `passed` is whether none has failed; report["causality"] is one of them."""

    def __init__(self, model: str, properties: Iterable[Property], about: dict[str, Any], seconds: float) -> None:
        self.model, self.properties, self.about, self.seconds = model, list(properties), about, seconds

    @property
    def passed(self) -> bool:
        return not any(p.status in ("fail", "follows") for p in self.properties)

    @property
    def failed(self) -> list[str]:
        """The names of the properties that failed by themselves."""
        return [p.name for p in self.properties if p.status == "fail"]

    def __getitem__(self, name: str) -> Property:
        found = next((p for p in self.properties if p.name == name), None)
        if found is None:
            raise KeyError(f"there is no property {name!r}; there are: {', '.join(p.name for p in self.properties)}")
        return found

    def __iter__(self) -> Iterator[Property]:
        return iter(self.properties)

    def __len__(self) -> int:
        return len(self.properties)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        properties = [p.to_dict() for p in self.properties]
        return {"model": self.model, "passed": self.passed, "properties": properties, **self.about, "seconds": self.seconds}

    def to_json(self) -> str:
        return json_text(self.to_dict(), indent=2)

    def total(self) -> str:
        """One line: what held, what did not."""
        count = {status: sum(p.status == status for p in self.properties) for status in MARKS}
        said = [f"{count['pass'] + count['warn']} of {len(self) - count['skip']} properties hold"]
        said += [f"{count['fail']} failed: {', '.join(self.failed)}"] if count["fail"] else []
        said += [f"{count['follows']} follow from that"] if count["follows"] else []
        said += [f"{count['warn']} with a warning"] if count["warn"] else []
        said += [f"{count['skip']} do not apply"] if count["skip"] else []
        return f"{self.model}: {'; '.join(said)} ({self.seconds:.0f} s)"

    def __str__(self) -> str:
        rows = [(p.name, MARKS[p.status], _error(p), _bound(p), p.finding.checked, p.says) for p in self.properties]
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = []
        for name, mark, error, bound, checked, says in rows:
            lines.append(f"{name:<{wide[0]}}  {mark:<{wide[1]}}  {error:>{wide[2]}}  {bound:<{wide[3]}}  {checked}")
            lines += [f"{'':<{wide[0]}}  {'':<{wide[1]}}  {says}"] if says else []
        return "\n".join([*lines, self.total()])

    def __repr__(self) -> str:
        return f"Report({self.total()})"

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("property", "", "largest error", "tolerance", "what was checked"):
            whole = column in ("", "largest error")  # on a narrow terminal the others break their lines
            table.add_column(column, no_wrap=whole, overflow="fold", justify="right" if "error" in column else "left")
        for p in self.properties:
            style = {"fail": "bold red", "follows": "red", "warn": "yellow", "skip": "dim"}.get(p.status, "green")
            checked = Text(p.finding.checked, style="dim" if p.status == "skip" else "")
            table.add_row(p.name, Text(MARKS[p.status], style=style), _error(p), _bound(p), checked)
            if p.says:
                table.add_row("", "", "", "", Text(p.says, style=style))
        return Group(table, Text(self.total(), style="bold green" if self.passed else "bold red"))


def _error(p: Property) -> str:
    return "" if p.finding.error is None else f"{p.finding.error:.2g}" if p.finding.error else "0"


def _bound(p: Property) -> str:
    if p.finding.error is None:
        return ""
    return f"≤ {p.finding.tolerance:.2g} {p.finding.unit}" if p.finding.tolerance else f"= 0 {p.finding.unit}"
