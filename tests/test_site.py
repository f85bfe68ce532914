"""The reference is complete, and the check of the built pages detects broken links and external resources."""

from __future__ import annotations

import re
import sys

import pytest
from pages import ROOT

import chainrule
from chainrule.cli.examples import EXAMPLES
from chainrule.results import schema

sys.path.insert(0, str(ROOT / "scripts"))

import build_site
import reference


def test_every_public_name_has_an_entry():
    api = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"auto\w+:: chainrule\.(\w+)$", api, re.MULTILINE)) == set(chainrule.__all__)


def test_every_command_and_option_is_listed(command):
    text = reference.commands_reference()
    parts = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(parts) == set(EXAMPLES)
    for name, part in parts.items():
        shown = command(name, "--help")[1].split("Examples:")[0]
        wanted = set(re.findall(r"^  (?:-\w,|   ) (--[a-z-]+)", shown, re.MULTILINE)) - {"--help"}
        listed = set(re.findall(r"^\| `(?:-\w, )?(--[a-z-]+)[ `]", part, re.MULTILINE))
        assert wanted == listed, name
        assert all(f"$ {example}\n" in part for example in EXAMPLES[name])


def test_defaults_and_choices_are_listed():
    text = reference.commands_reference()
    assert "| `--dtype TYPE` | float32, bfloat16, float16, float64, or auto" in text
    assert "Default: float32. |" in text
    assert "One of text, csv, tsv, jsonl, json, parquet, arrow." in text
    assert "chainrule rank CONTEXT [CANDIDATE …] [OPTIONS]" in text


def test_every_column_has_a_meaning():
    text = reference.columns_reference()
    for column in schema.COLUMNS:
        assert re.search(rf"^\| `{column.name}` \| [^|]+ \| {column.unit} \| {re.escape(column.help)} \|$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="other.html#here">x</a><a href="https://example.com">x</a>', None),
        ('<a href="nowhere.html">x</a>', "index.html: nowhere.html is a broken link"),
        ('<a href="other.html#gone">x</a>', "index.html: other.html#gone is a broken link"),
        ('<a href="#gone">x</a>', "index.html: #gone is a broken link"),
        ('<script src="https://cdn.example/x.js"></script>', "index.html: loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "index.html: loads //fonts.example/x.css"),
        ('<img src="gone.svg">', "index.html: gone.svg is a broken link"),
    ],
)
def test_problems_of_a_page_are_detected(tmp_path, body, problem):
    (tmp_path / "index.html").write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    (tmp_path / "other.html").write_text('<p id="here">x</p>', encoding="utf-8")
    assert list(build_site.problems(tmp_path)) == ([] if problem is None else [problem])


def test_fonts_of_another_host_are_detected(tmp_path):
    (tmp_path / "index.html").write_text("<p>x</p>", encoding="utf-8")
    (tmp_path / "x.css").write_text('@font-face { src: url("https://fonts.example/x.woff2") }', encoding="utf-8")
    assert list(build_site.problems(tmp_path)) == ["x.css: loads https://fonts.example/x.woff2"]
