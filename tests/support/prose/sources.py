"""Read numbers from a CSV, JSON or TOML file: choose rows and members by words, compute with expressions."""

import ast
import csv
import io
import json
import re
import shlex
import statistics
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.support.prose import computed

Node = Any
"""A row of a CSV file, a member of a JSON or TOML document."""

COMPUTED = "computed"
"""Stands in a file's place for what `computed.py` makes of files and code."""

_CHOICE = re.compile(r"(?P<key>[^=!]+)(?P<other>!?)=(?P<value>.*)", re.S)
_OVER_ROWS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "mean": statistics.mean,
    "median": statistics.median,
    "sd": statistics.stdev,
}
_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
_READERS: dict[str, Callable[[str], Node]] = {
    ".csv": lambda text: list(csv.DictReader(io.StringIO(text))),
    ".json": json.loads,
    ".toml": tomllib.loads,
}
_SHOWN = 8
"""Names that an error lists at most."""


class SourceError(Exception):
    """A source lacks what a marker names, or the marker cannot be read."""


def read(root: Path, name: str) -> Node:
    """A file's content: a list of rows, or a document.

    Raises:
        SourceError: There is no such file, or it is of another kind.
    """
    if name == COMPUTED:
        return computed.figures(root)
    file = root / name
    if not is_source(name):
        raise SourceError(f"{name or 'nothing'} is no file of {', '.join(_READERS)}")
    if not file.is_file():
        raise SourceError(f"there is no file {name}")
    return _read(file, file.stat().st_mtime_ns)


def is_source(name: str) -> bool:
    """Whether a word names a file that can be read, or what stands in one's place."""
    return name == COMPUTED or Path(name).suffix in _READERS


def choose(document: Node, words: str) -> list[Node]:
    """The rows or members that words lead to.

    Raises:
        SourceError: They lead nowhere.
    """
    nodes = _members([document])
    try:
        split = shlex.split(words)
    except ValueError as error:
        raise SourceError(f"{words}: {error}") from None
    for word in split:
        choice = _CHOICE.fullmatch(word)
        if word == "*":
            found = [
                {"key": key, **member} for node in nodes for key, member in _items(node) if isinstance(member, dict)
            ]
            names = []
        elif choice is None:
            names = [key for node in nodes for key, _ in _items(node)]
            found = [member for node in nodes for key, member in _items(node) if key == word]
        else:
            names = [_member(node, choice["key"]) for node in nodes]
            found = [
                node
                for node, name in zip(nodes, names, strict=True)
                if _same(name, choice["value"]) != bool(choice["other"])
            ]
        if not found:
            raise SourceError(f"{word} leads nowhere{_among(names)}")
        nodes = _members(found)
    return nodes


@dataclass(frozen=True)
class Figure:
    """What an expression makes of rows; None for `_`, which is nothing to compare."""

    expression: str
    value: float | None


def figures(nodes: Sequence[Node], columns: str) -> list[Figure]:
    """What expressions make of rows, in their order.

    Raises:
        SourceError: An expression is none, names what the rows lack, or needs a single row and has several.
    """
    found: list[Figure] = []
    for expression in _expressions(columns):
        text = ast.unparse(expression)
        try:
            match expression:
                case ast.Name(id="_"):
                    found.append(Figure(text, None))
                case ast.Call(func=ast.Name(id="each"), args=[inner]):
                    found += [Figure(text, _number([node], inner)) for node in nodes]
                case _:
                    found.append(Figure(text, _number(nodes, expression)))
        except (ArithmeticError, ValueError) as error:  # of too few rows too
            raise SourceError(f"{text}: {error}") from None
    return found


def _expressions(columns: str) -> list[ast.expr]:
    try:
        parsed = ast.parse(f"({columns.strip()},)", mode="eval").body
    except SyntaxError:
        raise SourceError(f"{columns.strip()!r} names no columns") from None
    return parsed.elts if isinstance(parsed, ast.Tuple) else [parsed]


def _number(nodes: Sequence[Node], expression: ast.expr) -> float:
    match expression:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(nodes, operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_number(nodes, left), _number(nodes, right))
        case ast.Call(args=[inner]) if _name(expression) in _OVER_ROWS:
            return float(_OVER_ROWS[_name(expression)]([_number([node], inner) for node in nodes]))
        case ast.Call(args=[]) if _name(expression) == "count":
            return float(len(nodes))
        case ast.Call(args=[inner, places]) if _name(expression) == "round":
            return round(_number(nodes, inner), int(_number(nodes, places)))
        case ast.Constant(value=str()) | ast.Name() | ast.Attribute():
            if len(nodes) != 1:
                raise SourceError(f"{ast.unparse(expression)}: {len(nodes)} rows, not one")
            return _float(_value(nodes[0], expression), ast.unparse(expression))
    raise SourceError(f"{ast.unparse(expression)} is no column")


def _name(call: ast.expr) -> str:
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""


def _value(node: Node, column: ast.expr) -> Node:
    match column:
        case ast.Attribute(value=inside, attr=key):
            return _member(_value(node, inside), key)
        case ast.Name(id=key) | ast.Constant(value=str(key)):
            return _member(node, key)
    raise SourceError(f"{ast.unparse(column)} is no column")


def _member(node: Node, key: str) -> Node:
    if not isinstance(node, dict) or key not in node:
        raise SourceError(f"no column {key}{_among(list(node) if isinstance(node, dict) else [])}")
    return node[key]


def _float(value: Node, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SourceError(f"{name} is {value!r}, no number") from None
    if number != number:
        raise SourceError(f"{name} is not known")
    return number


def _items(node: Node) -> list[tuple[str, Node]]:
    return list(node.items()) if isinstance(node, dict) else []


def _same(value: Node, text: str) -> bool:
    """Whether a row's value is one that a marker names: a number, or text with `*` and `|` in it."""
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        pattern = "|".join(".*".join(map(re.escape, each.split("*"))) for each in text.split("|"))
        return re.fullmatch(pattern, str(value), re.S) is not None


def _members(nodes: Sequence[Node]) -> list[Node]:
    return [each for node in nodes for each in (node if isinstance(node, list) else [node])]


def _among(names: Sequence[Node]) -> str:
    if not names:
        return ""
    known = list(dict.fromkeys(str(each) for each in names))
    return f" among {', '.join(known[:_SHOWN])}{' ...' if len(known) > _SHOWN else ''}"


@lru_cache
def _read(file: Path, _changed: int) -> Node:
    return _READERS[file.suffix](file.read_text(encoding="utf-8"))
