"""On which line of a TOML document each key stands: tomllib reads values, tree-sitter's grammar keeps the positions."""

import tomllib
from collections.abc import Iterator, Mapping

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

KeyPath = tuple[str | int, ...]
"""Keys from the top of a document inwards, and places (from 0) in arrays: ("fixed", 1, "lr")."""


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line, from 1, of every key, table and element of an array in a valid document.

    Of a table that is written in parts, or that only dotted keys name, the line of its first part.
    """
    lines: dict[KeyPath, int] = {}
    last: dict[KeyPath, int] = {}  # of each array of tables, the place of its latest element
    for node in _parts(Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node):
        if node.type == "pair":
            _add_pair(lines, (), node)
        elif node.type in ("table", "table_array_element"):
            header, *pairs = _parts(node)
            path: KeyPath = ()
            *outer, name = _names(header)
            for each in outer:
                path = _within((*path, each), last)
            path = (*path, name)
            if node.type == "table_array_element":
                last[path] = last.get(path, -1) + 1
                path = _within(path, last)
            _add(lines, path, header)
            for pair in pairs:
                _add_pair(lines, path, pair)
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of a key; of one that is not there, of what it would stand in."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _within(path: KeyPath, last: Mapping[KeyPath, int]) -> KeyPath:
    """In headers the name of an array of tables means its latest element."""
    return (*path, last[path]) if path in last else path


def _parts(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type != "comment")


def _names(key: Node) -> list[str]:
    """A key's names, quotes and escapes undone; of a dotted key, one for each part."""
    document = tomllib.loads(f"{(key.text or b'').decode()} = 0")
    names: list[str] = []
    while isinstance(document, dict):
        ((name, document),) = document.items()
        names.append(name)
    return names


def _add(lines: dict[KeyPath, int], path: KeyPath, node: Node) -> None:
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], node.start_point.row + 1)


def _add_pair(lines: dict[KeyPath, int], outer: KeyPath, pair: Node) -> None:
    key, value = _parts(pair)
    path = (*outer, *_names(key))
    _add(lines, path, key)
    _add_value(lines, path, value)


def _add_value(lines: dict[KeyPath, int], path: KeyPath, value: Node) -> None:
    if value.type == "inline_table":
        for pair in _parts(value):
            _add_pair(lines, path, pair)
    elif value.type == "array":
        for place, element in enumerate(_parts(value)):
            _add(lines, (*path, place), element)
            _add_value(lines, (*path, place), element)
