"""chainrule lessons: a folder of pages."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

import pytest

from chainrule.pages.lessons import INDEX, LESSONS


def data_of(html: str) -> dict[str, Any]:
    """The data of a page."""
    [packed] = re.findall(r'<script type="[^"]+" id="data">([^<]+)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


FILES = [*(lesson.file for lesson in LESSONS), INDEX]


def test_a_folder_of_lessons(command, tiny_folder, tmp_path):
    folder = tmp_path / "new" / "lessons"
    code, out, err = command("lessons", "-o", str(folder), "--model", str(tiny_folder))
    assert (code, err) == (0, "")
    assert out == f"8 lessons are in {folder}: begin with {folder / INDEX}\n"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    pages = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert [name for name, html in pages.items() if not html.startswith("<!doctype html>")] == []
    assert data_of(pages[FILES[0]])["readings"]["text"]["text"] == "It is raining. I need an umbrella."


def test_existing_pages_are_replaced_and_other_files_kept(command, tiny_folder, tmp_path):
    for name in (FILES[3], "notes.txt"):
        (tmp_path / name).write_text("mine")
    text = "Rain <b>again</b>."
    assert command("lessons", text, "-o", str(tmp_path), "--model", str(tiny_folder))[0] == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    page = (tmp_path / FILES[3]).read_text("utf-8")
    assert data_of(page)["readings"]["text"]["text"] == text
    assert "<b>again" not in page


def test_a_file_is_no_folder(command, tiny_folder, tmp_path):
    file = tmp_path / "lessons"
    file.write_text("mine")
    code, _, err = command("lessons", "-o", str(file), "--model", str(tiny_folder))
    assert (code, err) == (2, f"chainrule: cannot write the lessons to {file}: it is a file; name a folder\n")
    code, _, err = command("lessons", "-o", str(file / "below"), "--model", str(tiny_folder))
    assert code == 2
    assert "cannot make the folder" in err
    assert file.read_text() == "mine"


def test_the_folder_is_needed(command, tiny_folder):
    code, _, err = command("lessons", "--model", str(tiny_folder))
    assert (code, err) == (2, "chainrule: give a folder for the lessons with --output\n")


@pytest.mark.parametrize("text", ["", "word " * 100])
def test_a_text_that_cannot_be_scored(command, tiny_folder, tmp_path, text):
    code, _, err = command("lessons", text, "-o", str(tmp_path), "--model", str(tiny_folder))
    assert (code, err.count("\n")) == ((2, 1) if not text else (0, 0))


def test_progress_in_a_terminal(command, tiny_folder, tmp_path, monkeypatch):
    seen = []

    def bar(unit):
        from contextlib import nullcontext

        return nullcontext(lambda label, done, total: seen.append((label, done, total)))

    monkeypatch.setattr("chainrule.cli.lessons.progress", bar)
    assert command("lessons", "-o", str(tmp_path), "--model", str(tiny_folder))[0] == 0
    assert seen == [(lesson.title, i, 8) for i, lesson in enumerate(LESSONS)]
