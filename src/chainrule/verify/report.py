"""The result of each check, in words, in numbers and in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from chainrule.display.grid import Grid, column
from chainrule.display.spans import NOTE, TOTAL, cell
from chainrule.display.view import View, line, origin
from chainrule.files.row_text import json_text
from chainrule.models.identity import Identity
from chainrule.results.provenance import WithProvenance

MARKS = {"pass": "pass", "fail": "FAIL", "follows": "follows", "warn": "warn", "skip": "-"}
_STYLES = {"fail": "bold red", "follows": "red", "warn": "bold", "skip": NOTE}


@dataclass(frozen=True)
class Finding:
    """The result of one check. It failed if `error` exceeds `tolerance`; an error of None means that it does not apply."""

    checked: str  # the numbers that were compared, and how many
    error: float | None = None  # the largest
    tolerance: float = 0.0
    unit: str = "nats"
    cause: str = ""  # the likely cause of a failure
    warning: str = ""  # a note that is not a failure
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Property:
    """One property of the numbers and whether it holds on this model and machine.

    status: "pass"; "fail"; "follows" (it does not hold, which is expected after the failure of `because`, another property);
    "warn" (it holds, with a warning); "skip" (it does not apply, and `checked` says why).
    """

    name: str
    status: str
    finding: Finding
    because: str = ""

    @classmethod
    def judged(cls, name: str, finding: Finding, because: str = "") -> Property:
        """With the status that follows from the finding. `because`: a failed property that makes this one fail too."""
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
        """An explanation of the status: the likely cause, or the warning."""
        if self.status == "follows":
            return f"expected, since {self.because} failed"
        return {"fail": self.finding.cause, "warn": self.finding.warning}.get(self.status, "")

    def to_dict(self) -> dict[str, Any]:
        """A dict for JSON."""
        return {"property": self.name, "status": self.status, **vars(self.finding), "because": self.because}


def versions() -> dict[str, str]:
    """The versions of all packages that numbers may depend on."""
    return {name: version(name) for name in ("chainrule", "torch", "transformers", "tokenizers", "numpy")}


class Report(WithProvenance):
    """All properties, in order. `passed`: whether none has failed. report["causality"] is one property."""

    identity: Identity  # pyrefly: ignore[bad-override]

    def __init__(self, identity: Identity, properties: Iterable[Property], about: dict[str, Any], seconds: float) -> None:
        self.identity, self.properties, self.about, self.seconds = identity, list(properties), about, seconds

    @property
    def passed(self) -> bool:
        return not any(p.status in ("fail", "follows") for p in self.properties)

    @property
    def failed(self) -> list[str]:
        """The names of the properties that failed by themselves."""
        return [p.name for p in self.properties if p.status == "fail"]

    def __getitem__(self, name: str) -> Property:
        chosen = next((p for p in self.properties if p.name == name), None)
        if chosen is None:
            raise KeyError(f"there is no property {name!r}; there are: {', '.join(p.name for p in self.properties)}")
        return chosen

    def __iter__(self) -> Iterator[Property]:
        return iter(self.properties)

    def __len__(self) -> int:
        return len(self.properties)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as a dict for JSON."""
        properties = [{"index": i} | p.to_dict() for i, p in enumerate(self.properties)]
        own = {"passed": self.passed, "properties": properties, **self.about, "seconds": self.seconds}
        return self.provenance() | own

    def to_json(self) -> str:
        return json_text(self.to_dict(), indent=2)

    def total(self) -> str:
        """One line: how many properties hold, and which do not."""
        count = {status: sum(p.status == status for p in self.properties) for status in MARKS}
        parts = [f"{count['pass'] + count['warn']} of {len(self) - count['skip']} properties hold"]
        parts += [f"{count['fail']} failed: {', '.join(self.failed)}"] if count["fail"] else []
        parts += [f"{count['follows']} follow from that"] if count["follows"] else []
        parts += [f"{count['warn']} with a warning"] if count["warn"] else []
        parts += [f"{count['skip']} do not apply"] if count["skip"] else []
        return f"{self.model}: {'; '.join(parts)} ({self.seconds:.0f} s)"

    def __str__(self) -> str:
        return str(_view(self))

    def __repr__(self) -> str:
        return f"Report({self.total()})"

    def __rich__(self) -> View:
        return _view(self)


def _view(report: Report) -> View:
    """One line per property, the explanations of those that failed or have a warning, and the total."""
    properties = report.properties
    styles = [_STYLES.get(p.status, "") for p in properties]
    columns = {
        "property": column("label", "property", [cell(p.name) for p in properties]),
        "status": column(
            "label", "status", [cell(MARKS[p.status], style) for p, style in zip(properties, styles, strict=True)]
        ),
        "error": column("number", "largest\nerror", [cell(_error(p)) for p in properties], "the largest error"),
        "bound": column("label", "tolerance", [cell(_bound(p)) for p in properties], "the tolerance"),
        "checked": column(
            "words",
            "what was checked",
            [cell(p.finding.checked, NOTE if p.status == "skip" else "") for p in properties],
            "what was checked",
        ),
    }
    says = [line(f"{p.name}: {p.says}", style) for p, style in zip(properties, styles, strict=True) if p.says]
    table = Grid(columns, ["property", "status", "error", "checked", "bound"], 2)
    return View(table, *says, origin(report), line(report.total(), TOTAL))


def _error(p: Property) -> str:
    return "" if p.finding.error is None else f"{p.finding.error:.2g}" if p.finding.error else "0"


def _bound(p: Property) -> str:
    if p.finding.error is None:
        return ""
    return f"≤ {p.finding.tolerance:.2g} {p.finding.unit}" if p.finding.tolerance else f"= 0 {p.finding.unit}"
