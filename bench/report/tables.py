"""The main table: one row an optimizer, as cells of text, for Markdown and for the terminal alike."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.report.result import StudyResult

COLUMNS = (
    "optimizer",
    "settings",
    "AP [95 %]",
    "n",
    "time to target",
    "images/s",
    "step (ms)",
    "state (MB)",
    "diverged",
    "failed",
)


def optimizer_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the main table, in the summary's order."""
    return [_cells(row) for row in result.summary.to_dict(orient="records")]


def _cells(row: dict[str, Any]) -> list[str]:
    interval = "-"
    if _known(row["ap_mean"]):
        interval = f"{row['ap_mean']:.3f}"
        if _known(row["ap_low"]):
            interval += f" [{row['ap_low']:.3f}, {row['ap_high']:.3f}]"
    target = f"{row['time_to_target_s']:.0f} s" if _known(row["time_to_target_s"]) else "-"
    state = f"{row['optimizer_state_bytes'] / 1e6:.1f}" if _known(row["optimizer_state_bytes"]) else "-"
    return [
        row["name"],
        settings_text(row["settings"], row["at_border"]),
        interval,
        str(row["n"]),
        target,
        f"{row['images_per_s']:.1f}" if _known(row["images_per_s"]) else "-",
        f"{row['optimizer_step_ms']:.2f}" if _known(row["optimizer_step_ms"]) else "-",
        state,
        str(row["diverged"]),
        str(row["failed"]),
    ]


def settings_text(settings: str, at_border: Sequence[str]) -> str:
    """Hyperparameters as `lr 0.0031, one_minus_momentum 0.12`; a value at the border of its range has a star."""
    values = json.loads(settings)
    return ", ".join(f"{name} {value:.3g}{'*' if name in at_border else ''}" for name, value in values.items()) or "-"


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and math.isfinite(value)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too."""
    widths = [max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
