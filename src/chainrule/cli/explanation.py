"""chainrule explain: an explanation on standard output, or as a document in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chainrule.cli.output import print_result
from chainrule.files.writing import Target
from chainrule.results.document import form_of

if TYPE_CHECKING:
    from chainrule.results.explanation import Explanation


def write_explanation(explain: Callable[[], Explanation], output: str | None, json: bool) -> None:
    """Write the explanation. The name of the file is checked before anything is computed. Raises OutputError."""
    if output is None:
        print_result(explain(), json)
        return
    form = form_of(output)
    target = Target(output)
    try:
        target.write(explain().as_form(form).encode())
    finally:
        target.discard()
