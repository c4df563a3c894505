"""Write and read CSV files in which no text acts as a spreadsheet formula.

A text that a spreadsheet would calculate (`=1+2`, `+x`, `-x`, `@x`) gets an apostrophe in front, which makes it plain
text there; numbers stay numbers. Control characters other than line feeds and tabs are written as visible escapes.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.storage.visible import visible_lines

FORMULA = re.compile(
    r"""(?P<guards> '* ) (?: \t | \s* (?! [+-]? (?: \d+\.?\d* | \.\d+ ) (?: e[+-]?\d+ )? \s* \Z ) [=+\-@＝＋－＠] . )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""Texts that a spreadsheet may calculate, after any apostrophes; no plain number such as `-0.5` and no lone sign."""


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV, without its index."""
    _map_texts(frame, _guarded).to_csv(path, index=False)


def read_csv(path: Path, dtype: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Read what `write_csv` wrote; ``dtype``: types of columns that would be read as another type."""
    return _map_texts(pd.read_csv(path, dtype=dtype), _unguarded)


def _map_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Apply ``change`` to every text of a frame, column names included."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    copy = frame.copy(deep=False)
    for position, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            texts = pd.Series(list(map(changed, frame.iloc[:, position])), index=frame.index, dtype=object)
            copy.isetitem(position, (texts.astype(kind) if isinstance(kind, pd.StringDtype) else texts).array)
    copy.columns = pd.Index(list(map(changed, frame.columns)))
    return copy


def _guarded(text: str) -> str:
    shown = visible_lines(text)
    return f"'{shown}" if FORMULA.match(shown) else shown


def _unguarded(text: str) -> str:
    match = FORMULA.match(text)
    return text[1:] if match and match["guards"] else text
