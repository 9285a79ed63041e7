"""Expressions over the fields of a record: `where(country == "DE", 2, 1) * log(1 + clicks)`.

Python's parser reads them, and nothing of Python runs: each node of the tree is one that is listed here, and becomes a
function of NumPy. A field is a number, unless it is compared with a text: then it is whether it is that text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from learnd.daemon.foundation.section import meant_or_known
from learnd.daemon.values import Float64

_LONGEST, _DEEPEST = 1_000, 100  # characters, and levels of the tree: functions of each level call those of the next

Evaluate = Callable[[Float64], Any]
"""From the columns of the operands (n, operands) to a column (n,), or a number."""

Function = Callable[..., Any]


def _logical(function: Function) -> Function:
    """Return a function of numbers that gives 1 for true and 0 for false: NumPy does not subtract booleans."""
    return lambda *values: np.where(reduce(function, values), 1.0, 0.0)


_all = _logical(np.logical_and)
_BINARY: Mapping[type[ast.AST], Function] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_UNARY: Mapping[type[ast.AST], Function] = {
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Not: lambda value: np.where(value, 0.0, 1.0),
}
_COMPARED: Mapping[type[ast.AST], Function] = {
    ast.Eq: _logical(np.equal),
    ast.NotEq: _logical(np.not_equal),
    ast.Lt: _logical(np.less),
    ast.LtE: _logical(np.less_equal),
    ast.Gt: _logical(np.greater),
    ast.GtE: _logical(np.greater_equal),
}
_FUNCTIONS: Mapping[str, tuple[int, int, Function]] = {  # the fewest and the most arguments
    "min": (2, 100, lambda *values: reduce(np.minimum, values)),
    "max": (2, 100, lambda *values: reduce(np.maximum, values)),
    "abs": (1, 1, np.abs),
    "log": (1, 1, np.log),
    "where": (3, 3, np.where),
}

# What other languages write, and what is written here.
_INSTEAD = (
    (r"(?<![=<>!])=(?!=)", "to compare, write =="),
    (r"&", "write `and` between conditions"),
    (r"\|", "write `or` between conditions"),
    (r"!(?!=)", "write `not` before a condition"),
    (r"\^", "for a power, write **"),
    (r"\b(if|else)\b|\?", "to choose, write where(condition, value, other value)"),
)


@dataclass(frozen=True, slots=True)
class Operand:
    """A field that is a number, or 1 if it is a text and 0 if it is any other."""

    field: str
    text: str | None = None


class Expression:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Raises ValueError, which says what is wrong and where, if it is not one."""
        if len(text) > _LONGEST:
            raise ValueError(f"it has {len(text)} characters, more than {_LONGEST}")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            what = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ValueError(f"{text!r} is no expression: {what}{where}{_instead(text)}") from error
        if _depth(tree) > _DEEPEST:
            raise ValueError("it is nested too deep, or has too many terms")
        self.text = text
        self._operands: dict[Operand, int] = {}
        self._evaluate = self._compiled(tree.body)
        if not self._operands:
            raise ValueError(f"{text!r} names no field, so it would be the same for every record")

    @property
    def operands(self) -> tuple[Operand, ...]:
        """What it is a function of, in the order of the columns that `of` takes."""
        return tuple(self._operands)

    def of(self, columns: Float64) -> Float64:
        """Return the values (n,) for the columns of the operands (n, operands): NaN or infinite if undefined."""
        with np.errstate(all="ignore"):
            value = self._evaluate(columns)
        return np.array(np.broadcast_to(value, len(columns)), np.float64)

    def _compiled(self, node: ast.expr) -> Evaluate:
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if (field := _field(node)) is not None:
            return self._column(Operand(field))
        if (operation := _operation(node)) is not None:
            return self._applied(*operation)
        number = _number(node)
        return lambda _: number

    def _applied(self, function: Function, nodes: Sequence[ast.expr]) -> Evaluate:
        parts = [self._compiled(node) for node in nodes]
        return lambda columns: function(*(part(columns) for part in parts))

    def _compared(self, node: ast.Compare) -> Evaluate:
        sides = [node.left, *node.comparators]
        pairs = [
            self._pair(left, op, right) for left, op, right in zip(sides, node.ops, node.comparators, strict=False)
        ]
        return lambda columns: _all(*(pair(columns) for pair in pairs))

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Evaluate:
        if type(op) not in _COMPARED:
            raise _wrong(right, "is compared in a way that is not possible: there are == != < <= > >=")
        texts = [side.value for side in (left, right) if isinstance(side, ast.Constant) and isinstance(side.value, str)]
        if not texts:
            return self._applied(_COMPARED[type(op)], (left, right))
        fields = [field for side in (left, right) if (field := _field(side)) is not None]
        if len(texts) != 1 or len(fields) != 1 or not isinstance(op, ast.Eq | ast.NotEq):
            raise _wrong(left, "is compared with a text: only a field can be, by == or !=")
        same = self._column(Operand(fields[0], texts[0]))
        return same if isinstance(op, ast.Eq) else lambda columns: 1 - same(columns)

    def _column(self, operand: Operand) -> Evaluate:
        index = self._operands.setdefault(operand, len(self._operands))
        return lambda columns: columns[:, index]


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _operation(node: ast.expr) -> tuple[Function, Sequence[ast.expr]] | None:
    """Return the function that a node applies, and to what; None if it applies none. Raises ValueError."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)], (left, right)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)], (operand,)
        case ast.BoolOp(op=op, values=values):
            return _all if isinstance(op, ast.And) else _logical(np.logical_or), values
        case ast.Call(func=ast.Name(id=name)):
            return _called(node, name), node.args
    return None


def _called(node: ast.Call, name: str) -> Function:
    if name not in _FUNCTIONS:
        known = [*_FUNCTIONS, 'field("a name")']
        raise _wrong(node, f"calls what is no function{meant_or_known(name, known)}")
    fewest, most, function = _FUNCTIONS[name]
    if node.keywords or not fewest <= len(node.args) <= most:
        raise _wrong(node, f"has {len(node.args)} values, and {name} takes {fewest}{' or more' * (most > fewest)}")
    return function


def _number(node: ast.expr) -> np.float64:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        try:
            return np.float64(float(node.value))
        except OverflowError as error:
            raise _wrong(node, "is too large") from error
    there = "there are numbers, fields, + - * / **, comparisons, and, or, not"
    raise _wrong(node, f"is not possible here: {there}{_instead(ast.unparse(node))}")


def _field(node: ast.expr) -> str | None:
    """Return the name of the field that a node stands for; None if it is none."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            outer = _field(value)
            return None if outer is None else f"{outer}.{name}"
        case ast.Call(func=ast.Name(id="field"), args=[ast.Constant(value=str() as name)], keywords=[]) if name:
            return name
    return None


def _instead(text: str) -> str:
    """Say what to write for what is meant, if it can be told."""
    return next((f"; {way}" for found, way in _INSTEAD if re.search(found, text)), "")


def _wrong(node: ast.expr, what: str) -> ValueError:
    return ValueError(f"{ast.unparse(node)!r} at character {node.col_offset + 1} {what}")
