"""Alignment of tokens with a text that they do not spell: lower case, no accents, NFKC, lost spaces, unknown words.

Both sides are *folded*: compatibility forms are decomposed, accents, case and spaces are dropped, and each remaining byte
keeps the range of bytes that it came from. Tokens whose folded bytes come next in the folded text are *placed*, from left
to right. The rest of the text is divided among the tokens between two placed ones.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise, takewhile
from typing import TypeGuard

Span = tuple[int, int]

_SPACES = re.compile(r"\s*")
_WORD = re.compile(r"\s*\S*")

_NEAR = 64  # bytes ahead in which a token is searched: few characters are dropped
_FAR = 4096  # the same after an unknown token, which may cover a long word


def match(text: str, pieces: Sequence[bytes], offsets: Sequence[Span] | None = None) -> list[Span]:
    """The best estimate of the byte spans of the pieces: ordered, and within the text.

    `offsets` (in characters) help where a piece is unknown or does not come next in the text.
    """
    raw, folded = text.encode(), _Folded.of(text)
    groups = list(_groups(pieces))
    hints = None if offsets is None else _byte_offsets(text, offsets)
    _place(groups, folded, hints)
    _fill(groups, raw, hints)
    return [span for group in groups for span in _split(group, raw, folded)]


@dataclass
class _Group:
    """The smallest run of tokens that holds whole characters, usually one token."""

    first: int  # rank of its first token
    pieces: list[bytes]
    text: str
    unit: int | None = None  # the offset of its folded bytes in the folded text, once placed
    begin: int = 0  # its bytes in the text
    end: int = 0


def _groups(pieces: Sequence[bytes]) -> Iterator[_Group]:
    run: list[bytes] = []
    for rank, piece in enumerate(pieces):
        run.append(piece)
        if not _breaks_off(joined := b"".join(run)) or rank == len(pieces) - 1:
            yield _Group(rank + 1 - len(run), run, joined.decode("utf-8", "replace"))
            run = []


def _breaks_off(raw: bytes) -> bool:
    """Whether the bytes are valid UTF-8 that ends within a character."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


@dataclass(frozen=True)
class _Folded:
    """A text without case, accents and spaces, in UTF-8; byte k of `data` came from the bytes begin[k] to end[k]."""

    data: bytes
    begin: list[int]
    end: list[int]

    @classmethod
    def of(cls, text: str) -> "_Folded":
        data, begin, end, at = bytearray(), list[int](), list[int](), 0
        for character in text:
            raw, fold = character.encode(), _fold(character)
            data += fold
            if fold == raw:  # byte for byte, so that a token may hold a part of it
                begin += range(at, at + len(raw))
                end += range(at + 1, at + len(raw) + 1)
            else:
                begin += [at] * len(fold)
                end += [at + len(raw)] * len(fold)
            at += len(raw)
        return cls(bytes(data), begin, end)


@lru_cache(maxsize=65536)
def _fold(character: str) -> bytes:
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(part for part in parts if not unicodedata.combining(part) and not part.isspace()).encode()


def _byte_offsets(text: str, offsets: Sequence[Span]) -> list[Span]:
    at = [0]
    for character in text:
        at.append(at[-1] + len(character.encode()))
    return [(at[min(begin, len(text))], at[min(end, len(text))]) for begin, end in offsets]


def _place(groups: Sequence[_Group], folded: _Folded, hints: Sequence[Span] | None) -> None:
    """Find the groups in the folded text, from left to right. A group that is not found is not placed."""
    at, unknown = 0, False
    for group in groups:
        key = _Folded.of(group.text).data
        if key:
            hint = None if hints is None else bisect_left(folded.begin, hints[group.first][0])
            group.unit = _find(folded.data, key, at, hint, unknown)
        if group.unit is None:
            unknown |= not group.text
            continue
        at, unknown = group.unit + len(key), False
        group.begin, group.end = folded.begin[group.unit], folded.end[at - 1]


