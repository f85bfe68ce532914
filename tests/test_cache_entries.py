"""The entries of the cache folder, and their removal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule import OutputError
from chainrule.cache_entries import cache_entries, remove, shown_size


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    files = {
        "models/small/model.safetensors": b"12345",
        "models/small/config.json": b"12",
        "models/.pull-0123456789abcdef.chainrule-part/.lock": b"",
        "conversions/abc/model.safetensors": b"1234",
        "conversions/abc/made.json": json.dumps({"name": "a.gguf", "dtype": "bfloat16"}).encode(),
        "conversions/damaged/made.json": b"[",
        "kernels/x.so": b"123",
        "kernels/x.sha256": b"1",
        "fingerprints/y.json": b"1",
        "models/empty/.keep": b"",
        "other/z": b"1",
    }
    for name, content in files.items():
        (tmp_path / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).write_bytes(content)
    (tmp_path / "cache/models/empty/.keep").unlink()
    return tmp_path / "cache"


def test_each_entry_has_its_kind_name_size_and_last_use(cache: Path):
    os.utime(cache / "conversions/abc/made.json", (7, 7))
    about = len((cache / "conversions/abc/made.json").read_bytes())
    assert [(e.kind, e.name, e.bytes) for e in cache_entries()] == [
        ("models", "small", 7),
        ("conversions", "a.gguf (bfloat16)", 4 + about),
        ("conversions", "damaged", 1),
        ("kernels", "kernels", 4),
        ("fingerprints", "fingerprints", 1),
    ]
    assert cache_entries()[1].last_used == 7
    assert cache_entries()[0].last_used > 1e9


def test_an_entry_is_removed_and_no_other(cache: Path):
    before = cache_entries()
    remove(before[1])
    remove(before[1])
    assert [entry.path for entry in cache_entries()] == [entry.path for entry in before if entry is not before[1]]
    assert sorted(os.listdir(cache / "conversions")) == ["damaged"]


def test_an_entry_that_cannot_be_removed(cache: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    entry = cache_entries()[0]
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OutputError, match=r"cannot remove .*small from the cache: Permission denied"):
        remove(entry)
    monkeypatch.undo()


def test_an_absent_cache_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "nowhere"))
    assert cache_entries() == []


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (999_400, "999 kB"), (999_600, "1 MB"), (1_234_567_890, "1.23 GB"), (5e13, "50 TB")],
)
def test_sizes_are_shown_with_their_unit(count, shown):
    assert shown_size(count) == shown


def test_it_imports_nothing_heavy():
    code = "import sys, chainrule.cache_entries\nprint({'torch', 'numpy', 'transformers', 'safetensors'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
