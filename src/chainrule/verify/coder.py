"""An arithmetic coder: a code of a sequence that is as long as −log2 of its probability.

Each symbol narrows an interval to the part that its share of TOTAL gives it; the code is the shortest binary fraction in the
interval that is left. The interval is held as 64 bits, of which bytes that are settled leave at the front; a carry may still
run back through them. At least 56 bits are always in use, so a step costs less than 2^−24 of a bit beyond its symbol's share.

Source: Witten, Neal and Cleary, "Arithmetic coding for data compression", CACM 30 (1987); carries as in Martin's range coder.
"""

from __future__ import annotations

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.errors import InputError

TOTAL = 1 << 32  # what the counts of one distribution sum to
_WIDE, _LEAST = 1 << 64, 1 << 56


def shares(logprob_V: Floats) -> Ints:
    """Where each symbol's share of TOTAL begins, and TOTAL behind the last: V + 1. No share is below 1.

    A share is floor(p · (TOTAL − V)) + 1, so a symbol costs at most log2(TOTAL / (TOTAL − V)) bits more than −log2 p. What
    rounding leaves over goes to the most probable symbol.
    """
    size = len(logprob_V)
    if size >= TOTAL // 2:
        raise InputError(f"a vocabulary of {size} symbols is too large to be coded in counts that sum to 2^32")
    count_V = np.floor(np.exp(logprob_V) * (TOTAL - size)).astype(np.int64) + 1
    count_V[int(logprob_V.argmax())] += TOTAL - int(count_V.sum())
    if count_V.min() < 1:
        raise InputError("the distribution sums to more than 1, so it cannot be coded")
    return np.concatenate([[0], np.cumsum(count_V)])


class ArithmeticEncoder:
    """Symbols, each with the shares of its distribution, to bytes."""

    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, _WIDE, bytearray()

    def encode(self, symbol: int, shares_V1: Ints) -> None:
        """Narrow the interval to the symbol's share."""
        begin, end = int(shares_V1[symbol]), int(shares_V1[symbol + 1])
        step = self._range // TOTAL
        self._low += step * begin
        self._range = step * (end - begin)
        if self._low >= _WIDE:
            self._low -= _WIDE
            self._carry()
        while self._range < _LEAST:
            self._bytes.append(self._low >> 56)
            self._low = self._low << 8 & _WIDE - 1
            self._range <<= 8

    def finish(self) -> tuple[bytes, int]:
        """The code, and how many bits of it count; those that fill up its last byte are 0, and so is all behind it."""
        bits = 65 - self._range.bit_length()  # the least for which one such fraction at least lies in the interval
        grain = 1 << 64 - bits
        tail = -(-self._low // grain) * grain
        if tail >= _WIDE:
            tail -= _WIDE
            self._carry()
        return bytes(self._bytes) + tail.to_bytes(8, "big")[: -(-bits // 8)], 8 * len(self._bytes) + bits

    def _carry(self) -> None:
        place = len(self._bytes) - 1
        while self._bytes[place] == 255:
            self._bytes[place] = 0
            place -= 1
        self._bytes[place] += 1


class ArithmeticDecoder:
    """Bytes to symbols, given the same shares in the same order."""

    def __init__(self, code: bytes) -> None:
        self._code, self._next, self._range = code, 8, _WIDE
        self._value = int.from_bytes(code[:8].ljust(8, b"\0"), "big")  # the code less the interval's lower end

    @property
    def bits(self) -> int:
        """How many bits the code of the symbols so far has, as `ArithmeticEncoder.finish` counts them."""
        return 8 * (self._next - 8) + 65 - self._range.bit_length()

    def decode(self, shares_V1: Ints) -> int:
        """The next symbol. Raises InputError where no symbol has this code."""
        step = self._range // TOTAL
        place = self._value // step
        if place >= TOTAL:
            raise InputError("the code is damaged: it leaves the interval that its symbols gave")
        symbol = int(np.searchsorted(shares_V1, place, side="right")) - 1
        begin, end = int(shares_V1[symbol]), int(shares_V1[symbol + 1])
        self._value -= step * begin
        self._range = step * (end - begin)
        while self._range < _LEAST:
            byte = self._code[self._next] if self._next < len(self._code) else 0
            self._next += 1
            self._value = self._value << 8 | byte
            self._range <<= 8
        return symbol
