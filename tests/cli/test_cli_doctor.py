"""chainrule doctor and --version: what they report, the remedies of problems, and the removal of caches. No torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import chainrule
from chainrule.cli import doctor
from chainrule.ops.library import build


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with something of each kind."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    for name in ("models/mine/model.safetensors", "conversions/abc/made.json", "kernels/k.so", "fingerprints/f.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x" * 1000)
    return tmp_path


@pytest.mark.parametrize("line", ["doctor", "doctor --json", "--version"])
def test_nothing_heavy_is_imported(line):
    code = f"""
import sys, chainrule.cli.main as main
sys.argv[1:] = {line.split()}
try:
    main.main()
except SystemExit as exit:
    print(exit.code, [m for m in ("torch", "transformers", "numpy", "pyarrow", "rich") if m in sys.modules], file=sys.stderr)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr[1:] == " []\n"


def test_versions(command):
    lines = command("--version")[1].splitlines()
    assert lines[0] == f"chainrule {chainrule.__version__}"
    assert {f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers")} <= set(lines)
    kernels = build.status()
    assert lines[-1] == f"kernels {'' if kernels else 'none: '}{kernels.reason}"


def test_the_report(command, cache, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, err = command("doctor")
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) <= 30
    flat = " ".join(out.split())
    assert f"torch {version('torch')}" in flat
    assert f"cache {cache}: 4 kB (models 1 kB, conversions 1 kB, kernels 1 kB, fingerprints 1 kB)" in flat
    assert "warning smollm2-135m has not been pulled yet: chainrule pull smollm2-135m" in flat
    facts = json.loads(command("doctor", "--json")[1])
    assert facts["versions"]["torch"] == version("torch")
    models = facts["cache"]["entries"][0]
    assert (models["kind"], models["name"], models["bytes"]) == ("models", "mine", 1000)
    assert facts["kernels"]["reason"] == build.status().reason
    assert facts["threads"]["number"] >= 1
    assert {problem["remedy"] for problem in facts["problems"]} >= {"chainrule pull smollm2-135m"}


def test_problems_have_remedies(command, cache, monkeypatch):
    monkeypatch.setattr(doctor, "status", lambda: build.Kernels(False, "there is no C compiler"))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "available_memory", lambda: (4 << 30, 1 << 30, True))
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    code, out, _ = command("doctor")
    flat = " ".join(out.split())
    assert code == 0
    assert "apt install gcc" in flat or "kernels are written for Linux" in flat
    assert "warning only 1.07 GB of memory are available: close other programs" in flat
    assert "OMP_NUM_THREADS=1000 is more than the" in flat


def test_what_is_broken_gives_exit_code_1(command, cache, monkeypatch):
    installed = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: None if name in ("torch", "gguf") else installed(name))
    code, out, _ = command("doctor")
    assert code == 1
    assert "problem     torch is not installed: pip install torch" in out
    assert "warning     gguf is not installed: pip install 'chainrule[gguf]'" in out
    monkeypatch.setattr(doctor, "installed", installed)
    blocked = cache / "file"
    blocked.write_text("")
    monkeypatch.setenv("CHAINRULE_CACHE", str(blocked / "below"))
    code, out, _ = command("doctor")
    assert code == 1
    assert "set CHAINRULE_CACHE to a folder to write to" in " ".join(out.split())


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ("kernels", ["kernels"]),
        ("conversions", ["conversions/abc"]),
        ("models", ["models/mine"]),
        ("all", ["conversions/abc", "fingerprints", "kernels", "models/mine"]),
    ],
)
def test_clear(command, cache, what, gone):
    def entries() -> set[str]:
        paths = [*cache.iterdir(), *cache.glob("models/*"), *cache.glob("conversions/*")]
        return {str(path.relative_to(cache)) for path in paths}

    before = entries()
    code, out, err = command("doctor", "--clear", what, "--yes")
    assert (code, err) == (0, "")
    assert before - entries() == set(gone)
    assert out.count("removed ") == out.count(": 1 kB in ") == len(gone)
    assert command("doctor", "--clear", what, "--yes", "--json")[1] == '{\n  "removed": [],\n  "bytes": 0\n}\n'


def test_models_are_not_removed_without_asking(command, cache, monkeypatch):
    code, out, err = command("doctor", "--clear", "all")
    assert (code, out) == (2, "")
    assert err == "chainrule: --clear removes models that are downloaded again (mine, 1 kB): add --yes\n"
    monkeypatch.setattr("chainrule.cli.doctor_command._confirmed", lambda models: False)
    assert command("doctor", "--clear", "models")[::2] == (2, "chainrule: nothing was removed\n")
    assert (cache / "models" / "mine").is_dir()
    assert command("doctor", "--yes")[::2] == (2, "chainrule: --yes is for --clear\n")


def test_a_file_that_cannot_be_removed(command, cache, monkeypatch):
    def fail(*paths: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("chainrule.cache_entries.os.rename", fail)
    code, _, err = command("doctor", "--clear", "kernels")
    assert (code, err) == (2, f"chainrule: cannot remove {cache / 'kernels'} from the cache: Permission denied\n")
