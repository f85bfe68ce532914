"""How the command line is started, and how shells complete it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import chainrule

Command = Callable[..., tuple[int, str, str]]


def run(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "chainrule", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=True, env=os.environ | environment
    ).stdout


def test_as_a_module():
    assert run("--version").splitlines()[0] == f"chainrule {chainrule.__version__}"
    assert "Usage: chainrule COMMAND" in run("--help", COLUMNS="100", NO_COLOR="1")


def test_a_command_alone_has_its_page_and_a_wrong_one_all_names_to_choose_from(command: Command):
    for name in ("score", "lm-eval"):
        assert run(name, "--help", COLUMNS="80", NO_COLOR="1").split() == command(name, "--help")[1].split()
    wrong = subprocess.run([sys.executable, "-m", "chainrule", "scor"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr) == (2, "chainrule: there is no command 'scor'; did you mean score?\n")


def test_the_commands_are_completed_after_a_command():
    line = run("score", _CHAINRULE_COMPLETE="complete_bash", COMP_WORDS="chainrule gen", COMP_CWORD="1")
    assert line.split() == ["generate"]


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o default -F _chainrule_completion chainrule"),
        ("zsh", "compdef _chainrule_completion chainrule"),
        ("fish", "complete --command chainrule"),
    ],
)
def test_the_script_of_a_shell(command: Command, shell: str, line: str):
    code, out, err = command("completion", shell)
    assert (code, err) == (0, "")
    assert line in out
    assert f"_CHAINRULE_COMPLETE=complete_{shell}" in out


def test_an_unknown_shell(command: Command):
    code, out, err = command("completion", "cmd")
    assert (code, out) == (2, "")
    assert "'cmd'" in err


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("chainrule ge", {"generate"}),
        ("chainrule score --mo", {"--model"}),
        ("chainrule score --dtype bf", {"bfloat16"}),
        ("chainrule next a --model smoll", {"smollm2-135m"}),
        ("chainrule verify own", {"own-model/", "own.gguf"}),
        ("chainrule score --file own", set()),  # the shell completes file names
    ],
)
def test_completions_of_bash(words: str, completions: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own-model").mkdir()
    for name in ("own.gguf", "own.txt"):
        (tmp_path / name).touch()
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_CHAINRULE_COMPLETE": "complete_bash"}
    assert set(run(**variables).split()) == completions


def test_completions_of_zsh_and_fish():
    variables = {"_TYPER_COMPLETE_ARGS": "chainrule ge"}
    zsh = run(**variables, _CHAINRULE_COMPLETE="complete_zsh")
    assert '"generate":"Generate a text after a context, with its log probability."' in zsh
    fish = run(**variables, _CHAINRULE_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert fish.startswith("generate")


def test_completion_is_installed(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".bash_completions" / "chainrule.sh"
    code, out, err = command("completion", "bash", "--install")
    assert (code, err) == (0, "")
    assert out == f"completion for bash is installed in {file}; open a new terminal to use it\n"
    assert str(file) in (tmp_path / ".bashrc").read_text()
    assert f"{file.read_text()}\n" == command("completion", "bash")[1]


def test_zsh_completes_at_the_first_tab(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Zsh runs the installed file as the function _chainrule at the first Tab. It must complete then, not only register."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command("completion", "zsh", "--install")[0] == 0
    script = (tmp_path / ".zfunc" / "_chainrule").read_text()
    assert script == command("completion", "zsh")[1]
    assert script.splitlines()[0] == "#compdef chainrule"
    registers = "  compdef _chainrule_completion chainrule"
    assert script.splitlines()[-5:] == [
        "if [[ $funcstack[1] == _chainrule ]]; then", "  _chainrule_completion", "else", registers, "fi"
    ]  # fmt: skip


def test_completion_that_cannot_be_installed(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".bashrc").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, err = command("completion", "bash", "--install")
    assert (code, out) == (2, "")
    assert err.startswith("chainrule: cannot install completion for bash: ")
    assert err.count("\n") == 1
    assert "chainrule completion bash" in err
