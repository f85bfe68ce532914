"""An arithmetic coder: the length of a code is −log2 of the probability of its sequence.

Each symbol narrows an interval in proportion to its share of TOTAL; the code is the shortest binary fraction in the final
interval. The interval has 64 bits. Its leading bytes are output as soon as they are known; only a carry may still propagate
back through them. At least 56 bits are always in use, so a symbol costs less than 2^−24 bits over its share.

Source: Witten, Neal and Cleary, "Arithmetic coding for data compression", CACM 30 (1987); carries as in Martin's range coder.
"""

from __future__ import annotations

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.errors import InputError

TOTAL = 1 << 32  # the sum of the counts of one distribution
_WIDE, _LEAST = 1 << 64, 1 << 56


def shares(logprob_V: Floats) -> Ints:
    """The start of each symbol's share of TOTAL, followed by TOTAL: V + 1. No share is below 1.

    A share is floor(p · (TOTAL − V)) + 1, so a symbol costs at most log2(TOTAL / (TOTAL − V)) bits more than −log2 p. The
    remainder from rounding goes to the most probable symbol. Raises InputError if the probabilities sum to more than 1.
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
    """Encodes symbols, each with the shares of its distribution, to bytes."""

    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, _WIDE, bytearray()

    def encode(self, symbol: int, shares_V1: Ints) -> None:
        """Narrow the interval to the symbol's share."""
        begin, end = int(shares_V1[symbol]), int(shares_V1[symbol + 1])
        share = self._range // TOTAL
        self._low += share * begin
        self._range = share * (end - begin)
        if self._low >= _WIDE:
            self._low -= _WIDE
            self._carry()
        while self._range < _LEAST:
            self._bytes.append(self._low >> 56)
            self._low = self._low << 8 & _WIDE - 1
            self._range <<= 8

    def finish(self) -> tuple[bytes, int]:
        """The code and its number of bits. The bits that pad its last byte are 0; a decoder reads any further bits as 0."""
        bits = 65 - self._range.bit_length()  # the fewest for which such a fraction lies in the interval
        grain = 1 << 64 - bits
        tail = -(-self._low // grain) * grain
        if tail >= _WIDE:
            tail -= _WIDE
            self._carry()
        return bytes(self._bytes) + tail.to_bytes(8, "big")[: -(-bits // 8)], 8 * len(self._bytes) + bits

    def _carry(self) -> None:
        i = len(self._bytes) - 1
        while self._bytes[i] == 255:
            self._bytes[i] = 0
            i -= 1
        self._bytes[i] += 1


class ArithmeticDecoder:
    """Decodes bytes to symbols, given the same shares in the same order."""

    def __init__(self, code: bytes) -> None:
        self._code, self._next, self._range = code, 8, _WIDE
        self._value = int.from_bytes(code[:8].ljust(8, b"\0"), "big")  # the code minus the lower end of the interval

    @property
    def bits(self) -> int:
        """The number of bits of the code of the symbols so far, as `ArithmeticEncoder.finish` counts them."""
        return 8 * (self._next - 8) + 65 - self._range.bit_length()

    def decode(self, shares_V1: Ints) -> int:
        """The next symbol. Raises InputError if no symbol has this code."""
        share = self._range // TOTAL
        count = self._value // share
        if count >= TOTAL:
            raise InputError("the code is damaged: it lies outside the interval of its symbols")
        symbol = int(np.searchsorted(shares_V1, count, side="right")) - 1
        begin, end = int(shares_V1[symbol]), int(shares_V1[symbol + 1])
        self._value -= share * begin
        self._range = share * (end - begin)
        while self._range < _LEAST:
            byte = self._code[self._next] if self._next < len(self._code) else 0
            self._next += 1
            self._value = self._value << 8 | byte
            self._range <<= 8
        return symbol
