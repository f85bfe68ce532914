"""Messages of the library with its arguments spelled as options: "top_k=3 is for method='sample'" as "--top-k 3 …"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chainrule.cli.parameters import Parameter

_QUOTED = r"'(?:[^'\\]|\\.)*'"
_LIST = rf"{_QUOTED}(?:(?:,\ |\ or\ ){_QUOTED})*"  # 'beam' or 'best'
_MESSAGE = re.compile(
    rf"""(?<![\w=.'"]){_QUOTED}                                   # a value that is shown; nothing in it is replaced
       | (?<![\w=.'"])"(?:[^"\\]|\\.)*"
       | (?<![\w.'"(-])\(?(?P<name>[a-z]\w*)=(?P<value>{_LIST}|\.\.\.|[\w+-]+(?:\.[\w+-]+)*|)
       | \A(?P<first>[a-z]\w*)(?=\ must\ be\ )""",
    re.VERBOSE,
)


def as_options(message: str, parameters: Sequence[Parameter]) -> str:
    """The message with the names of these parameters, and their values, as on the command line."""
    named = {parameter.name: parameter for parameter in parameters}
    flags = {p.name.removeprefix("no_"): p.title for p in parameters if p.name.startswith("no_")}

    def spelled(match: re.Match[str]) -> str:
        name, value = match["name"] or match["first"], match["value"] or ""
        bracket = "(" if match[0].startswith("(") else ""
        if value == "False" and name in flags:
            return bracket + flags[name]
        if name not in named:
            return match[0]
        if not named[name].metavar or value == "...":
            value = ""
        value = re.sub(_QUOTED, lambda quoted: quoted[0][1:-1], value)
        return bracket + " ".join(filter(None, [named[name].title, value]))

    return _MESSAGE.sub(spelled, message)
