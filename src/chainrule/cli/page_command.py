"""chainrule page: a text and its factors as one HTML file."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.options import ModelOptions, OneOrderOptions, OutputOptions, TextOptions
from chainrule.cli.output import OUT, note
from chainrule.cli.progress import progress
from chainrule.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chainrule.pages import Page


@dataclass(frozen=True)
class PageOutput(OutputOptions):
    """Where the page is written."""

    output: Annotated[
        str | None,
        Option("--output", "-o", metavar="PATH", help="Write this .html file. Default: standard output, to a file or a pipe."),
    ] = None

    def check(self) -> None:
        """Raises OutputError for a name that is not of HTML, and for a terminal."""
        if self.output is not None and not self.output.lower().endswith((".html", ".htm")):
            raise OutputError(f"a page is HTML, so it cannot be written to {self.output!r}: use a name ending in .html")
        if self.output is None and OUT.isatty():
            raise OutputError("a page is HTML, which a terminal cannot show: name a file, as in -o page.html")


@command("Score texts", omit=["json"])
def page(
    *,
    text: Annotated[str, Argument(metavar="TEXT", help="The text.")],
    compare: Annotated[
        str | None, Option(metavar="TEXT", help="Another text after the same context, to be shown beside the first.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        Option(min=1, max=1000, metavar="N", help="The most tokens by which the text is continued, up to 1000. Default: 8."),
    ] = None,
    order: OneOrderOptions,
    texts: TextOptions,
    outputs: PageOutput,
    model: ModelOptions,
) -> None:
    """Write a text and its factors as a page to look at. It is one HTML file, which needs no other and makes no request: the
    contexts, the product, each factor opened down to its logits, what-ifs and continuations."""
    outputs.check()
    options: dict[str, Any] = {"context": texts.context, "compare": compare}
    options |= order.arguments("page") | texts.arguments() | ({} if max_tokens is None else {"max_tokens": max_tokens})
    write_page(lambda **more: model.load().page(text, **options, **more), outputs.output)


def write_page(make: Callable[..., Page], output: str | None) -> None:
    """Make the page and write it. The file is checked before anything is computed. Raises InputError and OutputError."""
    from chainrule.files.writing import Target

    if output is None:
        OUT.check()
        OUT.write(_made(make).html)
        return
    target = Target(output)
    try:
        target.write(_made(make).html.encode())
    finally:
        target.discard()
    note(f"chainrule: the page is in {output}; open it in a browser")


def _made(make: Callable[..., Page]) -> Page:
    with progress("contexts") as update:
        return make(progress=update and partial(update, "computing"))
