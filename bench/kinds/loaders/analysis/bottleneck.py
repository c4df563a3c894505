"""What holds a configuration back, from how many workers on it no longer does, and where more workers stop to help."""

import math
from typing import Any

import pandas as pd

from bench.trials.loader_settings import plain_setting
from bench.trials.status import Status

LOADER_BOUND, COMPUTE_BOUND, BALANCED, UNKNOWN = "loader-bound", "compute-bound", "balanced", "unknown"
MEMORY_BOUND = "memory-bound"
"""Of a recommendation: loader-bound, and what would load faster did not fit into memory."""

WORKER_SETTINGS = ("prefetch_factor", "persistent_workers", "start_method")
MAX_WAIT_SHARE = 0.1
"""MLPerf Storage asks for an accelerator utilisation of 90 %: what waits longer than the rest is loader-bound."""
BALANCED_WITHIN = 0.1
"""Loading and computing alone that are so close (relative) are balanced, though neither hides the other quite."""
TELL_APART = 0.05
"""Without an interval (one repeat), medians within this are not told apart."""


def add_bottlenecks(summary: pd.DataFrame, *, noise: float = 0.0) -> pd.DataFrame:
    """Add ``bottleneck``, ``limit_images_per_s`` and ``gap`` to a frame of `summarize_configurations`.

    ``limit_images_per_s`` is min(loader, compute): what training could reach if one hid behind the other wholly;
    ``gap`` is the share of it that is missing. ``noise`` is the machine's spread, relative.
    """
    frame = summary.copy()
    if frame.empty:
        return frame
    frame["bottleneck"] = [bottleneck(row, noise=noise) for _, row in frame.iterrows()]
    frame["limit_images_per_s"] = frame[["loader_images_per_s", "compute_images_per_s"]].min(axis=1, skipna=False)
    frame["gap"] = 1 - frame["images_per_s"] / frame["limit_images_per_s"]
    return frame


def bottleneck(row: Any, *, noise: float = 0.0) -> str:
    """What one configuration waits for.

    With workers, loading alone and computing alone within BALANCED_WITHIN (or the machine's noise) of each other are
    `balanced`. Else training itself decides, since workers and step may want the same cores: it is `loader-bound` where
    it waits for data more than MAX_WAIT_SHARE of the time.
    """
    if row["status"] != Status.COMPLETE or math.isnan(row["data_wait_share"]):
        return UNKNOWN
    ratio = row["loader_images_per_s"] / row["compute_images_per_s"]
    if row["num_workers"] > 0 and abs(math.log(ratio)) <= math.log1p(max(BALANCED_WITHIN, noise)):
        return BALANCED
    return LOADER_BOUND if row["data_wait_share"] > MAX_WAIT_SHARE else COMPUTE_BOUND


def alike(slow: Any, fast: Any, *, noise: float = 0.0) -> bool:
    """Whether two rows' images/s cannot be told apart: intervals that overlap, or a difference inside the noise."""
    if slow["images_per_s"] > fast["images_per_s"]:
        slow, fast = fast, slow
    missing = 1 - slow["images_per_s"] / fast["images_per_s"]
    if missing <= noise:
        return True
    if math.isnan(slow["high"]) or math.isnan(fast["low"]):
        return bool(missing <= TELL_APART)
    return bool(slow["high"] >= fast["low"])


def worker_curve(frame: pd.DataFrame, like: Any) -> pd.DataFrame:
    """The complete configurations that differ from ``like`` in num_workers alone, fewest workers first.

    Settings that need workers (WORKER_SETTINGS) say nothing of 0 workers: there the curve has what ``like`` has, or
    PyTorch's defaults where ``like`` itself has none.
    """
    same = frame[frame["status"] == Status.COMPLETE]
    for name in ("batch_size", "pin_memory", "cv2_threads"):
        same = same[same[name] == like[name]]
    wanted = {name: like[name] if like["num_workers"] > 0 else None for name in WORKER_SETTINGS}
    keep = [
        row["num_workers"] == 0 or all(_equal(row[name], value) for name, value in wanted.items())
        for _, row in same.iterrows()
    ]
    return same.loc[keep].sort_values("num_workers", kind="stable")


def flips_at(curve: pd.DataFrame) -> int | None:
    """The fewest workers from which on nothing in a `worker_curve` is loader-bound; None if the last one is."""
    found = None
    for _, row in curve[::-1].iterrows():
        if row["bottleneck"] in (LOADER_BOUND, UNKNOWN):
            break
        found = int(row["num_workers"])
    return found


def knee(curve: pd.DataFrame, *, noise: float = 0.0) -> int | None:
    """The fewest workers of a `worker_curve` that are as fast as its fastest: more do not help."""
    if curve.empty:
        return None
    fastest = curve.iloc[curve["images_per_s"].argmax()]
    return next(int(row["num_workers"]) for _, row in curve.iterrows() if alike(row, fastest, noise=noise))


def _equal(one: Any, other: Any) -> bool:
    return one == other or (_unset(one) and _unset(other))


def _unset(value: Any) -> bool:
    """Whether a setting is PyTorch's default: None (NaN in a column of numbers) or False."""
    plain = plain_setting(value)
    return plain is None or plain is False
