"""The columns that an analysis reads from records and curves, and what an absent one means."""

from typing import Any, cast

import numpy as np
import pandas as pd

REQUIRED_RECORD_COLUMNS = ("trial_id", "phase", "optimizer", "hyperparameters", "seed", "status", "ap")
"""Without one of these a record says nothing: its absence is an error."""

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
    "started_ms",
    "ended_ms",
    "concurrent_trials",
    "run_id",
    "at_border",
    "ap_select",
)
"""What a trial may not have measured: absent means unknown (NaN)."""

TEXT_RECORD_COLUMNS = ("control_of", "implementation")
"""Absent in the records of older studies, and then an empty text."""

WHOLE_RECORD_COLUMNS = ("tuning", "round")
"""Absent where each optimizer was tuned once, in one round: then 0."""

CURVE_COLUMNS = ("trial_id", "step", "train_seconds", "ap")
"""One row for each evaluation during a confirm trial."""


def with_record_columns(records: pd.DataFrame) -> pd.DataFrame:
    """Return the records with every column that the analysis reads.

    Args:
        records: One row a trial. A frame without rows may lack any column (a study that has only begun).

    Returns:
        A frame with rows numbered from 0, the given one where it is already so; measured columns that were absent hold
        NaN, `TEXT_RECORD_COLUMNS` an empty text, `WHOLE_RECORD_COLUMNS` 0.

    Raises:
        ValueError: The frame has rows and lacks one of ``REQUIRED_RECORD_COLUMNS``.
    """
    never_absent = (*TEXT_RECORD_COLUMNS, *WHOLE_RECORD_COLUMNS)
    whole = _with_columns(records, "records", REQUIRED_RECORD_COLUMNS, (*MEASURED_RECORD_COLUMNS, *never_absent))
    if whole is records and not any(records[name].isna().any() for name in never_absent):
        return records
    return pd.DataFrame({str(name): _plain(str(name), column) for name, column in whole.items()})


def split_controls(records: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records of the study itself, and those of its controls (``control_of`` names an optimizer)."""
    records = with_record_columns(records)
    control = records["control_of"].to_numpy(object) != ""
    if not control.any():
        return records, records.iloc[:0]
    return records[~control].reset_index(drop=True), records[control].reset_index(drop=True)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, by the names of its columns."""
    return cast("list[dict[str, Any]]", frame.to_dict(orient="records"))


def places_by(frame: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Row numbers by each value of a column of texts."""
    return cast("dict[str, np.ndarray]", frame.groupby(column).indices)


def study_records(records: pd.DataFrame) -> pd.DataFrame:
    """`with_record_columns`, without the trials of controls: these stand outside every ranking and family of tests."""
    return split_controls(records)[0]


def _plain(name: str, column: pd.Series) -> pd.Series:
    """Texts as objects: hundreds of small selections follow, which pandas' own strings make several times slower."""
    if name in TEXT_RECORD_COLUMNS:
        texts = column.astype(object)
        return texts.where(texts.notna(), "")
    if name in WHOLE_RECORD_COLUMNS:
        return pd.to_numeric(column, errors="coerce").fillna(0).astype(int)
    return column.astype(object) if isinstance(column.dtype, pd.StringDtype) else column


def numbers(column: pd.Series) -> np.ndarray:
    """A measured column as floats: NaN for what is not a number."""
    if column.dtype == float:
        return column.to_numpy()
    return pd.to_numeric(column, errors="coerce").to_numpy(float)


def with_curve_columns(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves with every one of ``CURVE_COLUMNS``; only a frame without rows may lack some.

    Raises:
        ValueError: The frame has rows and lacks a column.
    """
    return _with_columns(curves, "curves", CURVE_COLUMNS, ())


def _with_columns(frame: pd.DataFrame, what: str, required: tuple[str, ...], optional: tuple[str, ...]) -> pd.DataFrame:
    known = set(frame.columns)
    if known.issuperset((*required, *optional)) and _numbered(frame.index):
        return frame
    missing = [column for column in required if column not in known]
    if missing and len(frame):
        raise ValueError(f"the {what} lack the column(s) {', '.join(missing)}")
    extra = [column for column in frame.columns if column not in (*required, *optional)]
    return frame.reset_index(drop=True).reindex(columns=[*required, *optional, *extra])


def _numbered(index: pd.Index) -> bool:
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
