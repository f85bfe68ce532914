"""Columns of results: name, type, unit and meaning, the rows that have a column, and how its values are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np

Batch = Any  # a `Scores` or a `Mixtures`, known here by its attributes only


class Row(Enum):
    """What a row describes."""

    SEQUENCE = auto()  # a scored sequence
    ORDERED = auto()  # … and its order of prediction
    TOKEN = auto()  # a token
    SEQUENCE_OF_TOKEN = auto()  # … and the sequence that it belongs to
    ORDERED_TOKEN = auto()  # … and its step in an order of prediction
    TOP = auto()  # … and the most probable tokens at its position
    TARGETS = auto()  # … and the log probabilities of given ids at its position
    DRAWS = auto()  # … and random draws from the distribution at its position
    TEXT = auto()  # a text in several orders
    ANY_ORDER = auto()  # … and the values that are the same in each order
    ONE_ORDER = auto()  # a text, or one of its tokens, in one of several orders
    CANDIDATE = auto()  # a candidate that was ranked
    GENERATED = auto()  # a generated text
    PSEUDO = auto()  # a pseudo-log-likelihood
    FACTOR = auto()  # a token, in JSON
    SPAN = auto()  # … and its characters
    ORDERED_FACTOR = auto()  # … and its position in an order of prediction
    TOP_FACTOR = auto()  # … and the most probable tokens at its position
    GENERATION = auto()  # how a text was generated, in JSON
    TERM = auto()  # a term of a pseudo-log-likelihood, in JSON
    COMPARED = auto()  # a number of a user beside ours
    ORIGIN = auto()  # … and where ours comes from
    PAIR = auto()  # a minimal pair
    ACCURACY = auto()  # how often the good text of a pair is more probable
    REGION = auto()  # a region of a sentence of a suite
    OUTCOME = auto()  # a prediction of a suite for one item
    PREDICTION = auto()  # … and for all items
    ACCEPTABILITY = auto()  # measures of acceptability of a sequence
    UNIGRAM = auto()  # … with a unigram distribution
    PMI = auto()  # … with and without its context
    WORD = auto()  # a word of a text
    QUESTION = auto()  # a multiple-choice question
    CHOICE = auto()  # one of its choices
    CHOICE_ACCURACY = auto()  # how often a predicted choice is the answer
    CALIBRATION = auto()  # a bin of the confidence in predicted choices
    DOCUMENT = auto()  # a document of a corpus
    DOCUMENT_LISTS = auto()  # … and lists with an entry for each of its tokens
    DETECTORS = auto()  # how expected a sequence is to the model
    DETECTORS_OF_TOKEN = auto()  # … and its tokens


PER_TOKEN = {
    Row.TOKEN,
    Row.ORDERED_TOKEN,
    Row.TOP,
    Row.TARGETS,
    Row.DRAWS,
    Row.FACTOR,
    Row.SPAN,
    Row.ORDERED_FACTOR,
    Row.TOP_FACTOR,
    Row.TERM,
    Row.COMPARED,
    Row.DETECTORS_OF_TOKEN,
}
# Kinds of rows that have columns in common
SCORE = (Row.SEQUENCE, Row.ANY_ORDER)
EVERY_TEXT = (*SCORE, Row.GENERATED, Row.PSEUDO)
EVERY_ROW = (*EVERY_TEXT, Row.SEQUENCE_OF_TOKEN, Row.CANDIDATE, Row.ORIGIN)


@dataclass(frozen=True)
class Column:
    """One column. Of a result with several rows (tokens), a value is the sequence of the values of its rows."""

    name: str
    type: str  # of Arrow, such as "double" or "list<int32>"; of a column in JSON only, for people
    help: str  # one line of Markdown
    rows: tuple[Row, ...]
    unit: str = ""
    of: Callable[[Any], Any] | None = None  # the value of one result; None: its attribute of the same name
    batch: Callable[[Batch], Any] | None = None  # the values of all rows of a batch at once; None: `of` each result
    given: bool = False  # whether the caller passes the values, such as numbers of rows

    def value(self, result: Any) -> Any:
        """The value of one result, in plain Python."""
        value = getattr(result, self.name) if self.of is None else self.of(result)
        return value.tolist() if isinstance(value, np.ndarray) else value
