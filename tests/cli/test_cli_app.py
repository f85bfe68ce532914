"""The application: help, imports, bad arguments, and groups of options."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from chainrule.cli.log import show_log
from chainrule.cli.option_groups import expand_groups
from chainrule.program import app

COMMANDS = [
    "score", "corpus", "rank", "next", "explain", "page", "lessons", "pseudo", "words", "pairs", "choose", "suite", "serve",
    "lm-eval", "generate", "infill", "verify", "compare", "pull", "models", "doctor", "completion",
]  # fmt: skip
HEAVY = ("torch", "transformers", "numpy", "pyarrow", "rich")


def test_help_imports_nothing_heavy():
    code = f"""
import sys, typer
from chainrule.program import app
command = typer.main.get_command(app)
for line in sys.stdin:
    command.main(line.split(), standalone_mode=False)
print(sorted({{"pydantic", *{HEAVY}}} & set(sys.modules)), file=sys.stderr)
"""
    pages = "\n".join(["--help", *(f"{name} -h" for name in COMMANDS)])
    result = subprocess.run([sys.executable, "-c", code], input=pages, capture_output=True, text=True, check=True)
    assert result.stderr == "[]\n"
    assert result.stdout.count("Usage: ") == 1 + len(COMMANDS)
    assert result.stdout.count("Examples:") == len(COMMANDS)


@pytest.mark.parametrize("line", ["score --nope", "rank", "score a --threads x", "score a --end --dtype a --dtype b", "none"])
def test_bad_arguments_import_nothing_heavy(line):
    code = f"""
import sys, chainrule.cli.main as main
sys.argv[1:] = {line.split()}
try:
    main.main()
except SystemExit as exit:
    print(exit.code, [name for name in {HEAVY} if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "2 []\n"


@pytest.mark.parametrize(
    "line",
    [
        *(f"{command} x --model smollm2-135n" for command in ("score", "next", "explain", "pseudo", "generate", "infill")),
        "rank x y --model owner/name",
        "verify smollm2-135n",
        "verify --code /nowhere",
        "verify --decode /nowhere",
        "verify --file /nowhere",
        "score x --dtype float31",
        "score x --output /nowhere/a.csv",
        "score --file /nowhere",
        "generate --method none",
    ],
)
def test_a_mistyped_model_or_file_imports_no_torch(line):
    code = f"""
import sys, chainrule.cli.main as main
sys.argv[1:] = {line.split()}
try:
    main.main()
except SystemExit as exit:
    print(exit.code, [name for name in ("torch", "transformers", "pyarrow") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "2 []\n"


def test_the_models_are_listed_without_heavy_imports():
    code = f"""
import sys, chainrule.cli.main as main
sys.argv[1:] = ["models", "--json"]
try:
    main.main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr == "[]\n"


def test_every_option_has_a_help_text():
    commands = typer.main.get_command(app).commands
    assert sorted(commands) == sorted(COMMANDS)
    assert [(name, p.name) for name, command in commands.items() for p in command.params if not p.help] == []


@pytest.mark.parametrize(("terminal", "want"), [(True, "chainrule: converting x, once\n"), (False, "")])
def test_messages_of_the_log_are_shown_on_a_terminal(monkeypatch, capsys, terminal, want):
    show_log()
    show_log()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    logging.getLogger("chainrule").info("converting %s, once", "x")
    assert capsys.readouterr() == ("", want)


@dataclass(frozen=True)
class Size:
    """Two options in a group."""

    panel: ClassVar = "Size"
    width: Annotated[int, typer.Option(help="Its width.")] = 3
    height: Annotated[int, typer.Option(help="Its height.")] = 2


def paint(*, name: Annotated[str, typer.Argument(help="The subject.")], size: Size) -> None:
    typer.echo(f"{name} {size.width} {size.height}")


def test_a_group_becomes_options():
    app = typer.Typer()
    app.command()(expand_groups(paint))
    runner = CliRunner()
    assert runner.invoke(app, ["a", "--height", "5"]).stdout == "a 3 5\n"
    assert runner.invoke(app, ["a"]).stdout == "a 3 2\n"
    assert "─ Size ─" in runner.invoke(app, ["--help"]).stdout
    smaller = typer.Typer()
    smaller.command()(expand_groups(paint, omit=["height"]))
    assert runner.invoke(smaller, ["a", "--height", "5"]).exit_code == 2
    assert runner.invoke(smaller, ["a", "--width", "7"]).stdout == "a 7 2\n"
    with pytest.raises(ValueError, match="no group of paint has depth"):
        expand_groups(paint, omit=["depth"])
