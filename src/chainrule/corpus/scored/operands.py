"""The operands of a condition, with their types, and what is computed from them as an Arrow expression.

Numbers are compared by their exact values: an integer column with a literal is never rounded. Two columns of which one has
fractions, or of which one is unsigned and the other signed, are compared as 64-bit floats. Arithmetic is that of 64-bit
floats; a column divided by zero is infinite or NaN.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.errors import InputError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.compute

NUMBER, TEXT, TRUTH, NONE, OTHER = "a number", "a text", "true or false", "None", "of another type"

ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ARITHMETIC: dict[str, tuple[Callable[[Any, Any], Any], str]] = {  # of Python, and of Arrow
    "+": (operator.add, "add"),
    "-": (operator.sub, "subtract"),
    "*": (operator.mul, "multiply"),
    "/": (operator.truediv, "divide"),  # not divide_checked, which raises for a zero
}


@dataclass(frozen=True)
class Operand:
    """A literal, if `expression` is None, with its `value`; otherwise a column, or what is computed from columns."""

    shown: str  # its source text
    kind: str
    expression: pyarrow.compute.Expression | None = None
    type: pyarrow.DataType | None = None
    value: Any = None

    def described(self) -> str:
        return f"{self.shown} ({f'of type {self.type}' if self.kind == OTHER else self.kind})"


def literal(value: Any, shown: str) -> Operand:
    """Raises InputError for a value that is no number, text, truth value or None."""
    kinds = {bool: TRUTH, int: NUMBER, float: NUMBER, str: TEXT, type(None): NONE}
    if type(value) not in kinds:
        raise InputError(f"{shown} is not supported: use numbers, texts, True, False and None")
    if isinstance(value, str) and not _is_text(value):
        raise InputError(f"{shown} contains half a character, which no text contains: use whole characters")
    return Operand(shown, kinds[type(value)], value=value)


def column(field: pyarrow.compute.Expression, kind: pyarrow.DataType, shown: str) -> Operand:
    """A column of the table, or a field of a struct."""
    import pyarrow as pa

    t = pa.types
    values = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    if values != kind:
        field = field.cast(values)
    if t.is_boolean(values):
        return Operand(shown, TRUTH, field, values)
    if t.is_integer(values) or t.is_floating(values):
        return Operand(shown, NUMBER, field, values)
    if t.is_decimal(values):
        return Operand(shown, NUMBER, field.cast(pa.float64(), safe=False), pa.float64())
    if t.is_string(values):
        return Operand(shown, TEXT, field, values)
    if t.is_large_string(values):  # the comparisons take two texts of one type
        return Operand(shown, TEXT, field.cast(pa.string()), pa.string())
    return Operand(shown, OTHER, field, kind)


def truth(expression: Any, shown: str) -> Operand:
    """A condition. expression: a bool, or an Arrow expression."""
    import pyarrow as pa

    if isinstance(expression, bool):
        return Operand(shown, TRUTH, value=expression)
    return Operand(shown, TRUTH, expression, pa.bool_())


def as_condition(operand: Operand) -> pyarrow.compute.Expression:
    """Raises InputError if it is no condition."""
    import pyarrow.compute as pc

    if operand.kind != TRUTH:
        raise InputError(
            f"{operand.described()} is no condition: compare it with something, as in tokens > 10 or error is None"
        )
    return pc.scalar(operand.value) if operand.expression is None else operand.expression


def compare(left: Operand, sign: str, right: Operand, shown: str) -> Operand:
    """A comparison by <, <=, >, >=, == or !=. It is null where an operand is. Raises InputError."""
    if NONE in (left.kind, right.kind):
        raise InputError(f"{shown}: {sign} does not compare with None: write `is None` or `is not None`")
    if left.kind != right.kind or left.kind == OTHER:
        remedy = "only `is None` and `is not None` are possible" if OTHER in (left.kind, right.kind) else "compare equal types"
        raise InputError(f"{left.described()} cannot be compared with {right.described()}: {remedy}")
    if left.kind == TRUTH and sign not in ("==", "!="):
        raise InputError(f"{shown}: values that are true or false have no order: use == or !=")
    if left.expression is None and right.expression is None:
        return truth(ORDER[sign](left.value, right.value), shown)
    pair = _as_numbers(left, right) if left.kind == NUMBER else (_plain(left), _plain(right))
    return truth(ORDER[sign](*pair), shown)


def among(item: Operand, members: Sequence[Operand], shown: str) -> Operand:
    """Whether a value is one of some literals. It is null where the value is. Raises InputError."""
    import pyarrow as pa

    for member in members:
        if member.kind == NONE:
            raise InputError(f"{shown}: None in a list is not supported: write `or {item.shown} is None`")
        if member.kind != item.kind or member.kind == OTHER:
            raise InputError(f"{item.described()} cannot be compared with {member.described()}: list values of its type")
    values = [member.value for member in members if member.value == member.value]  # Arrow would find a NaN
    if item.expression is None:
        return truth(item.value in values, shown)
    expression = item.expression
    if item.kind == NUMBER and pa.types.is_integer(item.type):
        array = pa.array([int(v) for v in values if _fits(v, item.type)], item.type)
    elif item.kind == NUMBER:
        expression = expression.cast(pa.float64(), safe=False)
        zeros = [-0.0] * (0 in values)  # Arrow distinguishes the two zeros here
        array = pa.array([_as_float(v) for v in values] + zeros, pa.float64())
    else:
        array = pa.array(values, item.type)
    null = pa.scalar(None, pa.bool_())
    return truth(_applied("if_else", expression.is_null(), null, expression.isin(array)), shown)


def arithmetic(left: Operand, sign: str, right: Operand, shown: str) -> Operand:
    """A sum, difference, product or quotient. Raises InputError."""
    import pyarrow as pa

    for each in (left, right):
        if each.kind != NUMBER:
            raise InputError(f"{shown}: {each.described()} is not a number, so {sign} cannot be applied to it")
    python, arrow = _ARITHMETIC[sign]
    if left.expression is None and right.expression is None:
        try:
            return literal(python(left.value, right.value), shown)
        except ArithmeticError as error:
            raise InputError(f"{shown} cannot be computed: {error}; write the number itself") from None
    return Operand(shown, NUMBER, _applied(arrow, _double(left), _double(right)), pa.float64())


def length(text: Operand, shown: str) -> Operand:
    """The number of characters (code points) of a text. Raises InputError."""
    import pyarrow as pa

    if text.kind != TEXT:
        raise InputError(f"{shown}: {text.described()} is not a text, so it has no length in characters")
    if text.expression is None:
        return literal(len(text.value), shown)
    return Operand(shown, NUMBER, _applied("utf8_length", text.expression), pa.int32())


def _as_numbers(left: Operand, right: Operand) -> tuple[Any, Any]:
    """Two numbers, of which one is no literal, in a type that they share."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if left.expression is None:
        return tuple(reversed(_as_numbers(right, left)))
    kind = left.type
    if right.expression is None and pa.types.is_integer(kind) and float(_as_float(right.value)).is_integer():
        if _fits(right.value, kind):
            return left.expression, pc.scalar(pa.scalar(int(right.value), kind))
        return _double(left), pc.scalar(math.inf if right.value > 0 else -math.inf)  # beyond all values of the column
    if right.expression is not None and pa.types.is_integer(kind) and pa.types.is_integer(right.type):
        signed = {pa.types.is_signed_integer(each) for each in (kind, right.type)}
        if len(signed) == 1:
            wide = pa.int64() if True in signed else pa.uint64()
            return left.expression.cast(wide), right.expression.cast(wide)
    return _double(left), _double(right)


def _fits(value: float, kind: pyarrow.DataType) -> bool:
    """Whether a number is a value of an integer type."""
    if isinstance(value, float) and not value.is_integer():
        return False
    import pyarrow as pa

    signed = pa.types.is_signed_integer(kind)
    low, high = (-(1 << kind.bit_width - 1), (1 << kind.bit_width - 1) - 1) if signed else (0, (1 << kind.bit_width) - 1)
    return low <= int(value) <= high


def _double(operand: Operand) -> Any:
    """A number as a 64-bit float."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if operand.expression is None:
        return pc.scalar(_as_float(operand.value))
    # Unsafe: a large integer is rounded, and a safe cast would raise for it.
    return operand.expression if operand.type == pa.float64() else operand.expression.cast(pa.float64(), safe=False)


def _applied(name: str, *arguments: Any) -> pyarrow.compute.Expression:
    """A function of Arrow, which makes these functions only when it is imported."""
    import pyarrow.compute as pc

    return getattr(pc, name)(*arguments)


def _plain(operand: Operand) -> Any:
    import pyarrow.compute as pc

    return pc.scalar(operand.value) if operand.expression is None else operand.expression


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
