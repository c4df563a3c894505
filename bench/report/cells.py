"""Figures as the text of a table's cells; `-` for what is not known."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.report.wording import p_text, value_text
from bench.statistics.p_values import ALPHA

RUN_CHARACTERS = 8
"""Of an MLflow run id: enough to find it, and MLflow's search takes the beginning (`run_id LIKE '8a1f02c3%'`)."""


def number_cell(value: Any, form: str, unit: str = "", *, scale: float = 1.0) -> str:
    """`12.3 s` for the ``form`` `.1f` and the unit ` s`."""
    return f"{value * scale:{form}}{unit}" if known(value) else "-"


def speed_text(value: Any) -> str:
    """Images/s with three digits or more: `9.81`, `98.1`, `981`, `9810`."""
    return number_cell(value, ".0f" if known(value) and value >= 100 else ".3g")


def interval_cell(middle: Any, low: Any, high: Any, form: str = ".3f") -> str:
    """`0.181 [0.160, 0.200]`; the middle alone where there is no interval."""
    text = number_cell(middle, form)
    return f"{text} [{low:{form}}, {high:{form}}]" if known(low) else text


def run_cell(run_id: Any) -> str:
    """The beginning of an MLflow run's id."""
    return run_id[:RUN_CHARACTERS] if isinstance(run_id, str) else "-"


def p_cell(value: Any) -> str:
    """`0.41`, `0.012`, `< 0.001`; above 0.05 never rounded down to it."""
    return p_text(value, ALPHA).removeprefix("= ") if known(value) else "-"


def known(value: Any) -> bool:
    """Whether there is a figure: not None, NaN or infinite."""
    return value is not None and not pd.isna(value) and math.isfinite(value)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too."""
    widths = [max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def settings_text(settings: str, at_border: Sequence[str]) -> str:
    """Hyperparameters as `lr 0.0031, one_minus_momentum 0.12`; a value at the border of its range has a star."""
    values = json.loads(settings)
    starred = (f"{name} {value_text(value)}{'*' if name in at_border else ''}" for name, value in values.items())
    return ", ".join(starred) or "-"
