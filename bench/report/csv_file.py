"""Tables as CSV files in which no text is a formula for a spreadsheet, and read back as they were.

A text that a spreadsheet would calculate (`=1+2`, `+x`, `-x`, `@x`) gets an apostrophe in front, which makes it a text
there; numbers stay numbers. Control characters are written out, but for line feeds and tabs.
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
"""What a spreadsheet may calculate, behind any apostrophes: not a plain number such as `-0.5`, not a lone sign."""


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index."""
    _texts(frame, _guarded).to_csv(path, index=False)


def read_csv(path: Path, dtype: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Read what `write_csv` wrote; ``dtype``: of columns that would be read as another type."""
    return _texts(pd.read_csv(path, dtype=dtype), _unguarded)


def _texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The frame with each of its texts changed, the names of its columns too."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    found = frame.copy(deep=False)
    for place, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            texts = pd.Series(list(map(changed, frame.iloc[:, place])), index=frame.index, dtype=object)
            found.isetitem(place, (texts.astype(kind) if isinstance(kind, pd.StringDtype) else texts).array)
    found.columns = pd.Index(list(map(changed, frame.columns)))
    return found


def _guarded(text: str) -> str:
    shown = visible_lines(text)
    return f"'{shown}" if FORMULA.match(shown) else shown


def _unguarded(text: str) -> str:
    found = FORMULA.match(text)
    return text[1:] if found and found["guards"] else text
