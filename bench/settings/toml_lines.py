"""Line numbers of the keys of a TOML document, from tree-sitter, since tomllib keeps no positions."""

import tomllib
from collections.abc import Iterator, Mapping

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

KeyPath = tuple[str | int, ...]
"""Path of a value in a document: keys, and indices from 0 in arrays, as in ("fixed", 1, "lr")."""


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of every key, table and array element of a valid document.

    A table that is written in several parts, or only through dotted keys, has the line of its first part.
    """
    lines: dict[KeyPath, int] = {}
    latest: dict[KeyPath, int] = {}  # index of the latest element of each array of tables
    for node in _children(Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node):
        if node.type == "pair":
            _add_pair(lines, (), node)
        elif node.type in ("table", "table_array_element"):
            header, *pairs = _children(node)
            path: KeyPath = ()
            *outer, name = _names(header)
            for each in outer:
                path = _with_element((*path, each), latest)
            path = (*path, name)
            if node.type == "table_array_element":
                latest[path] = latest.get(path, -1) + 1
                path = _with_element(path, latest)
            _add_path(lines, path, header)
            for pair in pairs:
                _add_pair(lines, path, pair)
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a key; for a missing key, the line of the table that would hold it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _with_element(path: KeyPath, latest: Mapping[KeyPath, int]) -> KeyPath:
    """Append the index of the latest element if a table header names an array of tables."""
    return (*path, latest[path]) if path in latest else path


def _children(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type != "comment")


def _names(key: Node) -> list[str]:
    """Return the parts of a (dotted) key, with quotes and escapes undone."""
    document = tomllib.loads(f"{(key.text or b'').decode()} = 0")
    names: list[str] = []
    while isinstance(document, dict):
        ((name, document),) = document.items()
        names.append(name)
    return names


def _add_path(lines: dict[KeyPath, int], path: KeyPath, node: Node) -> None:
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], node.start_point.row + 1)


def _add_pair(lines: dict[KeyPath, int], outer: KeyPath, pair: Node) -> None:
    key, value = _children(pair)
    path = (*outer, *_names(key))
    _add_path(lines, path, key)
    _add_value(lines, path, value)


def _add_value(lines: dict[KeyPath, int], path: KeyPath, value: Node) -> None:
    if value.type == "inline_table":
        for pair in _children(value):
            _add_pair(lines, path, pair)
    elif value.type == "array":
        for index, element in enumerate(_children(value)):
            _add_path(lines, (*path, index), element)
            _add_value(lines, (*path, index), element)
