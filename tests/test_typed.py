"""The types that users see: the errors of pyrefly in their scripts. `make types` adds those of mypy and pyright."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from pages import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import check_types


def test_mistakes_are_reported_and_nothing_else(tmp_path: Path):
    shutil.copytree(check_types.SCRIPTS, tmp_path, dirs_exist_ok=True)
    lines = check_types.lines_of_scripts()
    wrong = check_types.mistakes(lines)
    assert len(wrong) > 20
    assert len([place for place in lines if place[0] == "user_script.py"]) > 60
    assert check_types.pyrefly(tmp_path, tmp_path) == wrong
