"""The report's tables as cells of text, for Markdown and for the terminal alike: one row an optimizer."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis import TimeUse
from bench.report.result import StudyResult

COLUMNS = ("optimizer", "AP [95 %]", "n", "best AP", "time to target", "reached", "diverged", "failed")
SETTINGS_COLUMNS = ("optimizer", "settings", "AP when tuned")
COST_COLUMNS = (
    "optimizer",
    "images/s",
    "step (ms)",
    "state (MB)",
    "training (s)",
    "evaluation (s)",
    "n",
    "share of time",
)
TIME_COLUMNS = ("part", "min", "share")
SOURCE_COLUMNS = ("optimizer", "tuned by", "confirmed by")
RUN_CHARACTERS = 8
"""Of an MLflow run id: enough to find it, and MLflow's search takes the beginning (`run_id LIKE '8a1f02c3%'`)."""


def optimizer_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the main table, in the summary's order."""
    return [
        [
            row["name"],
            _interval(row),
            str(row["n"]),
            _number(row["best_checkpoint_ap_mean"], ".3f"),
            _number(row["time_to_target_s"], ".0f", " s"),
            f"{row['targets_reached']} of {row['n']}" if _known(row["targets_reached"]) and row["n"] else "-",
            str(row["diverged"]),
            str(row["failed"]),
        ]
        for row in _rows(result)
    ]


def settings_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of chosen settings."""
    return [
        [row["name"], settings_text(row["settings"], row["at_border"]), _number(row["tune_ap"], ".3f")]
        for row in _rows(result)
    ]


def cost_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the cost table."""
    return [
        [
            row["name"],
            _number(row["images_per_s"], ".1f"),
            _number(row["optimizer_step_ms"], ".2f"),
            _number(row["optimizer_state_bytes"], ".1f", scale=1e-6),
            _number(row["train_s"], ".1f"),
            _number(row["eval_s"], ".1f"),
            str(row["timed_trials"]),
            _number(row["time_share"], ".1f", " %", scale=100),
        ]
        for row in _rows(result)
    ]


def time_rows(use: TimeUse) -> list[list[str]]:
    """Cells of the table of what the study's wall time went to."""
    parts = (
        ("training", use.train_s, use.train_share),
        ("evaluation", use.eval_s, use.eval_share),
        ("generating data", use.data_s, use.data_share),
        ("the rest", use.other_s, use.overhead_share),
        ("all", use.wall_s, 1.0),
    )
    return [[name, f"{seconds / 60:.1f}", f"{100 * share:.1f} %"] for name, seconds, share in parts]


def source_rows(result: StudyResult) -> list[list[str]]:
    """Cells of the table of MLflow runs behind each optimizer's figures: the beginnings of their ids."""
    runs = {str(name): list(own["run_id"]) for name, own in result.seeds.groupby("optimizer")}
    return [
        [
            row["name"],
            _run(row["tune_run_id"]) if isinstance(row["tune_run_id"], str) else "-",
            " ".join(_run(run) for run in runs.get(row["name"], ())) or "-",
        ]
        for row in _rows(result)
    ]


def settings_text(settings: str, at_border: Sequence[str]) -> str:
    """Hyperparameters as `lr 0.0031, one_minus_momentum 0.12`; a value at the border of its range has a star."""
    values = json.loads(settings)
    return ", ".join(f"{name} {value:.3g}{'*' if name in at_border else ''}" for name, value in values.items()) or "-"


def counted(count: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too."""
    widths = [max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _rows(result: StudyResult) -> list[dict[str, Any]]:
    return result.summary.to_dict(orient="records")


def _interval(row: dict[str, Any]) -> str:
    mean = _number(row["ap_mean"], ".3f")
    return f"{mean} [{row['ap_low']:.3f}, {row['ap_high']:.3f}]" if _known(row["ap_low"]) else mean


def _number(value: Any, form: str, unit: str = "", *, scale: float = 1.0) -> str:
    return f"{value * scale:{form}}{unit}" if _known(value) else "-"


def _run(run_id: str) -> str:
    return f"`{run_id[:RUN_CHARACTERS]}`"


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and math.isfinite(value)
