"""Regions of a text and their tokens."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import InputError
from chainrule.text.regions import Region, located, tokens_of_region, tokens_of_regions, unmarked


def spans(*pieces: str) -> tuple[np.ndarray, np.ndarray]:
    """The characters of tokens that spell a text one after another."""
    stop = np.cumsum([len(piece) for piece in pieces])
    return np.append(0, stop[:-1]), stop


def test_marks_are_taken_out():
    text, region = unmarked("The keys |are| here.")
    assert (text, text[slice(*region)]) == ("The keys are here.", "are")


@pytest.mark.parametrize("text", ["The keys are", "The |keys are", "a |b| |c|", "a || b", "a | | b"])
def test_other_marks_are_an_error(text: str):
    with pytest.raises(InputError, match=r"two \||empty"):
        unmarked(text)


def test_a_part_is_found_once():
    assert located("the key is", "key") == Region(4, 7)
    for part, message in (("door", "not in the text"), ("e", "more than once"), ("", "empty")):
        with pytest.raises(InputError, match=message):
            located("the key is", part)


def test_overlapping_occurrences_are_several():
    with pytest.raises(InputError, match="more than once"):
        located("aaa", "aa")


@pytest.mark.parametrize(
    ("pieces", "region", "expected"),
    [
        (["The", " keys", " are", "."], "are", (2, 3, [])),
        (["The", " keys", " are", "."], " are", (2, 3, [])),
        (["The ", "keys ", "are", "."], "are", (2, 3, [])),  # spaces after words
        (["The", " ", "keys", " ", "are", "."], "are", (3, 5, [])),  # a space alone belongs to the word after it
        (["The", " keys", " are."], "are", (2, 3, [2])),
        (["The", " keys are", "."], "are", (1, 2, [1])),
        (["The", " keys a", "re."], "are", (1, 3, [1, 2])),
        (["The", " keys", " a", "re", "."], "are", (2, 4, [])),
        (["The keys are."], "The keys are.", (0, 1, [])),
    ],
)
def test_tokens_of_a_region(pieces: list[str], region: str, expected: tuple):
    text = "".join(pieces)
    assert tokens_of_region(text, *spans(*pieces), located(text, region)) == expected


def test_an_end_symbol_and_trailing_spaces_belong_to_no_region():
    begin, stop = spans("The", " key", "  ", "")
    assert tokens_of_region("The key  ", begin, stop, Region(4, 7)) == (1, 2, [])


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["The", " keys", " are", "."], [(0, 2, []), (0, 0, []), (2, 3, []), (3, 4, [])]),
        (["The", " keys", " are."], [(0, 2, []), (0, 0, []), (2, 3, [2]), (0, 0, [])]),
        (["The", " keys are", "."], [(0, 2, [1]), (0, 0, []), (0, 0, []), (2, 3, [])]),
        (["The ", "keys ", "are", "."], [(0, 2, []), (0, 0, []), (2, 3, []), (3, 4, [])]),
    ],
)
def test_every_token_belongs_to_one_of_adjacent_regions(pieces: list[str], expected: list[tuple]):
    regions = [Region(0, 8), Region(8, 8), Region(8, 12), Region(12, 13)]  # the second is empty
    assert tokens_of_regions("The keys are.", *spans(*pieces), regions) == expected
