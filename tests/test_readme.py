"""README's promises: the lines that assert do so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.real
def test_the_lines_that_assert(real, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert code.count("assert ") == 5
    monkeypatch.setattr("chainrule.load", lambda name: real, raising=False)
    exec(compile(code, "README.md", "exec"), {})


def test_every_command_is_shown():
    from chainrule.cli.main import app

    text = README.read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert {"score", "rank", "next", "generate", "explain", "pseudo", "verify", "pull", "models"} == set(names)
    assert [name for name in names if f"chainrule {name}" not in text and name != "models"] == []
