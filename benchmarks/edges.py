"""Arguments, files, checkpoints and codes, damaged and crafted, and killed runs: the number of failures must be 0.

    .venv/bin/python benchmarks/edges.py --output benchmarks/results/edges-2026-11-27.json      # allow 45 minutes
    .venv/bin/python benchmarks/edges.py arguments codes --output …         # only these parts; the file keeps the others

Parts: arguments (arguments.py), files (damaged_files.py), checkpoints (damaged_checkpoints.py), codes (damaged_codes.py), and
`kill -9` (kills.py, whose `pull` downloads 93 MB). Each script defines its failures. Exit code 1: there are failures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {"arguments": "arguments", "files": "damaged_files", "checkpoints": "damaged_checkpoints", "codes": "damaged_codes"}
PARTS |= {"kills": "kills"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON; its other parts are kept")
    arguments = parser.parse_args()
    if unknown := [part for part in arguments.part if part not in PARTS]:
        parser.error(f"{unknown[0]} is not a part: choose from {', '.join(PARTS)}")
    results = json.loads(arguments.output.read_text()) if arguments.output and arguments.output.exists() else {}
    for part in arguments.part or PARTS:
        results[part] = run(PARTS[part])
        if arguments.output:
            arguments.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("| part | kinds | tries | failures |\n|---|---:|---:|---:|")
    for part, result in results.items():
        counts = result["kinds"].values()
        print(f"| {part} | {len(counts)} | {sum(c['tries'] for c in counts)} | {sum(c['failures'] for c in counts)} |")
    raise SystemExit(any(result["failures"] for result in results.values()))


def run(script: str) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "result.json"
        subprocess.run([sys.executable, HERE / f"{script}.py", "--output", output], check=False)
        return json.loads(output.read_text())


if __name__ == "__main__":
    main()
