"""Suites of sentences with regions, conditions and predictions, in SyntaxGym's JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import InputError, short
from chainrule.files.opened import name_of, read_all
from chainrule.scoring import formula
from chainrule.text.regions import Region


@dataclass(frozen=True)
class Sentence:
    """The sentence of an item in a condition: its text, and the number, text and characters of each region."""

    item: int
    condition: str
    text: str
    numbers: list[int]
    contents: list[str]
    regions: list[Region]

    @property
    def where(self) -> str:
        return f"item {self.item}, condition {self.condition!r}"


@dataclass(frozen=True)
class SuiteFile:
    """A suite that has been read and checked."""

    name: str
    region_names: dict[int, str]
    predictions: list[formula.Formula]
    sentences: list[Sentence]  # those of an item are adjacent


def read_suite(source: str | os.PathLike[str] | Mapping[str, Any], no_space_before: str) -> SuiteFile:
    """A suite from a JSON file, or from a dictionary of the same form.

    The regions of a sentence, without white space at their ends, are joined by spaces. Empty ones are left out, and there is no
    space before a region that begins with one of the characters `no_space_before`. Raises InputError, which names the item,
    condition, region or formula.
    """
    suite = source if isinstance(source, Mapping) else load_suite(os.fspath(source))
    if not isinstance(suite, Mapping):
        raise InputError(f"a suite is a JSON object with meta, predictions and items, not {short(suite)}")
    meta = suite.get("meta", {})
    if not isinstance(meta, Mapping):
        raise InputError(f"meta must be an object, not {short(meta)}")
    metric = meta.get("metric", "sum")
    if metric not in ("sum", "all") and not (isinstance(metric, list) and "sum" in metric):
        raise InputError(f"the metric of a suite must be 'sum', the sum of surprisals, not {short(metric)}")
    names = suite.get("region_meta", {})
    if not isinstance(names, Mapping):
        raise InputError(f"region_meta must be an object, not {short(names)}")
    predictions = [_prediction(each, i) for i, each in enumerate(_list(suite, "predictions", "the suite"), 1)]
    items = _list(suite, "items", "the suite")
    if not items:
        raise InputError("the suite has no items")
    sentences, known = list[Sentence](), set[int]()
    for i, item in enumerate(items, 1):
        own = _item(item, f"entry {i} of items", no_space_before)
        if own[0].item in known:
            raise InputError(f"item {own[0].item} occurs twice: give each item a number of its own")
        known.add(own[0].item)
        _check_references(own, predictions)
        sentences += own
    region_names = {int(key): str(value) for key, value in names.items() if str(key).isdecimal()}
    return SuiteFile(str(meta.get("name", "")), region_names, predictions, sentences)


def load_suite(file: str) -> Any:
    """The JSON of a file, not checked. Raises InputError."""
    raw = read_all(file)
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{name_of(file)} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name_of(file)} is not valid JSON: {error}") from None


def _prediction(each: Any, number: int) -> formula.Formula:
    if not isinstance(each, Mapping) or each.get("type", "formula") != "formula" or not isinstance(each.get("formula"), str):
        raise InputError(f'prediction {number}: expected {{"type": "formula", "formula": "…"}}, not {short(each)}')
    try:
        return formula.parse(each["formula"])
    except InputError as error:
        raise InputError(f"prediction {number}, {error.reason}") from None


def _item(item: Any, place: str, no_space_before: str) -> list[Sentence]:
    """The sentences of an item. place: its name in errors until its number is known."""
    number = _get(item, "item_number", place)
    if not isinstance(number, int) or isinstance(number, bool):
        raise InputError(f"{place}: item_number must be a whole number, not {short(number)}")
    place, sentences = f"item {number}", dict[str, Sentence]()
    for i, condition in enumerate(_list(item, "conditions", place), 1):
        name = _get(condition, "condition_name", f"{place}, condition {i}")
        if not isinstance(name, str) or not name:
            raise InputError(f"{place}, condition {i}: condition_name must be a text, not {short(name)}")
        if name in sentences:
            raise InputError(f"{place}: the condition {name!r} occurs twice")
        sentences[name] = _sentence(number, name, condition, no_space_before)
    if not sentences:
        raise InputError(f"{place} has no conditions")
    return list(sentences.values())


def _sentence(item: int, name: str, condition: Any, no_space_before: str) -> Sentence:
    place = f"item {item}, condition {name!r}"
    text, numbers, contents, regions = "", list[int](), list[str](), list[Region]()
    for i, region in enumerate(_list(condition, "regions", place), 1):
        number = _get(region, "region_number", f"{place}, region {i}")
        content = _get(region, "content", f"{place}, region {i}")
        if not isinstance(number, int) or isinstance(number, bool):
            raise InputError(f"{place}, region {i}: region_number must be a whole number, not {short(number)}")
        if not isinstance(content, str):
            raise InputError(f"{place}, region {number}: the content must be a text, not {short(content)}")
        content = content.strip()  # spaces between regions are ours: see `read_suite`
        if number in numbers:
            raise InputError(f"{place}: the region {number} occurs twice")
        begin = len(text)
        if content:
            text += (" " if text and content[0] not in no_space_before else "") + content
        numbers.append(number)
        contents.append(content)
        regions.append(Region(begin, len(text)))
    if not text:
        raise InputError(f"{place}: all regions are empty, so there is no sentence")
    return Sentence(item, name, text, numbers, contents, regions)


def _check_references(sentences: Sequence[Sentence], predictions: Sequence[formula.Formula]) -> None:
    """Raises InputError for a region in a formula that an item does not have."""
    by_name = {sentence.condition: sentence for sentence in sentences}
    for i, prediction in enumerate(predictions, 1):
        for region in prediction.regions:
            where = f"prediction {i}, character {region.character}: item {sentences[0].item}"
            if region.condition not in by_name:
                names = ", ".join(map(repr, by_name))
                raise InputError(f"{where} has no condition {region.condition!r}; its conditions are {names}")
            if region.number is not None and region.number not in by_name[region.condition].numbers:
                raise InputError(f"{where} has no region {region.number} in its condition {region.condition!r}")


def _get(value: Any, key: str, place: str) -> Any:
    if not isinstance(value, Mapping) or key not in value:
        raise InputError(f"{place}: expected an object with {key!r}, not {short(value)}")
    return value[key]


def _list(value: Any, key: str, place: str) -> Sequence[Any]:
    values = _get(value, key, place)
    if not isinstance(values, list | tuple):
        raise InputError(f"{place}: {key} must be a list, not {short(values)}")
    return values
