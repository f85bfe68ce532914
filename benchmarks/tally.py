"""The outcomes of a trial by kind: the number of tries and of failures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any


def report_outcomes(kinds: Mapping[str, Mapping[str, Any]], failures: list[Any], output: Path | None, **more: Any) -> bool:
    """Print a table, and write all outcomes as JSON if `output` is a path. Returns whether anything failed.

    kinds: for each kind its "tries" and "failures", and further counts.
    """
    names = [name for name, value in next(iter(kinds.values())).items() if isinstance(value, int)]
    print(f"| kind | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for kind, row in kinds.items():
        print(f"| {kind} | {' | '.join(str(row[name]) for name in names)} |")
    if output is not None:
        result = {"date": date.today().isoformat(), "kinds": kinds, "failures": failures, **more}
        output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return bool(failures)
