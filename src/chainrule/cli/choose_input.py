"""Tables of multiple-choice questions: every row is read before the first question is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from chainrule.cli.inputs import BadRow, Record, Source
from chainrule.cli.output import note
from chainrule.errors import InputError
from chainrule.files.columns import Columns
from chainrule.files.json_rows import JsonBlock
from chainrule.files.rows import Block, Row
from chainrule.results.units import count
from chainrule.text.answers import agreed, described, readings
from chainrule.text.arguments import is_missing
from chainrule.text.questions import EmptyPrompt, Question, QuestionFormat, question_format
from chainrule.text.templates import has_field


@dataclass(frozen=True)
class QuestionColumns(Columns):
    """The columns of questions, found by their usual names if they are not given."""

    given: Mapping[str, Any] = field(default_factory=dict)  # the options of `question_format`
    form: QuestionFormat | None = None  # None: not found yet

    @property
    def options(self) -> dict[str, str | None]:
        return {name: self.given.get(name) for name in ("question", "choices", "answer", "template")} | {"id": self.id}

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def found(self, block: Block, name: str) -> tuple[Columns, str]:
        """These columns with their format. Raises InputError if they are not there. name: of the file."""
        given, choices = dict(self.given), self.given["choices"]
        if choices is not None and not has_field(block.names, choices) and "," in choices:
            given["choices"] = [part.strip() for part in choices.split(",")]
        try:
            form = question_format(block.names, **given)
        except InputError as error:
            raise InputError(f"{name}: {error.reason}") from None
        return QuestionColumns(id=self.id, given=self.given, form=form), ""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `lm.choices`. Raises InputError for plain lines, which have no columns."""
        if self.form is None:
            raise InputError("the input is plain lines, but questions are rows of a table: see --format")
        columns = {"choices": self.form.choices or None, "answer": self.form.answer}
        return {**self.given, **columns}


@dataclass(frozen=True, slots=True)
class QuestionRecord(Record):
    """A question: its row, and the choices that its answer names, by kind of reading; None without an answer."""

    row: Mapping[str, Any] = field(default_factory=dict)
    possible: dict[str, int] | None = None


@dataclass
class QuestionSource(Source):
    """Questions, one in a row. All rows are read before the first question: how answers are written is found in all of them.

    The first rows can be shots: examples before each prompt, which are not asked.
    """

    shots: int = 0
    shots_from: str | None = None  # the file of the shots, of which all are taken if `shots` is 0
    answer_as: str | None = None
    answer_from: int | None = None
    needs: str = ""  # the option that needs answers
    examples: list[Mapping[str, Any]] | None = field(default=None, init=False)  # the shots, when all rows have been read

    def __iter__(self) -> Iterator[Record]:
        own = self._read()
        before, after = own[: self.shots], own[self.shots :]
        if self.shots_from is not None:
            before, after = self._from_file(), own
        elif self.shots and not after:
            rows = count(len(own), "row")
            raise InputError(f"--shots {self.shots} needs as many rows and one question at least, but the input has {rows}")
        self._agree([*before, *after])
        self.examples = [record.row for record in before]
        for record in before:
            if record.possible is None:
                raise InputError(f"{record.where} has no answer, so it cannot be a shot")
        if before and self.shots_from is None:
            first = "first row is a shot" if self.shots == 1 else f"first {self.shots} rows are shots"
            note(f"chainrule: note: the {first}, and not asked")
        answered = sum(record.possible is not None for record in after)
        if self.needs and not answered and after:
            raise InputError(f"{self.needs} needs answers, but no question has one: name their column with --answer")
        yield from (record for record in after if record.index >= (self.begin or 0))

    def count(self) -> None:
        """The number of questions is not known before all rows have been read."""

    def _read(self) -> list[QuestionRecord]:
        """All questions, also those before --from: bad rows are errors, or skipped."""
        begin, self.begin = self.begin, None
        records = list(super().__iter__())
        self.begin = begin
        if begin is not None and records and begin > records[-1].index:
            raise InputError(f"--from {begin} is past the last row: the input has {records[-1].index + 1} rows, counted from 0")
        own = []
        for block, run in groupby(records, key=lambda record: record.block):
            rows = list(run)
            for record, row in zip(rows, _values(block, [each.number for each in rows]), strict=True):
                try:
                    own.append(self._question(record, row))
                except EmptyPrompt as error:
                    if not self.skip_empty:
                        self._bad(f"{record.where}: {error.reason}; --skip-empty skips such rows")
                except InputError as error:
                    self._bad(f"{record.where}: {error.reason}")
        return own

    def _question(self, record: Record, row: Mapping[str, Any]) -> QuestionRecord:
        """Raises InputError for a row that is no question."""
        form = self.columns.form if isinstance(self.columns, QuestionColumns) else None
        if form is None:
            raise InputError("it is a plain line, but questions are rows of a table: see --format")
        if all(map(is_missing, row.values())):
            raise EmptyPrompt("the row is empty")
        question = form.read(row)
        possible = None if question.answer is None else readings(question, *self._reading)
        if form.answer is not None and not has_field(list(row), form.answer):
            row = {**row, form.answer: None}
        where = (record.where, record.index, record.file, record.block, record.number)
        return QuestionRecord(_all_text(question), None, *where, row=row, possible=possible)

    @property
    def _reading(self) -> tuple[str | None, int]:
        return ("number", self.answer_from) if self.answer_from is not None else (self.answer_as, 0)

    def _bad(self, problem: str) -> None:
        if not self.skip_bad:
            raise BadRow(problem)
        self.skip(problem)

    def _from_file(self) -> list[QuestionRecord]:
        """The shots of their file."""
        columns = QuestionColumns(given=self.columns.given if isinstance(self.columns, QuestionColumns) else {})
        other = QuestionSource([], [str(self.shots_from)], columns, answer_as=self.answer_as, answer_from=self.answer_from)
        own = other._read()
        form = other.columns.form if isinstance(other.columns, QuestionColumns) else None
        if isinstance(self.columns, QuestionColumns) and self.columns.form is not None and form is not None:
            answer = self.columns.form.answer or form.answer  # only the shots may have answers
            self.columns = replace(self.columns, form=replace(self.columns.form, answer=answer))
        if len(own) < max(1, self.shots):
            raise InputError(f"{self.shots_from} has {count(len(own), 'row')}, but {max(1, self.shots)} shots are wanted")
        return own[: self.shots or None]

    def _agree(self, own: Sequence[QuestionRecord]) -> None:
        """Find how answers are written. Raises InputError if there is no way for all of them."""
        try:
            kind = agreed([record.possible for record in own])
        except InputError as error:
            if error.item is None:
                raise
            raise InputError(f"{own[error.item].where}: {error.reason}") from None
        if kind is not None:
            note(f"chainrule: answers are read as {described(kind, self._reading[1])}")
            self.answer_as = kind

    def _problem(self, row: Row) -> str:
        return ""

    def _record(self, row: Row, index: int, file: str | None, block: Block | None, number: int) -> Record:
        return Record("", None, row.where, index, file, block, number)


def _values(block: Block | None, numbers: Sequence[int]) -> list[Mapping[str, Any]]:
    """Rows of a block in plain Python. Numbers of JSON keep their spelling."""
    if isinstance(block, JsonBlock):
        return [block.objects[number] for number in numbers]
    if block is None or not block.names:
        return [{} for _ in numbers]
    return block.table(numbers).to_pylist()


def _all_text(question: Question) -> str:
    """The text that sections are cut by."""
    return question.prompt + "".join(question.texts)
