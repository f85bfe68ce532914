"""chainrule page: the file that it writes, and the mistakes that it names before anything is computed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import chainrule
from chainrule import LanguageModel

TEXT = "A text."


@pytest.fixture
def run(command: Callable[..., tuple[int, str, str]], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: command("page", *arguments, "--model", str(tiny_folder))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""
    monkeypatch.setattr("chainrule.loading.load", lambda *_, **__: pytest.fail("the model was loaded"))


def test_the_page_is_that_of_the_library(run, tiny: LanguageModel):
    options = ("--context", "Before.", "--compare", "A test.", "--max-tokens", "3", "--start", "given", "--end")
    assert run(TEXT, *options, "-o", "page.html") == (0, "", "chainrule: the page is in page.html; open it in a browser\n")
    page = tiny.page(TEXT, context="Before.", compare="A test.", max_tokens=3, start="given", end=True)
    assert Path("page.html").read_text(encoding="utf-8") == page.html
    assert os.listdir() == ["page.html"]


def test_standard_output_is_the_page_if_it_is_no_terminal(run, tiny: LanguageModel):
    assert run(TEXT, "--special", "text") == (0, tiny.page(TEXT).html, "")


def test_a_terminal_gets_no_html(run, unread, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chainrule.cli.output.StandardOutput.isatty", lambda _: True)
    code, out, err = run(TEXT)
    assert (code, out) == (2, "")
    assert err == "chainrule: a page is HTML, which a terminal cannot show: name a file, as in -o page.html\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TEXT, "-o", "a.svg"), "a page is HTML, so it cannot be written to 'a.svg': use a name ending in .html"),
        ((TEXT, "-o", "a"), "a page is HTML, so it cannot be written to 'a': use a name ending in .html"),
        ((TEXT, "-o", "missing/a.html"), "cannot write missing/a.html: No such file or directory"),
        (
            (TEXT, "-o", "a.html", "--order", "random:2"),
            "page takes one order, but --order random:2 names several; score takes",
        ),
        ((TEXT, "-o", "a.html", "--seed", "1"), "--seed is for random orders"),
        ((TEXT, "-o", "a.html", "--max-tokens", "0"), "--max-tokens"),
        ((TEXT, "-o", "a.html", "--max-tokens", "1001"), "--max-tokens takes a whole number from 1 to 1000, not '1001'"),
        ((TEXT, "-o", "a.html", "--max-tokens", "1000000000"), "from 1 to 1000, not"),
        (("-o", "a.html"), "TEXT"),
    ],
)
def test_mistakes_are_named_before_the_model_is_loaded(run, unread, arguments: tuple[str, ...], message: str):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert os.listdir() == []


def test_a_failed_run_leaves_the_file_as_it_was(run, monkeypatch: pytest.MonkeyPatch):
    Path("a.html").write_text("before")
    assert run("", "-o", "a.html")[0] == 2

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(chainrule.LanguageModel, "page", interrupted)
    assert run(TEXT, "-o", "a.html")[0] == 130
    assert Path("a.html").read_text() == "before"
    assert os.listdir() == ["a.html"]


def test_a_bar_shows_how_far_it_is(run, monkeypatch: pytest.MonkeyPatch):
    shown: list[tuple[str, int, int]] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("chainrule.cli.progress.Bar.__call__", lambda _, *now: shown.append(now))
    monkeypatch.setattr("chainrule.cli.progress.sys", type("", (), {"stderr": Terminal()}))
    assert run(TEXT, "-o", "a.html")[0] == 0
    assert shown[-1][0] == "computing"
    assert shown[-1][1] == shown[-1][2] > 0


class Terminal:
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True
