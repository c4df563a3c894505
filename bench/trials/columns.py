"""Columns of records and curves that an analysis reads, and the default of each absent one."""

from typing import Any, cast

import numpy as np
import pandas as pd

REQUIRED_RECORD_COLUMNS = ("trial_id", "phase", "optimizer", "hyperparameters", "seed", "status", "ap")
"""Columns that must be present; records without one of them are an error."""

MEASURED_RECORD_COLUMNS = (
    "index",
    "ap_best",
    "val_loss",
    "images_per_s",
    "optimizer_step_ms",
    "optimizer_state_bytes",
    "train_seconds",
    "eval_seconds",
    "steps_done",
    "updates",
    "started_ms",
    "ended_ms",
    "concurrent_trials",
    "run_id",
    "at_border",
    "ap_select",
)
"""Measured columns; absent means unknown (NaN)."""

TEXT_RECORD_COLUMNS = ("control_of", "implementation")
"""Text columns; absent (in older studies) means an empty text."""

INTEGER_RECORD_COLUMNS = ("tuning", "round")
"""Integer columns; absent (each optimizer tuned once, in one round) means 0."""

CURVE_COLUMNS = ("trial_id", "step", "train_seconds", "ap")
"""Columns of curves, which have one row for each evaluation during a confirm trial."""


def with_record_columns(records: pd.DataFrame) -> pd.DataFrame:
    """Return the records with every column that the analysis reads.

    Args:
        records: One row per trial. A frame without rows (a study that has just begun) may lack any column.

    Returns:
        A frame with rows numbered from 0; the same object if nothing had to change. Absent measured columns hold NaN,
        `TEXT_RECORD_COLUMNS` an empty text, `INTEGER_RECORD_COLUMNS` 0.

    Raises:
        ValueError: The frame has rows and lacks one of ``REQUIRED_RECORD_COLUMNS``.
    """
    never_missing = (*TEXT_RECORD_COLUMNS, *INTEGER_RECORD_COLUMNS)
    complete = _with_columns(records, "records", REQUIRED_RECORD_COLUMNS, (*MEASURED_RECORD_COLUMNS, *never_missing))
    if complete is records and not any(records[name].isna().any() for name in never_missing):
        return records
    return pd.DataFrame({str(name): _plain(str(name), column) for name, column in complete.items()})


def split_controls(records: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the records of the study itself, and those of its controls (where ``control_of`` is not empty)."""
    records = with_record_columns(records)
    is_control = records["control_of"].to_numpy(object) != ""
    if not is_control.any():
        return records, records.iloc[:0]
    return records[~is_control].reset_index(drop=True), records[is_control].reset_index(drop=True)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries by column name."""
    return cast("list[dict[str, Any]]", frame.to_dict(orient="records"))


def rows_by_value(frame: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Return the row numbers (int array) of each value of a text column."""
    return cast("dict[str, np.ndarray]", frame.groupby(column).indices)


def study_records(records: pd.DataFrame) -> pd.DataFrame:
    """Return `with_record_columns` without controls, which are neither ranked nor tested."""
    return split_controls(records)[0]


def _plain(name: str, column: pd.Series) -> pd.Series:
    """Convert a column to its plain type.

    Texts become objects: selections, of which hundreds follow, are several times slower on pandas' string type.
    """
    if name in TEXT_RECORD_COLUMNS:
        texts = column.astype(object)
        return texts.where(texts.notna(), "")
    if name in INTEGER_RECORD_COLUMNS:
        return pd.to_numeric(column, errors="coerce").fillna(0).astype(int)
    return column.astype(object) if isinstance(column.dtype, pd.StringDtype) else column


def numbers(column: pd.Series) -> np.ndarray:
    """Return a measured column as a float array, with NaN for anything that is not a number."""
    if column.dtype == float:
        return column.to_numpy()
    return pd.to_numeric(column, errors="coerce").to_numpy(float)


def with_curve_columns(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves with all ``CURVE_COLUMNS``; only a frame without rows may lack some.

    Raises:
        ValueError: The frame has rows and lacks a column.
    """
    return _with_columns(curves, "curves", CURVE_COLUMNS, ())


def _with_columns(frame: pd.DataFrame, what: str, required: tuple[str, ...], optional: tuple[str, ...]) -> pd.DataFrame:
    present = set(frame.columns)
    if present.issuperset((*required, *optional)) and _numbered(frame.index):
        return frame
    missing = [column for column in required if column not in present]
    if missing and len(frame):
        raise ValueError(f"the {what} lack the column(s) {', '.join(missing)}")
    extra = [column for column in frame.columns if column not in (*required, *optional)]
    return frame.reset_index(drop=True).reindex(columns=[*required, *optional, *extra])


def _numbered(index: pd.Index) -> bool:
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
