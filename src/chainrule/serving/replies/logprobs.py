"""Log probabilities in the shapes of OpenAI's completions and chats, and of vLLM's prompt_logprobs.

A log probability of −∞ is −9999.0 there, as vLLM writes it. In the dictionaries, a token is named by its text. Two tokens can
have the same text; the more probable one counts then. So there is a list with ids and bytes, too.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import Raw

from chainrule.serving.fragments import Fragments, listed, numbers
from chainrule.serving.replies.factors import Factors
from chainrule.serving.served import Prompt, ServedModel


class _Place(NamedTuple):
    """A token of a text, and its alternatives; numbers are JSON."""

    id: int
    logprob: float | None
    number: bytes
    top_ids: list[int]
    top_logprobs: list[float]
    top_numbers: list[bytes]


def completion_logprobs(fragments: Fragments, factors: Factors, offsets: list[int]) -> dict[str, Any]:
    """`logprobs` of a completion: four lists with an entry for each token, and the same as a list of objects."""
    places = list(_places(factors))
    return {
        "tokens": Raw(listed([fragments.names[id] for id in factors.ids])),
        "token_logprobs": Raw(listed([place.number for place in places])),
        "top_logprobs": Raw(listed([_by_name(fragments, place) for place in places])),
        "text_offset": offsets,
        "content": _content(fragments, places),
    }


def content(fragments: Fragments, factors: Factors) -> Raw:
    """`logprobs.content` of a chat: an object for each token, here with its id; null for a token without a factor."""
    return _content(fragments, list(_places(factors)))


def prompt_logprobs(fragments: Fragments, factors: Factors) -> Raw:
    """vLLM's `prompt_logprobs`: for each token of a prompt, itself and its alternatives by id; null for the first."""
    ranked = zip(_places(factors), factors.ranks, strict=True)
    return Raw(listed([b"null" if place.logprob is None else _by_id(fragments, place, rank) for place, rank in ranked]))


def offsets_of_prompt(served: ServedModel, prompt: Prompt) -> list[int]:
    """The character of the text that was sent at which each token begins. Symbols that were added take no characters."""
    ids = prompt.ids.tolist()
    if prompt.text is None:
        return Offsets(served, 0).before(ids)
    before, after = prompt.added
    own = ids[before : len(ids) - after]
    begins = [first for first, _ in served.tokenizer.spans(prompt.text, own).char_spans]
    return [0] * before + begins + [len(prompt.text)] * after


class Offsets:
    """Counts the characters before each token of a text that grows. hidden: symbols that take none."""

    def __init__(self, served: ServedModel, first: int, hidden: frozenset[int] = frozenset()) -> None:
        self._served, self._at, self._hidden = served, first, hidden
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def before(self, ids: list[int]) -> list[int]:
        """The character at which each of the next tokens begins. Of one within a character: where the character begins."""
        offsets = []
        for id in ids:
            offsets.append(self._at)
            if id not in self._hidden:
                self._at += len(self._decoder.decode(self._served.bytes_of(id)))
        return offsets


def _places(factors: Factors) -> Iterator[_Place]:
    alternatives = numbers([logprob for logprobs in factors.top_logprobs for logprob in logprobs])
    own, first = numbers(factors.logprobs), 0
    rows = zip(factors.ids, factors.logprobs, own, factors.top_ids, factors.top_logprobs, strict=True)
    for id, logprob, number, top_ids, top_logprobs in rows:
        stop = first + len(top_ids)
        yield _Place(id, logprob, number, top_ids, top_logprobs, alternatives[first:stop])
        first = stop


def _content(fragments: Fragments, places: list[_Place]) -> Raw:
    entries, objects = fragments.entries, []
    for id, logprob, number, top_ids, _, top_numbers in places:
        if logprob is None:
            objects.append(b"null")
            continue
        others = [entries[other] + its + b"}" for other, its in zip(top_ids, top_numbers, strict=True)]
        objects.append(entries[id] + number + b',"top_logprobs":[' + b",".join(others) + b"]}")
    return Raw(listed(objects))


def _by_name(fragments: Fragments, place: _Place) -> bytes:
    """The token itself first, then its alternatives. Clients look for the maximum, and take the first of equal ones."""
    id, logprob, number, top_ids, top_logprobs, top_numbers = place
    if logprob is None:
        return b"null"
    names = fragments.names
    if not top_ids or top_ids == [id]:
        return b"{" + names[id] + b":" + number + b"}"
    values = {names[id]: (logprob, number)}
    for other, its_logprob, its_number in zip(top_ids, top_logprobs, top_numbers, strict=True):
        if other != id:
            name = names[other]
            if name not in values or values[name][0] < its_logprob:
                values[name] = its_logprob, its_number
    return b"{" + b",".join([name + b":" + each for name, (_, each) in values.items()]) + b"}"


def _by_id(fragments: Fragments, place: _Place, rank: int | None) -> bytes:
    """The token itself, and its alternatives, with their ranks. Equally probable tokens have the same rank."""
    values = {place.id: _ranked(fragments, place.id, place.number, rank)}
    own = 0
    for number, (id, logprob) in enumerate(zip(place.top_ids, place.top_logprobs, strict=True)):
        if not number or logprob != place.top_logprobs[number - 1]:
            own = number + 1
        values.setdefault(id, _ranked(fragments, id, place.top_numbers[number], own))
    return b"{" + b",".join(values.values()) + b"}"


def _ranked(fragments: Fragments, id: int, number: bytes, rank: int | None) -> bytes:
    about = b'":{"logprob":%b,"rank":%d,"decoded_token":' % (number, rank)
    return b'"%d' % id + about + fragments.names[id] + b"}"
