"""Texts longer than the model's context: overlapping windows that score every token exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Window(NamedTuple):
    """The body tokens [begin, stop) stand behind the start symbol; the factors of [first, stop) are this window's own."""

    begin: int
    first: int
    stop: int


def windows(first: int, length: int, rows: int, stride: int, start_symbol: bool) -> list[Window]:
    """Cut a body of `length` tokens, of which [first, length) are to be scored, into windows.

    A window feeds the model at most `rows` embeddings (the start symbol, where there is one, and all body tokens but the
    last) and moves on by `stride` tokens. So a token is conditioned on as many of the tokens before it as fit, never
    fewer than rows − stride (less one for the start symbol) once that many exist.
    """
    return list(each_window(first, length, rows, stride, start_symbol))


def each_window(first: int, length: int, rows: int, stride: int, start_symbol: bool) -> Iterator[Window]:
    """The same, one by one: for a length that is only claimed, and may be endless."""
    body = rows if start_symbol else rows + 1  # tokens a window can span: the last one is predicted, never fed
    if length <= body:
        yield Window(0, first, length)
        return
    done = first
    stop = max(body, min(first + stride, length))  # the first window has everything before it to look at
    while done < length:
        yield Window(stop - body, done, stop)
        done, stop = stop, min(stop + stride, length)
