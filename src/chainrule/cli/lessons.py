"""chainrule lessons: a folder with the list of lessons and a page for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chainrule.cli.output import OUT
from chainrule.cli.progress import progress
from chainrule.errors import OutputError
from chainrule.files.writing import write_bytes

if TYPE_CHECKING:
    from chainrule.language import LanguageModel


def folder_of(name: str) -> Path:
    """The folder to write to, which is made if there is none. Raises OutputError for a file."""
    folder = Path(name)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"cannot write the lessons to {name}: it is a file; name a folder")
    return folder


def write_lessons(folder: Path, lm: LanguageModel, text: str | None) -> None:
    """Write the pages, and say where to begin. Raises InputError for a model that is not causal, and OutputError."""
    from chainrule.models.identity import identity_of
    from chainrule.pages.lessons import INDEX, LESSONS, check_causal, lesson_page, lessons_index

    check_causal(lm)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    with progress("lessons") as bar:
        for done, lesson in enumerate(LESSONS):
            if bar is not None:
                bar(lesson.title, done, len(LESSONS))
            write_bytes(folder / lesson.file, lesson_page(lm, lesson, text).html.encode())
    write_bytes(folder / INDEX, lessons_index(identity_of(lm.model).title).encode())
    OUT.write(f"{len(LESSONS)} lessons are in {folder}: begin with {folder / INDEX}\n")
