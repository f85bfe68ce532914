"""What a lesson is about: the model and the text of the reader, and small tables whose numbers can be checked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from chainrule.models.table import Context, TableModel
from chainrule.pages.lessons.exercises import Exercise
from chainrule.results.pseudo import PseudoScore
from chainrule.results.score import Score

TEXT = "It is raining. I need an umbrella."
SENTENCE = "It is not raining."

_LETTERS: Mapping[Context, Sequence[float]] = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
_STEPS: Mapping[Context, Sequence[float]] = {"": [0.1, 0.9], "A": [0.5, 0.5], "AB": [0.8, 0.2]}
_ZERO: Mapping[Context, Sequence[float]] = {"": [0.0, 1.0], "A": [0.6, 0.4], "AB": [0.8, 0.2]}
_BITS: Mapping[Context, Sequence[float]] = {"": [0.5, 0.5], "0": [1.0, 0.0], "1": [0.0, 1.0]}
DEBUGGING: Mapping[Context, Sequence[float]] = {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0]}  # logits

_WORDS = ("It", " is", " not", " raining", " snowing", ".")
_WEATHER: Mapping[Context, Sequence[float]] = {
    (): [0.9, 0.02, 0.02, 0.02, 0.02, 0.02],
    ("It",): [0.01, 0.9, 0.01, 0.03, 0.03, 0.02],
    (" is",): [0.02, 0.01, 0.4, 0.35, 0.2, 0.02],
    (" not",): [0.01, 0.04, 0.05, 0.5, 0.35, 0.05],
    (" raining",): [0.05, 0.05, 0.03, 0.01, 0.01, 0.85],
    (" snowing",): [0.05, 0.05, 0.03, 0.01, 0.01, 0.85],
    (".",): [0.7, 0.1, 0.05, 0.05, 0.05, 0.05],
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with a text. lm: a causal LanguageModel."""

    lm: Any
    text: str

    @cached_property
    def score(self) -> Score:
        """The factors of the text."""
        return self.lm.score(self.text)

    @cached_property
    def letters(self) -> Any:
        """Two letters, each of which depends on the letter before."""
        return self._table("AB", _LETTERS, back_off=True)

    @cached_property
    def steps(self) -> Any:
        """The texts ABA and ABB have the factors .1, .5, .8 and .1, .5, .2."""
        return self._table("AB", _STEPS)

    @cached_property
    def zero(self) -> Any:
        """The text ABA has the factors 0, .4, .8."""
        return self._table("AB", _ZERO)

    @cached_property
    def bits(self) -> Any:
        """Two fair bits that always agree."""
        return self._table("01", _BITS, back_off=True)

    @cached_property
    def debugging(self) -> Any:
        """Three letters; the rows are logits whose sums mislead."""
        return self._table("ABC", DEBUGGING, logits=True)

    @cached_property
    def weather(self) -> Any:
        """Six words, each of which depends on the word before. SENTENCE has five of them."""
        return _weather(type(self.lm))

    def chain(self, probabilities: Sequence[float]) -> Any:
        """A model under which the text AA… has these factors."""
        return self._table("AB", {"A" * n: [p, 1 - p] for n, p in enumerate(probabilities)})

    def _table(
        self, vocabulary: str, rows: Mapping[Context, Sequence[float]], back_off: bool = False, logits: bool = False
    ) -> Any:
        """A language model of the same class as the reader's, which a layer above this one defines."""
        return type(self.lm)(TableModel(list(vocabulary), rows, probabilities=not logits, back_off=back_off))


@cache
def _weather(kind: Any) -> Any:
    """kind: the class of language models. Each model remembers the sums over all texts of a length, which take seconds."""
    return kind(TableModel(_WORDS, _WEATHER, probabilities=True, back_off=True, name="a table of six words"))


@dataclass(frozen=True, eq=False)
class Contents:
    """What a lesson adds to its text: exercises, values that its text names, and what its panels show.

    lm: the model of the page; with `main` the score of its reading "text". readings: further ones, by name.
    sections: the optional members of the data that its panels need: "openings", "variants".
    """

    lm: Any
    main: Score
    exercises: list[Exercise]
    values: dict[str, str] = field(default_factory=dict)
    readings: dict[str, Score | PseudoScore] = field(default_factory=dict)
    sections: frozenset[str] = frozenset()
