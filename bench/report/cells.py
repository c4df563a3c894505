"""Format numbers and ids as table cells; `-` where a value is not known."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bench.report.wording import p_text, value_text
from bench.statistics.level import ALPHA

RUN_CHARACTERS = 8
"""Characters shown of an MLflow run id: enough to find it by its beginning (`run_id LIKE '8a1f02c3%'`)."""


def number_cell(value: Any, form: str, unit: str = "", *, scale: float = 1.0) -> str:
    """Return `12.3 s` for the format ``form`` `.1f` and the unit ` s`."""
    return f"{value * scale:{form}}{unit}" if known(value) else "-"


def speed_text(value: Any) -> str:
    """Return images/s with at least three digits: `9.81`, `98.1`, `981`, `9810`."""
    return number_cell(value, ".0f" if known(value) and value >= 100 else ".3g")


def interval_cell(middle: Any, low: Any, high: Any, form: str = ".3f") -> str:
    """Return `0.181 [0.160, 0.200]`; the middle alone if there is no interval."""
    text = number_cell(middle, form)
    return f"{text} [{low:{form}}, {high:{form}}]" if known(low) else text


def run_cell(run_id: Any) -> str:
    """Return the first characters of an MLflow run id."""
    return run_id[:RUN_CHARACTERS] if isinstance(run_id, str) else "-"


def p_cell(value: Any) -> str:
    """Return a p value as `0.41`, `0.012`, `< 0.001`; one above 0.05 is never rounded down to it."""
    return p_text(value, ALPHA).removeprefix("= ") if known(value) else "-"


def known(value: Any) -> bool:
    """Return whether a value is a number: not None, NaN or infinite."""
    return value is not None and math.isfinite(value)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up in a terminal."""
    widths = [max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def settings_text(settings: str, at_border: Sequence[str]) -> str:
    """Return hyperparameters as `lr 0.0031, one_minus_momentum 0.12`; a star marks a value at the border of its range.

    ``settings`` is their JSON text, ``at_border`` the names of those at a border.
    """
    values = json.loads(settings)
    starred = (f"{name} {value_text(value)}{'*' if name in at_border else ''}" for name, value in values.items())
    return ", ".join(starred) or "-"
