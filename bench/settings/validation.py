"""What is wrong with a value, in words: pydantic's errors as the person who wrote the value would put them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bench.settings.toml_lines import KeyPath
from posemodel.errors import nearest

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
"""By pydantic's type of error, with what its context holds."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one value."""

    path: KeyPath
    """Of the value, from the top of what was validated; empty where several values do not fit together."""
    message: str
    """Without a full stop."""
    got: Any
    hint: str = ""
    """` Did you mean X?`, where one of a few words is near."""


def first_fault(error: ValidationError, document: Any) -> Fault:
    """The first fault of a ``document`` that was refused.

    Where it may be one of several types, pydantic tells what is wrong with it as each of them: the type that it is
    nearest to is meant; of types that are equally far, it could be any.
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
    hint = nearest(first["input"], words) if isinstance(first["input"], str) else ""
    return Fault(path, message, first["input"], hint)


def dotted(path: KeyPath) -> str:
    """A path as TOML and Python write it: `spaces.adam.lr`, `num_workers[0]`, `spaces."my_package.Lion"`."""
    text = ""
    for each in path:
        if isinstance(each, int):
            text += f"[{each}]"
        else:
            text += "." * bool(text) + (each if re.fullmatch(r"[A-Za-z0-9_-]+", each) else json.dumps(each))
    return text


def named_in(message: str, names: Iterable[str]) -> list[str]:
    """Those of some names that a message has as whole words, in the order in which it has them."""
    places = {name: re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", message) for name in names}
    found = {name: match.start() for name, match in places.items() if match}
    return sorted(found, key=found.__getitem__)


def _path(location: tuple[int | str, ...], document: Any, *, missing: bool) -> KeyPath:
    """A location without the types of a union and the like that pydantic puts between: only what the document has."""
    path: list[int | str] = []
    for place, each in enumerate(location):
        if _has(document, each):
            document = document[each]
            path.append(each)
        elif missing and place == len(location) - 1:
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
