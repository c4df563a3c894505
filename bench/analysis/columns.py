"""The columns that the analysis reads from records and curves, and what an absent one means."""

import pandas as pd

COMPLETE = "complete"
DIVERGED = "diverged"
TUNE = "tune"
CONFIRM = "confirm"

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
)
"""What a trial may not have measured: absent means unknown (NaN)."""

CURVE_COLUMNS = ("trial_id", "step", "train_seconds", "ap")
"""One row for each evaluation during a confirm trial."""


def with_record_columns(records: pd.DataFrame) -> pd.DataFrame:
    """Return the records with every column that the analysis reads.

    Args:
        records: One row a trial. A frame without rows may lack any column (a study that has only begun).

    Returns:
        A new frame with a fresh row index; measured columns that were absent hold NaN.

    Raises:
        ValueError: The frame has rows and lacks one of ``REQUIRED_RECORD_COLUMNS``.
    """
    return _with_columns(records, "records", REQUIRED_RECORD_COLUMNS, MEASURED_RECORD_COLUMNS)


def with_curve_columns(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves with every one of ``CURVE_COLUMNS``; only a frame without rows may lack some.

    Raises:
        ValueError: The frame has rows and lacks a column.
    """
    return _with_columns(curves, "curves", CURVE_COLUMNS, ())


def _with_columns(frame: pd.DataFrame, what: str, required: tuple[str, ...], optional: tuple[str, ...]) -> pd.DataFrame:
    missing = [column for column in required if column not in frame.columns]
    if missing and len(frame):
        raise ValueError(f"the {what} lack the column(s) {', '.join(missing)}")
    extra = [column for column in frame.columns if column not in (*required, *optional)]
    return frame.reset_index(drop=True).reindex(columns=[*required, *optional, *extra])
