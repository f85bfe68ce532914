"""Build sdist and wheel, check their contents, install each into an empty environment, and run basic commands.

python scripts/check_package.py                         # into dist/
python scripts/check_package.py --torch torch==2.13.0 --torch-index https://download.pytorch.org/whl/cpu

Packages come from pip's index. torch is installed first and separately, as in docs/install.md.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = {".py", ".c", ".h", ".typed", ".js", ".css", ".html"}
SDIST = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "tests/conftest.py",
    "benchmarks/data/book.txt",
    "lessons/1_factorisation.py",
    "tests/pages/data/short.json",
    "docs/architectures.md",
    ".github/workflows/ci.yml",
    ".pre-commit-config.yaml",
)
USE = """\
import math
from importlib import resources

import chainrule

files = resources.files("chainrule")
assert files.joinpath("py.typed").is_file()
assert all(files.joinpath("ops", "native", name).is_file() for name in ("attention.c", "vectors.h"))
table = chainrule.TableModel(["A", "B"], {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}, probabilities=True, back_off=True)
lm = chainrule.LanguageModel(table)
assert math.isclose(lm.score("AB").logprob, math.log(0.6 * 0.3))
scores = lm.score_batch(["A", "AB"])
assert scores.to_arrow().num_rows == 2
assert all(part in lm.page("AB").html for part in ('data-panel="table"', "--paper:", 'id="modules"'))
for name in ("pandas", "polars"):
    try:
        getattr(scores, f"to_{name}")()
    except chainrule.OutputError as error:
        assert f"chainrule[{name}]" in str(error)
    else:
        raise AssertionError(f"{name} was installed without its extra")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="the folder of sdist and wheel")
    parser.add_argument("--torch", default="torch==2.13.0", help="the requirement to install first")
    parser.add_argument("--torch-index", help="the package index for torch")
    arguments = parser.parse_args()
    sdist, wheel = build(arguments.dist)
    check_contents(sdist, wheel)
    with tempfile.TemporaryDirectory(prefix="chainrule-package-") as scratch:
        python = empty(Path(scratch))
        install(python, arguments.torch, *(["--index-url", arguments.torch_index] if arguments.torch_index else []))
        for archive, options in ((wheel, []), (sdist, ["--no-deps", "--force-reinstall"])):
            install(python, str(archive), *options)
            use(python, Path(scratch))
            print(f"{archive.name}: built, complete, installed, runs", flush=True)


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    for old in [*folder.glob("chainrule-*.tar.gz"), *folder.glob("chainrule-*.whl")]:
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    [sdist], [wheel] = folder.glob("chainrule-*.tar.gz"), folder.glob("chainrule-*.whl")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """Check that both have all files of the package, the wheel no others, and the sdist those of its tests."""
    package = ROOT / "src" / "chainrule"
    wanted = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.suffix in SHIPPED}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        description = archive.read(metadata).decode("utf-8")
    compare(wheel, wanted, held)
    if relative := [link for link in re.findall(r"\]\(([^)\s]+)\)", description) if "://" not in link]:
        raise SystemExit(f"{wheel.name} has links in its description that PyPI cannot follow: {relative}")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    compare(sdist, {f"src/{name}" for name in wanted}, {name for name in inside if name.startswith("src/")})
    compare(sdist, set(SDIST), inside & set(SDIST))


def compare(archive: Path, wanted: set[str], held: set[str]) -> None:
    if wanted != held:
        raise SystemExit(f"{archive.name} lacks {sorted(wanted - held)} and has extra {sorted(held - wanted)}")


def empty(scratch: Path) -> Path:
    """The Python interpreter of a new environment."""
    run(sys.executable, "-m", "venv", str(scratch / "venv"))
    return scratch / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(python: Path, *requirements: str) -> None:
    run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)


def use(python: Path, folder: Path) -> None:
    """Check the version, the help and a score in Python, from a folder without the source."""
    version = output(folder, str(python.with_name("chainrule")), "--version")
    source = output(folder, str(python), "-c", "import chainrule; print(chainrule.__version__)")
    if version.splitlines()[0] != f"chainrule {source}":
        raise SystemExit(f"chainrule --version prints {version}, but the version of the package is {source}")
    if "Usage: chainrule" not in output(folder, str(python), "-m", "chainrule", "--help"):
        raise SystemExit("python -m chainrule --help prints no usage")
    output(folder, str(python), "-c", USE)


def run(*command: str) -> None:
    subprocess.run(command, check=True, env=own())


def output(folder: Path, *command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=own(), cwd=folder)
    return done.stdout.decode("utf-8").strip()


def own() -> dict[str, str]:
    """The environment without PYTHONPATH, which could import another chainrule."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONUTF8": "1"}


if __name__ == "__main__":
    main()
