"""The code in README.md and docs/ runs, and its output is the output shown."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pages
import pytest
from pages import PAGES, ROOT

import chainrule

README = ROOT / "README.md"
NOT_RUN = 26  # blocks that cannot run; adding one must be deliberate


@pytest.fixture
def page_models(real, monkeypatch, tmp_path):
    """`load` and the command line use the small model that is loaded already, and files are written to a temporary folder."""
    read = chainrule.load

    def load(name=None, tokenizer=None, *, start="auto", **options):
        if tokenizer is not None or name not in (None, "smollm2-135m"):
            return read(name, tokenizer, start=start, **options)
        return real if start == "auto" else chainrule.LanguageModel(real.model, real.tokenizer, start=start, engine=real.engine)

    monkeypatch.setattr("chainrule.load", load, raising=False)
    monkeypatch.setattr("chainrule.loading.load", load)
    monkeypatch.chdir(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize("page", [p for p in PAGES if any(b.kind in pages.RUN for b in pages.blocks(p))], ids=lambda p: p.stem)
def test_the_code_runs_and_has_the_output_shown(page, page_models, command):
    pages.run(page, command)
    for picture in pages.pictures(page) if page.parent.name == "tutorials" else ():
        pages.assert_shown(pages.texts_of(page.parent / picture), pages.texts_of(Path(picture)), picture)


def test_every_block_is_run_or_marked():
    blocks = [(p, block) for p in PAGES for block in pages.blocks(p)]
    known = {*pages.RUN, "text", "r", "{toctree}", "{eval-rst}"}
    assert [f"{p.name}:{block.line} {block.kind}" for p, block in blocks if block.kind not in known] == []
    assert sum(block.reason is not None for _, block in blocks) == NOT_RUN
    assert sum(p.read_text(encoding="utf-8").count("```") for p in PAGES) == 2 * len(blocks)
    assert sum(p.read_text(encoding="utf-8").count("<!-- not run") for p in PAGES) == NOT_RUN
    indented = [
        line.strip() for p in PAGES for line in re.findall(r"^\n {4}\S.*$", p.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert {line for line in indented if not line.startswith(("log Pr(x) =", "log Pr(word) ="))} == set()


def test_no_shown_output_is_empty():
    assert [f"{p.name}:{b.line}" for p in PAGES for b in pages.blocks(p) if b.kind == "text" and not b.code.strip()] == []


def test_a_different_output_is_detected():
    pages.assert_shown("log -1.2345  'a…c'\n", "log  -1.2344 'abc'", "here")
    for output in ("log -1.3 'abc'", "log -1.2345 'abd'", "log -1.2345"):
        with pytest.raises(AssertionError):
            pages.assert_shown("log -1.2345 'a…c'", output, "here")


def test_readme_is_short():
    text = README.read_text(encoding="utf-8")
    assert len(text.encode()) <= 8000
    assert re.search(r"```python\n(.*?)```", text, re.DOTALL)[1].count("assert ") == 5


def test_links_of_the_package_description_are_absolute():
    """PyPI shows README.md, and cannot follow links to other files of the repository."""
    links = re.compile(r"(!?)\[[^]]*\]\(([^)\s]+)\)")  # whether it is a picture, and its target
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    before = links.findall(text)
    for substitution in config["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    pages = f"{config['project']['urls']['Source']}/blob/main/"
    pictures = pages.replace("github.com", "raw.githubusercontent.com").replace("/blob/", "/")
    expected = [(mark, link if "://" in link else (pictures if mark else pages) + link) for mark, link in before]
    assert links.findall(text) == expected
    assert {mark for mark, _ in expected} == {"", "!"}


def test_every_command_is_shown():
    from chainrule.program import app

    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    others = {
        "corpus",
        "explain",
        "page",
        "lessons",
        "pseudo",
        "words",
        "pairs",
        "choose",
        "suite",
        "serve",
        "lm-eval",
        "verify",
        "compare",
        "pull",
        "models",
        "doctor",
        "completion",
    }
    assert {"score", "rank", "next", "generate", "infill"} | others == set(names)
    assert [name for name in names if f"chainrule {name}" not in text] == []


def test_every_page_is_in_the_contents():
    contents = Path(ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = "".join(re.findall(r"```\{toctree\}\n(.*?)```", contents, re.DOTALL))
    listed = set(re.findall(r"^([a-z/-]+)$", trees, re.MULTILINE))
    assert listed == {p.relative_to(ROOT / "docs").with_suffix("").as_posix() for p in PAGES[1:]} - {"index"}
