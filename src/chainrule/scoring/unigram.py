"""Distributions of single tokens, from a corpus or a table.

Counts are smoothed by adding one to every id of the model: Pr(id) = (count + 1) / (total + V). So no token has probability 0.
Shapes: V ids of the model.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chainrule._checks import is_number, is_whole
from chainrule._types import Floats, Ints
from chainrule.errors import InputError, short
from chainrule.files.opened import lines_of, name_of, read_all
from chainrule.files.rows import problem_of
from chainrule.text.arguments import as_list
from chainrule.text.base import TokenizerLike, token_formatter

_CHUNK = 4096  # texts of a corpus tokenised at a time
_VALUES = ("count", "probability")


@dataclass(frozen=True, eq=False)
class Unigram:
    """A distribution of single tokens: see `LanguageModel.unigram`."""

    logprobs: Floats  # V: log Pr of each token id, in nats; −inf for an id without a probability
    tokenizer: TokenizerLike | None

    def logprob(self, ids: Ints) -> float:
        """The sum over these tokens, in nats. Raises InputError for a token without a probability."""
        values = self.logprobs[ids]
        if np.isneginf(values).any():
            id = int(ids[int(np.argmin(values))])
            raise InputError(
                f"the unigram distribution has no probability for the token {token_formatter(self.tokenizer)(id)!r} (id {id}): "
                "add it, or give counts, which are smoothed"
            )
        return math.fsum(values.tolist())


def unigram_of(source: Any, tokenizer: TokenizerLike | None, size: int, end: int | None) -> Unigram:
    """The distribution over the `size` ids of a model.

    source: a file, a mapping, a sequence of texts or of one number per id; see `LanguageModel.unigram`. end: the end symbol,
    which is counted once after every text of a corpus; None: not counted. Raises InputError.
    """
    if isinstance(source, Unigram):
        if len(source.logprobs) != size:
            raise InputError(f"the unigram distribution is over {len(source.logprobs)} token ids, but the model has {size}")
        return source
    return Unigram(_logprobs(source, tokenizer, size, end), tokenizer)


def _logprobs(source: Any, tokenizer: TokenizerLike | None, size: int, end: int | None) -> Floats:
    if isinstance(source, str | os.PathLike):
        return _of_file(os.fspath(source), tokenizer, size, end)
    if isinstance(source, Mapping):
        return _of_table(source, tokenizer, size)
    items = as_list(source, "unigram")
    if items and all(isinstance(item, str) for item in items):
        return _of_texts(items, tokenizer, size, end)
    if len(items) != size or not all(map(is_number, items)):
        raise InputError(
            f"unigram must be a file, a mapping from tokens or ids to counts, a list of texts, or one number for each of the "
            f"{size} ids, not {len(items)} items such as {short(items[0]) if items else 'none'}"
        )
    return _of_table(dict(enumerate(items)), tokenizer, size)


def _of_file(file: str, tokenizer: TokenizerLike | None, size: int, end: int | None) -> Floats:
    path = Path(file)
    suffix = Path(path.stem if path.suffix.lower() in (".gz", ".zst") else path).suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _of_table(_cells(file, "\t" if suffix == ".tsv" else ","), tokenizer, size)
    if suffix == ".json":
        try:
            table = json.loads(read_all(file))
        except ValueError as error:
            raise InputError(f"{name_of(file)} is not valid JSON: {error}") from None
        if not isinstance(table, dict):
            raise InputError(f"{name_of(file)} must be a JSON object with a count or probability for each token")
        return _of_table(table, tokenizer, size)
    if suffix not in ("", ".txt"):
        raise InputError(
            f"cannot use {file} as a unigram distribution: use a corpus (.txt, one text per line), a .csv or .tsv with columns "
            "token or id, and count or probability, or a .json object"
        )
    with lines_of(file, None, newline="\n") as lines:
        return _of_texts(_texts(lines, file), tokenizer, size, end)


def _texts(lines: Iterable[str], file: str) -> Iterator[str]:
    """The lines that are not empty. Raises InputError for one that is no text."""
    for number, line in enumerate(lines, 1):
        text = line.removesuffix("\n").removesuffix("\r")
        if problem := problem_of(text, None):
            raise InputError(f"line {number} of {name_of(file)} {problem}")
        if text:
            yield text


def _of_texts(texts: Iterable[str], tokenizer: TokenizerLike | None, size: int, end: int | None) -> Floats:
    """From the counts of the tokens of a corpus."""
    if tokenizer is None:
        raise InputError("this model has no tokenizer, so a corpus has no tokens: give unigram= a mapping from ids to counts")
    count_V, source, some = np.zeros(size, np.int64), iter(texts), False
    while chunk := [text for text in islice(source, _CHUNK) if text]:
        some = True
        for ids in tokenizer.encode_batch(chunk):
            count_V += np.bincount(ids, minlength=size)[:size]
        if end is not None:
            count_V[end] += len(chunk)
    if not some:
        raise InputError("the corpus of the unigram distribution has no text")
    return _smoothed(count_V)


def _cells(file: str, delimiter: str) -> dict[Any, float]:
    """A table with columns "token" or "id", and "count" or "probability". Raises InputError."""
    with lines_of(file, None, newline="") as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        head = [name.strip() for name in next(rows, [])]
        key = next((name for name in ("id", "token") if name in head), None)
        value = next((name for name in _VALUES if name in head), None)
        if key is None or value is None:
            raise InputError(
                f"{name_of(file)} must have a column token or id, and a column count or probability; the columns are: "
                f"{', '.join(head)}"
            )
        table: dict[Any, float] = {}
        for number, row in enumerate(rows, 2):
            try:
                cells = dict(zip(head, row, strict=True))
                name: Any = int(cells[key]) if key == "id" else cells[key]
                amount = float(cells[value])
            except ValueError:
                raise InputError(f"row {number} of {name_of(file)} is no {key} with a {value}: {short(row)}") from None
            if name in table:
                raise InputError(f"row {number} of {name_of(file)}: the {key} {short(name)} occurs twice")
            table[name] = int(amount) if value == "count" and amount.is_integer() else amount
    return table


def _of_table(table: Mapping[Any, Any], tokenizer: TokenizerLike | None, size: int) -> Floats:
    """From counts (whole numbers) or probabilities (numbers that sum to 1) by id or by token."""
    if not table:
        raise InputError("the unigram distribution is empty")
    for key, number in table.items():
        if not is_number(number) or not 0 <= number < math.inf:
            raise InputError(
                f"the unigram count or probability of {short(key)} must be a number of 0 or more, not {short(number)}"
            )
    value_V = np.zeros(size)
    ids = _ids_of(table, tokenizer, size)
    value_V[ids] = [float(number) for number in table.values()]
    if all(is_whole(number) or float(number).is_integer() for number in table.values()):
        return _smoothed(value_V)
    if abs(value_V.sum() - 1) > 1e-6:
        raise InputError(
            f"the unigram distribution must have counts, which are whole numbers, or probabilities, which sum to 1: "
            f"these sum to {value_V.sum():.6g}"
        )
    with np.errstate(divide="ignore"):
        return np.log(value_V)


def _ids_of(table: Mapping[Any, Any], tokenizer: TokenizerLike | None, size: int) -> Sequence[int]:
    """The id of each key: an id, or a token as results name it."""
    by_name: dict[str, list[int]] = {}
    if tokenizer is not None and any(isinstance(key, str) for key in table):
        for id in tokenizer.known_ids.tolist():
            by_name.setdefault(tokenizer.token(id), []).append(id)
    ids = []
    for key in table:
        if is_whole(key, 0, size - 1):
            ids.append(int(key))
            continue
        found = by_name.get(key, []) if isinstance(key, str) else []
        if len(found) > 1 and tokenizer is not None:  # a character and its byte: the token that texts have
            found = [id for id in tokenizer.encode_continuations([key])[0].tolist() if id in found]
        if len(found) != 1:
            raise InputError(f"the unigram distribution names {short(key)}, which is no token or id of the model")
        ids += found
    if len(set(ids)) < len(ids):
        raise InputError("the unigram distribution names a token twice, by its id and by its name")
    return ids


def _smoothed(count_V: Any) -> Floats:
    """log((count + 1) / (total + V))."""
    return np.log(count_V + 1.0) - math.log(float(count_V.sum()) + len(count_V))
