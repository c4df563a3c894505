"""Whole numbers as JSON holds them, and as tools write them."""

import hashlib
import re
from typing import Any

import numpy as np

LARGEST_ID = int(np.iinfo(np.int64).max)
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,19}\s*", re.ASCII)


def is_id(value: Any) -> bool:
    """Whether a JSON value is a whole number that int64 can hold; true and 1.0 are none."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID


def whole(value: Any) -> int | None:
    """The whole number that is meant: by itself, by 17.0, or by the text "17"; None where it is none of int64."""
    text = isinstance(value, str) and _WHOLE.fullmatch(value) is not None
    if text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return value if is_id(value) else None


def number_of_word(word: str) -> int:
    """A number for an id that is a word: the same in every file, whole and positive, of at most 52 bits."""
    return int.from_bytes(hashlib.sha256(word.encode(errors="surrogatepass")).digest()[:8], "big") >> 12
