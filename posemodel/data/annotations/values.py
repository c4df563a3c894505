"""Integers in JSON: as they should be, and as annotation tools write them."""

import hashlib
import re
from typing import Any, TypeGuard

import numpy as np

LARGEST_ID = int(np.iinfo(np.int64).max)
"""Largest id: ids are stored as int64."""
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,19}\s*", re.ASCII)


def is_whole_number(value: Any) -> TypeGuard[int]:
    """Return whether a JSON value is an integer that int64 can hold; true and 1.0 are not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID


def as_whole_number(value: Any) -> int | None:
    """Return the integer that a value such as 17, 17.0 or the text "17" means; None if it is none, or beyond int64."""
    text = isinstance(value, str) and _WHOLE.fullmatch(value) is not None
    if text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return value if is_whole_number(value) else None


def id_from_word(word: str) -> int:
    """Return a positive number of at most 52 bits for an id that is a word; it depends on the word alone."""
    return int.from_bytes(hashlib.sha256(word.encode(errors="surrogatepass")).digest()[:8], "big") >> 12
