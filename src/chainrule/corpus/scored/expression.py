"""Conditions on the rows of a table: "bits_per_byte < 1.2 and lang == 'en'".

A condition has the syntax of a Python expression, and is translated to an Arrow expression; nothing is evaluated as Python.
It has names of columns (a.b for a field of a struct, col("my column") for any name), numbers, texts, True, False, comparisons,
`in` and `not in` with a list, `is None` and `is not None`, and, or, not, + - * / and length(column), in characters.

A comparison with null is unknown, as in SQL, and so are `not` and arithmetic of what is unknown. Only a row for which the
condition is true is selected. So a row with an error is not selected by `bits_per_byte < 1`, nor by `not bits_per_byte < 1`,
but by `error is not None`. NaN and infinities compare as floats do.
"""

from __future__ import annotations

import ast
import operator
import re
import unicodedata
import warnings
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

from chainrule.corpus.scored import operands
from chainrule.corpus.scored.operands import Operand
from chainrule.corpus.scored.parts import find_column, unknown_column
from chainrule.errors import InputError, short

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    import pyarrow.compute

_LONGEST = 50_000  # characters
_DEEPEST = 60  # levels, so that no step below runs out of stack
_SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
}  # fmt: skip
_SUPPORTED = "use columns, literals, comparisons, in, is None, and, or, not, + - * / and length(column)"


class Condition:
    """A condition on the rows of all tables with a schema."""

    def __init__(self, text: str, schema: pyarrow.Schema) -> None:
        """Raises InputError if the condition cannot be read, or cannot be applied to tables of this schema.

        `expression` is the Arrow expression, for `Table.filter`, and `columns` are the columns that it uses.
        """
        self.text = text
        translation = _Translation(text, schema)
        try:
            self.expression: pyarrow.compute.Expression = translation.condition()
            self.columns: tuple[str, ...] = tuple(translation.columns)
            if not self.columns:
                raise InputError(
                    f"it names no column, so it is the same for all rows: name one of {', '.join(schema.names)[:200]}"
                )
            _check(self, schema)
        except InputError as error:
            raise InputError(f"the condition {short(text)}: {error.reason}") from None

    def mask(self, rows: pyarrow.Table) -> np.ndarray:
        """Whether the condition is true, for each row."""
        import numpy as np

        place = "row"
        while place in self.columns:
            place += "_"
        # Only the columns that are used, so that columns of any type can be beside them.
        numbered = rows.select(list(self.columns)).append_column(place, [np.arange(rows.num_rows)])
        mask = np.zeros(rows.num_rows, bool)
        mask[numbered.filter(self.expression)[place].to_numpy()] = True
        return mask

    def filter(self, rows: pyarrow.Table) -> pyarrow.Table:
        """The rows for which the condition is true, in their order."""
        import pyarrow

        return rows.filter(pyarrow.array(self.mask(rows)))


def _check(condition: Condition, schema: pyarrow.Schema) -> None:
    """Apply the condition to no rows, so that a mistake is found before a long run."""
    import pyarrow

    try:
        condition.filter(schema.empty_table())
    except pyarrow.ArrowException as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"it cannot be applied to these columns: {reason[:200]}; leave out columns of such types") from None


