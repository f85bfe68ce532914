"""The command that prints or installs the completion script of a shell."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.completion import Shells, completion_init, get_completion_script, install

from chainrule.cli.app import command
from chainrule.errors import OutputError

_NAMES = {"prog_name": "chainrule", "complete_var": "_CHAINRULE_COMPLETE"}

completion_init()  # registers the shells that can complete


@command("Models and checks")
def completion(
    shell: Annotated[Shells, typer.Argument(metavar="SHELL", help="bash, zsh, fish, powershell or pwsh.")],
    install_it: Annotated[bool, typer.Option("--install", help="Install the script for this user.")] = False,
) -> None:
    """Print or install the completion script of a shell."""
    name = shell.value
    if not install_it:
        typer.echo(_script(name))
        return
    try:
        _, file = install(name, **_NAMES)
        if name == "zsh":
            file.write_text(_script(name) + "\n", "utf-8")
    except (OSError, RuntimeError) as error:  # no home folder, or it is not writable
        raise OutputError(
            f"cannot install completion for {name}: {error}; print the script with chainrule completion {name} and save it "
            f"where {name} reads it"
        ) from error
    typer.echo(f"completion for {name} is installed in {file}; open a new terminal to use it")


def _script(shell: str) -> str:
    """The script. Zsh loads it when it is first needed, and Typer's would only register then: the first Tab did nothing."""
    script = get_completion_script(shell=shell, **_NAMES)
    if shell == "zsh":
        script = script.replace(
            "\ncompdef _chainrule_completion chainrule",
            """
if [[ $funcstack[1] == _chainrule ]]; then
  _chainrule_completion
else
  compdef _chainrule_completion chainrule
fi""",
        )
    return script
