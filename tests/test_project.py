"""Versions and names that are repeated in several files of the project are the same in all of them."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
CI, RELEASE = ROOT / ".github/workflows/ci.yml", ROOT / ".github/workflows/release.yml"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pin(project: dict[str, Any], name: str) -> str:
    """The version of a development dependency."""
    [requirement] = [line for line in project["optional-dependencies"]["dev"] if re.match(rf"{name}[=[]", line)]
    return re.search(r"==([^; ]+)", requirement)[1]


def test_one_version_of_ruff(project: dict[str, Any]):
    [ruff] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert ruff["rev"] == f"v{pin(project, 'ruff')}"


def test_one_version_of_torch_and_build(project: dict[str, Any]):
    torch = re.search(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert read(CI)["env"]["TORCH"] == torch
    for path in (CI, RELEASE):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"torch==[\d.]+", text)) == {torch}
        assert set(re.findall(r"build==([\d.]+)", text)) == {pin(project, "build")}


def test_every_supported_python_version_is_tested(project: dict[str, Any]):
    named = [line.rpartition(" :: ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert read(CI)["jobs"]["tests"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


def test_only_the_publishing_job_has_an_identity_token():
    release = read(RELEASE)
    assert release["permissions"] == {"contents": "read"}
    assert [name for name, job in release["jobs"].items() if "permissions" in job] == ["publish"]
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert release[True]["push"]["tags"] == ["v*"]  # YAML 1.1 reads `on` as true


def test_issue_forms_require_the_necessary_fields():
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: read(path) for path in folder.glob("*.yml") if path.stem != "config"}
    assert set(forms) == {"bug", "feature", "wrong_number"}
    fields = {field["id"]: field for field in forms["wrong_number"]["body"] if "id" in field}
    assert "chainrule verify --model MODEL --json" in fields["verify"]["attributes"]["description"]
    assert all(fields[name]["validations"]["required"] for name in ("verify", "model", "versions"))


@pytest.mark.parametrize(
    "file", sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("scripts/*.py")]), ids=lambda path: path.stem
)
def test_names_that_scripts_import_exist(file: Path):
    """Scripts are run by hand, so a name that was moved would otherwise be noticed late."""
    imports = [n for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)]
    own = [(n.module, name.name) for n in imports if (n.module or "").startswith("chainrule") for name in n.names]
    assert [f"{module}.{name}" for module, name in own if not exists(module, name)] == []


def exists(module: str, name: str) -> bool:
    if hasattr(import_module(module), name):
        return True
    try:
        return bool(import_module(f"{module}.{name}"))
    except ModuleNotFoundError:
        return False


def test_modules_and_the_engine_stay_small():
    """Longer modules are split; engine/ has at most 12 entries."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in ROOT.glob("src/**/*.py")}
    assert {path.name: count for path, count in lines.items() if count > 300} == {}
    engine = [path for path in ROOT.glob("src/chainrule/engine/*") if path.name != "__pycache__"]
    assert len(engine) <= 12, sorted(path.name for path in engine)
