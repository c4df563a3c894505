"""The speed that each configuration could reach, and its bottleneck: the part that slows training down.

One process that loads and computes does both in turn, except that a device with its own clock computes while the
process loads. With workers, training is at most as fast as the slower of loading alone and computing alone, and takes
no more CPU than there is.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.findings import Ratio
from bench.kinds.loaders.analysis.ratios import Floats, Times, ratio_columns, speed_ratios
from bench.trials.loader_settings import plain_value

LOADER_BOUND, COMPUTE_BOUND, BALANCED, UNKNOWN = "loader-bound", "compute-bound", "balanced", "unknown"
"""Bottlenecks."""
IN_TURN = "in turn"
"""One process loads and computes; making either faster would speed training up."""
SHARED_CORES = "shared cores"
"""Workers and step compete for the same cores; if either had them alone, training would be faster."""
MEMORY_BOUND = "memory-bound"
"""Bottleneck of a recommended configuration that is loader-bound and for which more workers did not fit into memory."""

SPEEDS_UP = 1.1
"""Speed-up above which training counts as held back: MLPerf Storage asks for an accelerator utilisation of 90 %."""
IMPOSSIBLE = 1.1
"""Ratio of measured to possible speed above which a measurement was disturbed."""
CORES_BUSY = 0.8
"""Share of the cores that training keeps busy from which workers and step compete for them."""
WORKER_SETTINGS = ("prefetch_factor", "persistent_workers", "start_method")
"""Settings that have no meaning without workers."""


def add_model(
    frame: pd.DataFrame,
    trained: Times,
    loaded: Times,
    computed: Times,
    host: Times,
    *,
    level: float,
    cores: float | None,
) -> pd.DataFrame:
    """Add to a panel's rows the possible speed, the bottleneck, and whether the measurement was disturbed.

    Args:
        frame: A row for each configuration, in the order of the columns of the times.
        trained, loaded, computed: Seconds per image of the three arms (training, loading alone, computing alone).
        host: The part of ``computed`` in which the host was inside the step.
        level: Error level of this look, divided equally between the configurations.
        cores: CPU cores that the processes could use; None: unknown.
    """
    level /= max(1, len(frame))
    possible = [_possible(row, index, loaded, computed, host) for index, (_, row) in enumerate(frame.iterrows())]
    columns = trained.seconds.T
    free_loading = speed_ratios(list(zip(computed.seconds.T, columns, strict=True)), level)
    free_computing = speed_ratios(list(zip(loaded.seconds.T, columns, strict=True)), level)
    over = speed_ratios([(one, other) for one, other in zip(columns, possible, strict=True)], level)
    reachable = np.array([1 / _mean(each) for each in possible])
    modelled = np.minimum(reachable, _of_cores(frame, cores))
    rows = frame.assign(
        possible_images_per_s=reachable,
        modelled_images_per_s=modelled,
        of_model=np.array([each.value for each in over]) * reachable / modelled,
        disturbed=[_is_disturbed(each) for each in over],
        **ratio_columns("if_loading_were_free", free_loading),
        **ratio_columns("if_computing_were_free", free_computing),
    )
    rows["bottleneck"] = [
        bottleneck(row, one, other, cores)
        for (_, row), one, other in zip(rows.iterrows(), free_loading, free_computing, strict=True)
    ]
    return rows


def bottleneck(row: Any, free_loading: Ratio, free_computing: Ratio, cores: float | None) -> str:
    """Return a configuration's bottleneck, by its training's gain if loading, or computing, were free.

    If the interval of one gain contains SPEEDS_UP and the other gain is larger with certainty, the bottleneck is the
    other; if nothing is certain, it is unknown.
    """
    loading, computing = _speeds_up(free_loading), _speeds_up(free_computing)
    if loading is False and computing is False:
        return BALANCED
    if loading and computing:
        if row["num_workers"] == 0 and not row["own_loader"]:
            return IN_TURN
        if cores is None or math.isnan(row["cores_used"]) or row["cores_used"] >= CORES_BUSY * cores:
            return SHARED_CORES
    if loading and (computing is False or _surely_more(free_loading, free_computing)):
        return LOADER_BOUND
    if computing and (loading is False or _surely_more(free_computing, free_loading)):
        return COMPUTE_BOUND
    return UNKNOWN


def worker_curve(frame: pd.DataFrame, like: Any) -> pd.DataFrame:
    """Return the configurations with a result that differ from ``like`` only in num_workers, fewest workers first.

    Settings that need workers (WORKER_SETTINGS) have no meaning for 0 workers, so these match any; if ``like`` itself
    has no workers, the others have PyTorch's defaults.
    """
    same = frame[frame["n"] > 0]
    for name in ("batch_size", "pin_memory", "cv2_threads", "own_loader"):
        same = same[same[name] == like[name]]
    wanted = {name: like[name] if like["num_workers"] > 0 else None for name in WORKER_SETTINGS}
    keep = [
        row["num_workers"] == 0 or all(_equal(row[name], value) for name, value in wanted.items())
        for _, row in same.iterrows()
    ]
    return same.loc[keep].sort_values("num_workers", kind="stable")


def flips_at(curve: pd.DataFrame) -> int | None:
    """Return the number of workers of a `worker_curve` from which loading in no time would not help; None if there is
    no such number, or a smaller one is unknown."""
    fewest = None
    for _, row in curve[::-1].iterrows():
        if row["bottleneck"] == UNKNOWN:
            return None
        if row["bottleneck"] not in (COMPUTE_BOUND, BALANCED):
            break
        fewest = int(row["num_workers"])
    return fewest


def _possible(row: Any, column: int, loaded: Times, computed: Times, host: Times) -> Floats:
    """Return the minimum seconds per image that the arms allow, (blocks,)."""
    load, compute = loaded.seconds[:, column], computed.seconds[:, column]
    if math.isnan(_mean(load)) or math.isnan(_mean(compute)):
        return np.full(len(load), np.nan)
    if row["num_workers"] == 0 and not row["own_loader"]:
        own = load + np.where(np.isfinite(host.seconds[:, column]), host.seconds[:, column], compute)
        return own if _mean(own) >= _mean(compute) else compute
    return load if _mean(load) > _mean(compute) else compute


def _of_cores(frame: pd.DataFrame, cores: float | None) -> Floats:
    """Return the images/s (K,) that the cores allow workers and step together; infinite if unknown."""
    if cores is None:
        return np.full(len(frame), np.inf)
    cpu = frame["cpu_s_per_image"].to_numpy(dtype=float)
    workers = frame["num_workers"].to_numpy(dtype=float) > 0
    with np.errstate(divide="ignore"):
        return np.where(workers & (cpu > 0), cores / cpu, np.inf)


def _is_disturbed(over: Ratio) -> bool:
    return over.low is not None and over.value > IMPOSSIBLE and over.low > 1


def _speeds_up(gain: Ratio) -> bool | None:
    """Return whether training would be faster by more than SPEEDS_UP; None if the interval does not tell."""
    if gain.low is None or gain.high is None:
        return None
    return True if gain.low > SPEEDS_UP else False if gain.high < SPEEDS_UP else None


def _surely_more(one: Ratio, other: Ratio) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high


def _mean(column: Floats) -> float:
    finite = column[np.isfinite(column)]
    return float(finite.mean()) if len(finite) else math.nan


def _equal(one: Any, other: Any) -> bool:
    return one == other or (_unset(one) and _unset(other))


def _unset(value: Any) -> bool:
    """Return whether a setting is PyTorch's default: None (NaN in a column of numbers) or False."""
    plain = plain_value(value)
    return plain is None or plain is False
