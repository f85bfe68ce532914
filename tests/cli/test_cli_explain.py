"""chainrule explain: the table, alternatives, and documents in files."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

import chainrule


@pytest.fixture
def run(command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: command("explain", *arguments, "--model", str(tiny_folder))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""
    monkeypatch.setattr("chainrule.loading.load", lambda *_, **__: pytest.fail("the model was loaded"))


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.tex", "a.json"])
def test_the_suffix_sets_the_form_of_the_file(run, tiny, name):
    Path(name).write_text("before")
    assert run("A text.", "--context", "Before.", "--top", "2", "-o", name) == (0, "", "")
    explanation = tiny.explain("A text.", context="Before.", top=2)
    forms = {"html": explanation.to_html, "svg": explanation.to_svg, "tex": explanation.to_latex, "json": explanation.to_json}
    assert Path(name).read_text(encoding="utf-8") == forms[name[2:]]()
    assert os.listdir() == [name]


def test_another_suffix_is_an_error_before_anything_is_loaded(run, unread):
    for name in ("a.png", "a", "a.csv"):
        code, out, err = run("A text.", "-o", name)
        assert (code, out) == (2, "")
        assert err == f"chainrule: cannot infer the format of {name!r}: use a name ending in .html, .svg, .tex or .json\n"
    code, _, err = run("A text.", "-o", "a.svg", "--json")
    assert (code, "give --json or --output, not both" in err) == (2, True)
    code, _, err = run("A text.", "-o", "missing/a.svg")
    assert (code, err) == (2, "chainrule: cannot write missing/a.svg: No such file or directory\n")
    Path("folder.svg").mkdir()
    assert run("A text.", "-o", "folder.svg")[0] == 2
    assert os.listdir() == ["folder.svg"]


def test_a_failed_run_leaves_the_file_as_it_was(run):
    Path("a.svg").write_text("before")
    code, _, err = run("", "-o", "a.svg")
    assert (code, err.count("\n")) == (2, 1)
    assert Path("a.svg").read_text() == "before"
    assert os.listdir() == ["a.svg"]


def test_an_interrupt_leaves_the_file_as_it_was(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(chainrule.LanguageModel, "explain", interrupted)
    Path("a.svg").write_text("before")
    assert run("A text.", "-o", "a.svg")[0] == 130
    assert Path("a.svg").read_text() == "before"
    assert os.listdir() == ["a.svg"]


def test_the_same_file_each_time(run):
    contents = []
    for name in ("a.svg", "b.svg"):
        run("A text.", "-o", name)
        contents.append(Path(name).read_bytes())
    assert contents[0] == contents[1]
    ElementTree.fromstring(contents[0])
