"""Write the newest results into README.md, between ``<!-- benchmark:begin -->`` and ``<!-- benchmark:end -->``.

python benchmarks/readme_table.py            # write
python benchmarks/readme_table.py --check    # exit 1 when README.md says something else than the results
"""

import argparse
import json
from pathlib import Path

from report import render_table

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    before = README.read_text(encoding="utf-8")
    after = replace(before, render_table(newest()))
    if not check:
        README.write_text(after, encoding="utf-8")
    elif after != before:
        raise SystemExit("README.md differs from the newest results: run `python benchmarks/readme_table.py`")


def newest() -> dict:
    results = sorted((HERE / "results").glob("????-??-??.json"))
    if not results:
        raise SystemExit("no results yet: run `python benchmarks/run.py`")
    return json.loads(results[-1].read_text(encoding="utf-8"))


def replace(text: str, table: str) -> str:
    """``text`` with ``table`` between the two marks, which must be there once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"README.md needs one line {BEGIN} and after it one line {END}")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    main()