def _find(data: bytes, key: bytes, at: int, hint: int | None, unknown: bool) -> int | None:
    """The offset of the key at or after `at`. It is `at` itself unless an unknown token comes first and takes some text."""
    if not unknown and data.startswith(key, at):
        return at
    if hint is not None and hint >= at and data.startswith(key, hint):
        return hint
    near = data.find(key, at + unknown, at + len(key) + (_FAR if unknown else _NEAR))
    if near < 0 and data.startswith(key, at):
        return at
    return near if near >= 0 else None


def _fill(groups: Sequence[_Group], raw: bytes, hints: Sequence[Span] | None) -> None:
    """Divide each stretch of text between two placed groups among the groups there."""
    at, unplaced, before = 0, list[_Group](), None
    for group in groups:
        if group.unit is None:
            unplaced.append(group)
            continue
        _share(raw, (at, group.begin), before, unplaced, group, hints)
        at, unplaced, before = group.end, [], group
    _share(raw, (at, len(raw)), before, unplaced, None, hints)


def _share(
    raw: bytes,
    gap: Span,
    before: _Group | None,
    unplaced: Sequence[_Group],
    after: _Group | None,
    hints: Sequence[Span] | None,
) -> None:
    """Divide a gap among the unplaced groups in it and the placed groups on either side.

    A token spelled with a leading space takes the spaces before it; one with a trailing space takes those after it. An
    accent goes with its letter. Text that no token covers is left unassigned.
    """
    at, stop = gap
    if before is not None:
        at += _size(_tail(before, raw[at:stop].decode(), alone=not unplaced))
        before.end = max(before.end, at)
    rest, read = raw[at:stop].decode(), 0
    last_unknown = max((rank for rank, group in enumerate(unplaced) if not group.text.isspace()), default=-1)
    for rank, group in enumerate(unplaced):
        follower = unplaced[rank + 1] if rank + 1 < len(unplaced) else after
        hint = None if hints is None else hints[group.first][1]
        if group.text.isspace():  # its own length, or all of it if no other group needs it
            wanted = _spaced(follower) or follower is not after
            part = _leading(_SPACES, rest, read)[: len(group.text) if wanted else None]
        elif hint is not None and at <= hint <= stop:
            part = raw[at:hint].decode()
        elif rank < last_unknown:
            part = _leading(_WORD, rest, read)
        else:
            part = rest[read:].rstrip() if _spaced(follower) else rest[read:]
        group.begin = min(at, stop)  # stop < at: both placed groups are parts of one character, and so is this one
        group.end = at = at + _size(part)
        read += len(part)
    if _spaced(after) and rest[read:].isspace():
        after.begin = at


def _leading(pattern: re.Pattern[str], text: str, at: int = 0) -> str:
    match = pattern.match(text, at)
    return match[0] if match else ""


def _tail(group: _Group, rest: str, alone: bool) -> str:
    """The text after a placed group that belongs to it: spaces, if it is spelled with them, and accents."""
    if group.text[-1:].isspace():
        return _leading(_SPACES, rest)
    marks = takewhile(unicodedata.combining, rest)
    return "".join(marks) if alone else ""


def _spaced(group: _Group | None) -> TypeGuard[_Group]:
    return group is not None and group.text[:1].isspace()


def _size(text: str) -> int:
    return len(text.encode())


def _split(group: _Group, raw: bytes, folded: _Folded) -> list[Span]:
    """The spans of the tokens of a group, which may hold parts of characters."""
    bounds = [*accumulate(map(len, group.pieces), initial=group.begin)]
    ranges = list(pairwise(bounds))
    if len(ranges) == 1:
        return [(group.begin, group.end)]
    if raw[group.begin : group.end] == b"".join(group.pieces):
        return ranges
    if group.unit is None:
        one = len(raw[group.begin : group.end].decode()) == 1
        return [(group.begin, group.end)] + [(group.begin if one else group.end, group.end)] * (len(ranges) - 1)
    own, last, spans = _Folded.of(group.text), 0, list[Span]()
    for start, stop in ((start - group.begin, stop - group.begin) for start, stop in ranges):
        units = [k for k in range(len(own.data)) if own.begin[k] < stop and own.end[k] > start] or [last]
        last = units[-1]
        spans.append((folded.begin[group.unit + units[0]], folded.end[group.unit + last]))
    return [(group.begin, spans[0][1]), *spans[1:-1], (spans[-1][0], group.end)]
