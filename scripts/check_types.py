"""Check what type checkers say of users' scripts: nothing of a right one, and something of every mistake.

python scripts/check_types.py            # make types

mypy --strict, pyright in strict mode and pyrefly read the scripts in tests/typed/. The first run installs mypy and pyright
into an environment of their own, .types/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS, SOURCE = ROOT / "tests" / "typed", ROOT / "src"
PACKAGES = ("mypy==2.4.1", "pyright[nodejs]==1.1.414")
MARK = "# wrong"
Places = set[tuple[str, int]]  # of errors: the name of the file, and the line from 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tools", type=Path, default=ROOT / ".types", help="the environment of mypy and pyright")
    tools = parser.parse_args().tools
    bin = tools / ("Scripts" if sys.platform == "win32" else "bin")
    if not (bin / "pyright").exists():
        venv.create(tools, with_pip=True)
        subprocess.run([bin / "python", "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    lines = lines_of_scripts()
    wrong = mistakes(lines)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
        for checker in (pyrefly, pyright, mypy):
            found = checker(bin, Path(folder))
            different = [("not reported", wrong - found), ("reported", found - wrong)]
            print(f"{checker.__name__}: {len(wrong & found)} of {len(wrong)} mistakes, {len(found - wrong)} other lines")
            for what, places in different:
                failures += len(places)
                for file, number in sorted(places):
                    print(f"  {what}: {file}:{number}: {lines[file, number].strip()}")
    return bool(failures)


def lines_of_scripts() -> dict[tuple[str, int], str]:
    files = [(file.name, file.read_text(encoding="utf-8").splitlines()) for file in SCRIPTS.glob("*.py")]
    return {(name, number): line for name, lines in files for number, line in enumerate(lines, 1)}


def mistakes(lines: dict[tuple[str, int], str]) -> Places:
    return {place for place, line in lines.items() if line.endswith(MARK)}


def pyrefly(bin: Path, folder: Path) -> Places:
    settings = (
        'project-includes = ["*.py"]\nreplace-untyped-imports-with-any = ["chainrule", "chainrule.*"]\n'  # needs py.typed
    )
    (folder / "pyrefly.toml").write_text(settings, encoding="utf-8")
    where = ["--python-interpreter-path", sys.executable, "--site-package-path", SOURCE]
    found = run([sys.executable, "-m", "pyrefly", "check", "--output-format", "json", *where], folder)
    return {(Path(error["path"]).name, error["line"]) for error in json.loads(found)["errors"]}


def mypy(bin: Path, folder: Path) -> Places:
    cache = bin.parent / "mypy-cache"
    command = [bin / "mypy", "--strict", "--python-executable", sys.executable, "--cache-dir", cache, "--output", "json", "."]
    found = [json.loads(line) for line in run(command, folder).splitlines() if line.startswith("{")]
    return {(each["file"], each["line"]) for each in found if each["severity"] == "error" and (folder / each["file"]).exists()}


def pyright(bin: Path, folder: Path) -> Places:
    settings = {"include": ["."], "extraPaths": [str(SOURCE)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    found = json.loads(run([bin / "pyright", "--pythonpath", sys.executable, "--outputjson"], folder))["generalDiagnostics"]
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found if each["severity"] == "error"}


def run(command: list[Any], folder: Path) -> str:
    """The output of a checker, which exits with 1 if it finds errors."""
    environment = os.environ | {"MYPYPATH": str(SOURCE)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
