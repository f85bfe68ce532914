"""The formulas of predictions in suites, such as (6;%match%) < (6;%mismatch%) & (4;%a%) - (4;%b%) > 0.

    either      = comparison (("&" | "|") comparison)*
    comparison  = sum (("<" | ">" | "=") sum)?
    sum         = term (("+" | "-") term)*
    term        = region | number | "-" term | "(" either ")" | "[" either "]"
    region      = "(" (number | "*") ";%" condition "%" ")"

A region stands for its surprisal in bits, and * for the sum of all regions of a condition. "=" is equality up to 0.001 bits and
a relative difference of 1e-5. "&" and "|" apply from left to right, and so do "+" and "-". All this is as in SyntaxGym. A
formula is true or false: comparisons are joined by "&" and "|", numbers by "+", "-" and comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from chainrule.errors import InputError, short

_ABSOLUTE, _RELATIVE = 1e-3, 1e-5  # of "="
_DEEPEST = 50  # parentheses
_TOKEN = re.compile(
    r"\(\s*(?P<region>\d{1,9}|\*)\s*;\s*%(?P<condition>[^%]+)%\s*\)|(?P<number>\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+)|(?P<sign>[()\[\]<>=&|+-])"
)

Surprisal = Callable[["Region"], float]  # the surprisal of a region, in bits


@dataclass(frozen=True)
class Region:
    """A region of a condition; number None: all regions. `character` is where it is in the formula, from 1."""

    number: int | None
    condition: str
    character: int

    def value(self, surprisal: Surprisal) -> float:
        return surprisal(self)


@dataclass(frozen=True)
class Number:
    """A number of bits."""

    number: float

    def value(self, surprisal: Surprisal) -> float:
        return self.number


@dataclass(frozen=True)
class Operation:
    """Two operands and one of < > = & | + -."""

    sign: str
    left: Node
    right: Node

    def value(self, surprisal: Surprisal) -> float:
        """A number of bits; for comparisons, "&" and "|" true or false."""
        left, right = self.left.value(surprisal), self.right.value(surprisal)
        return _OPERATIONS[self.sign](left, right)


Node: TypeAlias = Region | Number | Operation


def _equal(left: float, right: float) -> bool:
    return left == right or abs(left - right) <= _ABSOLUTE + _RELATIVE * abs(right)


_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "=": _equal,
    "&": lambda left, right: bool(left) and bool(right),
    "|": lambda left, right: bool(left) or bool(right),
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
}


@dataclass(frozen=True)
class Formula:
    """A formula that has been read."""

    text: str
    root: Operation
    regions: tuple[Region, ...]  # all that it names

    def holds(self, surprisal: Surprisal) -> bool:
        """Whether it is true."""
        return bool(self.root.value(surprisal))


def parse(text: str) -> Formula:
    """Read a formula. Raises InputError, with the character from 1 at which it cannot be read."""
    parser = _Parser(text)
    root = parser.either(0)
    if parser.at < len(parser.tokens):
        raise parser.error("expected an operator or the end")
    if not isinstance(root, Operation) or root.sign in "+-":
        raise InputError(f"character 1: {short(text)} is a number, not a comparison with <, > or =")
    return Formula(text, root, tuple(parser.regions))


class _Parser:
    """Recursive descent over the tokens of a formula."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.tokens: list[re.Match[str]] = []
        self.regions: list[Region] = []
        end = 0
        while rest := text[end:].lstrip():
            end = len(text) - len(rest)
            match = _TOKEN.match(text, end)
            if match is None:
                raise InputError(
                    f"character {end + 1}: {short(rest[:10])} is no part of a formula; a region is (6;%condition%)"
                )
            self.tokens.append(match)
            end = match.end()

    def either(self, depth: int) -> Node:
        return self._joined("&|", self.comparison, depth, truth=True)

    def comparison(self, depth: int) -> Node:
        left = self.sum(depth)
        begin = self.character
        if sign := self._take("<>="):
            left = Operation(sign, self._number(left, sign, begin), self._number(self.sum(depth), sign, begin))
            if self._sign() and self._sign() in "<>=":
                raise self.error("a comparison has two sides: join two comparisons with &")
        return left

    def sum(self, depth: int) -> Node:
        return self._joined("+-", self.term, depth, truth=False)

    def term(self, depth: int) -> Node:
        if self.at == len(self.tokens):
            raise self.error("expected a region, such as (6;%condition%), a number or a parenthesis")
        match, character = self.tokens[self.at], self.character
        if match["region"]:
            self.at += 1
            number = None if match["region"] == "*" else int(match["region"])
            self.regions.append(Region(number, match["condition"], character))
            return self.regions[-1]
        if match["number"]:
            self.at += 1
            return Number(float(match["number"]))
        if self._take("-"):
            return Operation("-", Number(0.0), self._number(self.term(depth), "-", character))
        if opening := self._take("(["):
            closing = ")" if opening == "(" else "]"
            if depth == _DEEPEST:
                raise InputError(f"character {character}: more than {_DEEPEST} parentheses are open")
            inner = self.either(depth + 1)
            if not self._take(closing):
                raise self.error(f"expected {closing}, which closes the {opening} at character {character}")
            return inner
        raise self.error("expected a region, such as (6;%condition%), a number or a parenthesis")

    def _joined(self, signs: str, part: Callable[[int], Node], depth: int, truth: bool) -> Node:
        left, check = part(depth), self._truth if truth else self._number
        while True:
            begin = self.character
            if not (sign := self._take(signs)):
                return left
            left = Operation(sign, check(left, sign, begin), check(part(depth), sign, begin))

    def _number(self, node: Node, sign: str, character: int) -> Node:
        if isinstance(node, Operation) and node.sign not in "+-":
            raise InputError(f"character {character}: {sign} joins numbers, not comparisons")
        return node

    def _truth(self, node: Node, sign: str, character: int) -> Node:
        if not isinstance(node, Operation) or node.sign in "+-":
            raise InputError(f"character {character}: {sign} joins comparisons, not numbers")
        return node

    def _sign(self) -> str:
        return (self.tokens[self.at]["sign"] or "") if self.at < len(self.tokens) else ""

    def _take(self, signs: str) -> str:
        sign = self._sign()
        if not sign or sign not in signs:
            return ""
        self.at += 1
        return sign

    @property
    def character(self) -> int:
        """Where the next token begins, from 1."""
        return (self.tokens[self.at].start() if self.at < len(self.tokens) else len(self.text)) + 1

    def error(self, expected: str) -> InputError:
        found = "the end" if self.at == len(self.tokens) else short(self.tokens[self.at][0])
        return InputError(f"character {self.character}: {expected}, not {found}")