class _Translation:
    """The operands of a syntax tree, from the leaves to the root."""

    def __init__(self, text: str, schema: pyarrow.Schema) -> None:
        self._text, self._schema = text, schema
        # As ast.get_source_segment, which splits the text again for each node
        self._lines = [line.encode("utf-8", "surrogatepass") for line in re.split("\r\n|\r|\n", _bracketed(text))]
        self.columns: dict[str, None] = {}

    def condition(self) -> pyarrow.compute.Expression:
        return operands.as_condition(self._of(_parsed(self._text), 1))

    def _of(self, node: ast.expr, depth: int) -> Operand:
        if depth > _DEEPEST:
            raise InputError(f"it is nested more than {_DEEPEST} levels deep: use fewer brackets, or `in` with a list")
        below: Callable[[ast.expr], Operand] = lambda child: self._of(child, depth + 1)  # noqa: E731
        shown = self._shown(node)
        match node:
            case ast.Constant():
                return operands.literal(node.value, shown)
            case ast.Name() | ast.Attribute():
                return self._column(_path(node, shown), shown)
            case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str(name))], keywords=[]):
                return self._column([name], shown)
            case ast.Call(func=ast.Name(id="length"), args=[argument], keywords=[]):
                return operands.length(below(argument), shown)
            case ast.BoolOp():
                join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
                return operands.truth(_balanced(join, [operands.as_condition(below(value)) for value in node.values]), shown)
            case ast.UnaryOp(op=ast.Not()):
                return operands.truth(~operands.as_condition(below(node.operand)), shown)
            case ast.UnaryOp(op=ast.USub()):
                return operands.arithmetic(operands.literal(-1, "-"), "*", below(node.operand), shown)
            case ast.BinOp() if type(node.op) in _SIGNS:
                return operands.arithmetic(below(node.left), _SIGNS[type(node.op)], below(node.right), shown)
            case ast.Compare():
                return self._comparison(node, below, shown)
        raise InputError(f"{shown} is not supported: {_remedy(node)}")

    def _comparison(self, node: ast.Compare, below: Callable[[ast.expr], Operand], shown: str) -> Operand:
        """Comparisons, of which each links two neighbours: 0.5 < bits_per_byte < 1.2."""
        found, left = [], below(node.left)
        for sign, member in zip(node.ops, node.comparators, strict=True):
            if isinstance(sign, ast.In | ast.NotIn):
                if not isinstance(member, ast.Tuple | ast.List):
                    raise InputError(f"{shown}: in needs a list, as in lang in ('en', 'de')")
                right = left
                own = operands.among(left, [_literal(below(item)) for item in member.elts], shown)
            else:
                right = below(member)
                own = _is_none(left, right, shown) if isinstance(sign, ast.Is | ast.IsNot) else operands.compare(
                    left, _SIGNS[type(sign)], right, shown
                )  # fmt: skip
            expression = operands.as_condition(own)
            found.append(~expression if isinstance(sign, ast.NotIn | ast.IsNot) else expression)
            left = right
        return operands.truth(reduce(operator.and_, found), shown)

    def _column(self, path: list[str], shown: str) -> Operand:
        import pyarrow
        import pyarrow.compute as pc

        name = self._spelled(path[0])
        kind = find_column(self._schema, name).type
        self.columns[name] = None
        for number, part in enumerate(path[1:], 1):
            before = ".".join(path[:number])
            if not pyarrow.types.is_struct(kind):
                raise InputError(f"{shown}: {before} has type {kind}, which has no fields: name a column, or col({shown!r})")
            fields = [kind.field(i).name for i in range(kind.num_fields)]
            if part not in fields:
                raise InputError(f"{unknown_column(part, fields)} (of {before})")
            kind = kind.field(fields.index(part)).type
        return operands.column(pc.field(name, *path[1:]), kind, shown)

    def _spelled(self, name: str) -> str:
        """The column of this name. Python reads names in their form NFKC, so a column may have another form of it."""
        if name in self._schema.names:
            return name
        same = [each for each in self._schema.names if unicodedata.normalize("NFKC", each) == name]
        return same[0] if len(same) == 1 else name

    def _shown(self, node: ast.expr) -> str:
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines = self._lines[first : last + 1]
        lines[-1] = lines[-1][: node.end_col_offset]  # before the first, which may be the same line
        lines[0] = lines[0][node.col_offset :]
        source = b"\n".join(lines).decode()
        return source if len(source) <= 60 else source[:57] + "…"


def _parsed(text: str) -> ast.expr:
    """The syntax tree. Raises InputError."""
    if not text.strip():
        raise InputError("it is empty: write a comparison, as in bits_per_byte < 1.2")
    if len(text) > _LONGEST:
        raise InputError(f"it has {len(text)} characters, more than {_LONGEST}: join a table with the wanted values instead")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that of an unknown escape
            return ast.parse(_bracketed(text), mode="eval").body
    except SyntaxError as error:
        place = (error.offset or 0) - 1 if error.lineno == 1 else 0  # without the bracket
        where = f" (character {place})" if place > 0 else ""
        raise InputError(
            f"it is no expression{where}: {error.msg}; {_SUPPORTED}; other names are written col('my column')"
        ) from None
    except (RecursionError, MemoryError):
        raise InputError("it is nested too deeply: use fewer brackets, or `in` with a list") from None
    except ValueError:
        raise InputError("it contains a zero byte or half a character: remove it") from None


def _bracketed(text: str) -> str:
    """In brackets, an expression may have several lines, and begin with spaces."""
    return f"({text}\n)"


def _path(node: ast.Name | ast.Attribute, shown: str) -> list[str]:
    """The names of a.b.c."""
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        names.append(inner.attr)
        inner = inner.value
    match inner:
        case ast.Name():
            names.append(inner.id)
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str(name))], keywords=[]):
            names.append(name)
        case _:
            raise InputError(f"{shown} is not supported: {_SUPPORTED}")
    return names[::-1]


def _literal(operand: Operand) -> Operand:
    if operand.expression is not None:
        raise InputError(f"{operand.shown} in a list is not supported: a list has literals only; use or, with ==")
    return operand


def _is_none(left: Operand, right: Operand, shown: str) -> Operand:
    if right.kind != operands.NONE:
        raise InputError(f"{shown}: `is` and `is not` are for None only: use == or !=")
    return operands.truth(left.kind == operands.NONE if left.expression is None else left.expression.is_null(), shown)


def _balanced(join: Callable[[Any, Any], Any], terms: list[Any]) -> Any:
    """The terms joined by pairs, so that many of them make no deep expression."""
    while len(terms) > 1:
        pairs = [join(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0]


def _remedy(node: ast.expr) -> str:
    match node:
        case ast.Call(func=ast.Name(id="len")):
            return "use length(column)"
        case ast.Call(func=ast.Name(id="col")):
            return "col takes one text, as in col('my column')"
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Invert()):
            return "use and, or and not"
        case _:
            return _SUPPORTED
