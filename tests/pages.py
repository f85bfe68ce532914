"""The code blocks of the documents: they are run in order, and their output is compared with the output shown.

A text block after a Python block shows its output. A console block contains commands ("$ chainrule …", optionally with
"< FILE"), each followed by its standard output if that is shown. In shown output, numbers may differ by rounding, and …
matches any text. A block that cannot run has a comment before it: <!-- not run: the reason -->. An output whose
numbers vary has <!-- numbers within 0.5: the reason -->.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "console")
_MARK = r"(?:<!-- not run: (?P<reason>.+?) -->\n|<!-- numbers within (?P<within>[\d.]+): .+? -->\n)?"
_FENCE = re.compile(r"^" + _MARK + r"```(?P<kind>\S*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_CLOSE = 1e-3  # relative difference of numbers between machines

Command = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, its first line, and the reason if it is not run."""

    kind: str
    code: str
    line: int
    reason: str | None
    within: float | None = None  # the absolute difference of numbers that is allowed; None: that of rounding


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["kind"], m["code"], text.count("\n", 0, m.start("code")) + 1, m["reason"], _number(m["within"]))
        for m in _FENCE.finditer(text)
    ]


def run(page: Path, command: Command) -> None:
    """Run all blocks of a page in one namespace. Raises AssertionError if an output differs from the output shown."""
    names: dict[str, Any] = {}
    page_blocks = blocks(page)
    for block, after in zip(page_blocks, [*page_blocks[1:], None], strict=True):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.reason is not None or block.kind not in RUN:
            continue
        if block.kind == "python":
            with redirect_stdout(io.StringIO()) as out:
                exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)
            if after is not None and after.kind == "text":
                assert_shown(after.code, out.getvalue(), where, after.within)
            continue
        for line, shown in commands(block.code):
            code, out, err = run_line(line, command)
            assert code == 0, f"{where}: {line}: {err}"
            if shown:
                assert_shown(shown, out, f"{where}: {line}")


def commands(code: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and the output that is shown."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield line, shown


def run_line(line: str, command: Command) -> tuple[int, str, str]:
    """Run the command after a prompt."""
    words, stdin = shlex.split(line), None
    if "<" in words:
        at = words.index("<")
        stdin, words = Path(words[at + 1]).read_bytes(), words[:at]
    assert words[0] == "chainrule", f"{line!r} is no command of chainrule: mark it as not run, with the reason"
    return command(*words[1:], stdin=stdin)


def pictures(page: Path) -> list[str]:
    """The names of the SVG pictures beside a page that it shows."""
    return re.findall(r"!\[[^]]*\]\((\w+\.svg)\)", page.read_text(encoding="utf-8"))


def texts_of(picture: Path) -> str:
    """The texts in an SVG picture, one per line, without that on the model, which names versions."""
    root = ElementTree.parse(picture).getroot()
    texts = ("".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text"))
    return "\n".join(text for text in texts if not text.startswith("model: "))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def assert_shown(shown: str, output: str, where: str, within: float | None = None) -> None:
    """Raises AssertionError if an output differs from the output shown."""
    spaced = re.sub(r"[ \t]+", " ", output.strip())
    wanted = re.sub(r"[ \t]+", " ", shown.strip())
    pattern = "".join(
        {"…": ".*?"}.get(part, "(" + _NUMBER.pattern + ")" if _NUMBER.fullmatch(part) else re.escape(part))
        for part in re.split(rf"({_NUMBER.pattern}|…)", wanted)
    )
    match = re.fullmatch(pattern, spaced, re.DOTALL)
    assert match, f"{where} shows\n{shown}\nbut the output is:\n{output}"
    for number, other in zip(_NUMBER.findall(wanted), match.groups(), strict=True):
        difference = abs(float(number) - float(other))
        assert difference <= (_CLOSE * max(1.0, abs(float(number))) if within is None else within), (
            f"{where} shows {number}, but the output has {other}:\n{output}"
        )
