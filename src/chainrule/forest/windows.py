"""Texts longer than the model's context: overlapping windows that score every token exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Window(NamedTuple):
    """The body tokens [begin, stop) follow the start symbol. This window computes the factors of [first, stop)."""

    begin: int
    first: int
    stop: int


def windows(first: int, length: int, rows: int, stride: int, start_symbol: bool) -> list[Window]:
    """Split a body of `length` tokens into windows that score the tokens [first, length).

    A window feeds the model at most `rows` embeddings (the start symbol, if there is one, and all body tokens but the
    last) and advances by `stride` tokens. So a token is conditioned on as many of the tokens before it as fit, never
    fewer than rows − stride (less one for the start symbol) once that many exist.
    """
    return list(each_window(first, length, rows, stride, start_symbol))


def each_window(first: int, length: int, rows: int, stride: int, start_symbol: bool) -> Iterator[Window]:
    """`windows` one by one, for a claimed length that may be very large."""
    body = rows if start_symbol else rows + 1  # tokens a window can span: the last one is predicted, never fed
    if length <= body:
        yield Window(0, first, length)
        return
    done = first
    stop = max(body, min(first + stride, length))  # the first window sees all tokens before it
    while done < length:
        yield Window(stop - body, done, stop)
        done, stop = stop, min(stop + stride, length)
