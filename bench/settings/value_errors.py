"""Plain error messages for invalid values, made from pydantic's validation errors."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bench.settings.toml_lines import KeyPath
from posemodel.errors import did_you_mean

MESSAGES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "extra_forbidden": "there is no such setting",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "path_type": "must be a path, as text",
    "string_too_long": "must have at most {max_length} characters",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} values",
    "too_short": "must have at least {min_length} value",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}
"""Message by pydantic's error type; braces are fields of the error's context."""


@dataclass(frozen=True)
class Fault:
    """An invalid value and why it is refused."""

    path: KeyPath
    """Key path of the value in the validated document; empty if several values do not fit together."""
    message: str
    """Reason, without a full stop."""
    got: Any
    hint: str = ""
    """` Did you mean X?` if an allowed word is similar, otherwise empty."""


def first_fault(error: ValidationError, document: Any) -> Fault:
    """Return the first invalid value of a ``document`` that pydantic refused.

    For a union, pydantic reports the errors under each type: the type that matched deepest is taken; if several matched
    equally deep, the message lists them all.
    """
    faults = [(_path(each["loc"], document, missing=each["type"] == "missing"), each) for each in error.errors()]
    path, first = faults[0]
    of_same = [(other, each) for other, each in faults if other[:1] == path[:1]]
    deepest = max(len(other) for other, _ in of_same)
    path, first = next((other, each) for other, each in of_same if len(other) == deepest)
    same = [each for other, each in of_same if other == path]
    alternatives = dict.fromkeys(_message(each).removeprefix("must be ") for each in same)
    message = _message(first) if len(alternatives) == 1 else f"must be {' or '.join(alternatives)}"
    words = [word for each in same for word in re.findall(r"'([^']+)'", each.get("ctx", {}).get("expected", ""))]
    hint = did_you_mean(first["input"], words) if isinstance(first["input"], str) else ""
    return Fault(path, message, first["input"], hint)


def key_path_text(path: KeyPath) -> str:
    """Return a key path as text: `spaces.adam.lr`, `num_workers[0]`, `spaces."my_package.Lion"`."""
    text = ""
    for each in path:
        if isinstance(each, int):
            text += f"[{each}]"
        else:
            text += "." * bool(text) + (each if re.fullmatch(r"[A-Za-z0-9_-]+", each) else json.dumps(each))
    return text


def names_in_message(message: str, names: Iterable[str]) -> list[str]:
    """Return the names that occur in a message as whole words, in order of their first occurrence."""
    matches = {name: re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", message) for name in names}
    starts = {name: match.start() for name, match in matches.items() if match}
    return sorted(starts, key=starts.__getitem__)


def _path(location: tuple[int | str, ...], document: Any, *, missing: bool) -> KeyPath:
    """Return pydantic's location without the steps that are not in the document, such as types of a union."""
    path: list[int | str] = []
    for index, each in enumerate(location):
        if _has(document, each):
            document = document[each]
            path.append(each)
        elif missing and index == len(location) - 1:
            path.append(each)
    return tuple(path)


def _has(document: Any, key: int | str) -> bool:
    if isinstance(document, (list, tuple)):
        return isinstance(key, int) and key < len(document)
    return isinstance(document, Mapping) and key in document


def _message(each: Mapping[str, Any]) -> str:
    context = each.get("ctx", {})
    if each["type"] in MESSAGES:
        return MESSAGES[each["type"]].format(**context)
    return str(each["msg"]).replace("Input should be", "must be", 1)
