"""What a configuration could reach, and what, made faster, would speed its training up.

One process that loads and computes takes both in turn, but for what a device with a clock of its own computes
meanwhile; with workers, training is at most as fast as the slower of loading alone and computing alone, and takes no
more CPU than there is.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.findings import Ratio
from bench.kinds.loaders.analysis.ratios import Floats, Times, apart, ratio_columns
from bench.trials.loader_settings import plain_setting

LOADER_BOUND, COMPUTE_BOUND, BALANCED, UNKNOWN = "loader-bound", "compute-bound", "balanced", "unknown"
IN_TURN = "in turn"
"""One process does both, and either made faster would speed training up."""
SHARED_CORES = "shared cores"
"""Workers and step want the same cores: with either alone, training would be faster."""
MEMORY_BOUND = "memory-bound"
"""Of a recommendation: loader-bound, and more workers did not fit into memory."""

SPEEDS_UP = 1.1
"""Training that would be that many times as fast is held back: MLPerf Storage asks for an accelerator utilisation of
90 %."""
IMPOSSIBLE = 1.1
"""Times what is possible from which a measurement was disturbed."""
CORES_BUSY = 0.8
"""Share of the cores that training keeps busy from which workers and step compete for them."""
WORKER_SETTINGS = ("prefetch_factor", "persistent_workers", "start_method")
"""Settings that mean nothing without workers."""


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
    """Add to a panel's rows what is possible, what holds each back, and whether it was disturbed.

    Args:
        frame: A row for each configuration, in the order of the times' columns.
        trained, loaded, computed: Seconds per image of the arms; ``computed`` matched to each configuration.
        host: Of ``computed``, the part in which the host was inside the step.
        level: Of this look; each configuration has its share of it.
        cores: CPU cores that the processes could use; None: not known.
    """
    level /= max(1, len(frame))
    possible = [_possible(row, place, loaded, computed, host) for place, (_, row) in enumerate(frame.iterrows())]
    columns = trained.seconds.T
    free_loading = apart(list(zip(computed.seconds.T, columns, strict=True)), level)
    free_computing = apart(list(zip(loaded.seconds.T, columns, strict=True)), level)
    over = apart([(one, other) for one, other in zip(columns, possible, strict=True)], level)
    reachable = np.array([1 / _mean(each) for each in possible])
    modelled = np.minimum(reachable, _of_cores(frame, cores))
    found = frame.assign(
        possible_images_per_s=reachable,
        modelled_images_per_s=modelled,
        of_model=np.array([each.value for each in over]) * reachable / modelled,
        disturbed=[_is_disturbed(each) for each in over],
        **ratio_columns("if_loading_were_free", free_loading),
        **ratio_columns("if_computing_were_free", free_computing),
    )
    found["bottleneck"] = [
        bottleneck(row, one, other, cores)
        for (_, row), one, other in zip(found.iterrows(), free_loading, free_computing, strict=True)
    ]
    return found


def bottleneck(row: Any, free_loading: Ratio, free_computing: Ratio, cores: float | None) -> str:
    """What holds a configuration back, by what its training would gain were loading, or computing, free.

    Where the interval of one holds SPEEDS_UP and the other surely brings more, it is the other; where nothing is sure,
    it is unknown.
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
    """The configurations with a result that differ from ``like`` in num_workers alone, fewest workers first.

    Settings that need workers (WORKER_SETTINGS) say nothing of 0 workers: there the curve has what ``like`` has, or
    PyTorch's defaults where ``like`` itself has none.
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
    """The fewest workers from which on free loading would not help in a `worker_curve`; None where that is never so, or
    unknown of the one before."""
    found = None
    for _, row in curve[::-1].iterrows():
        if row["bottleneck"] == UNKNOWN:
            return None
        if row["bottleneck"] not in (COMPUTE_BOUND, BALANCED):
            break
        found = int(row["num_workers"])
    return found


def _possible(row: Any, place: int, loaded: Times, computed: Times, host: Times) -> Floats:
    """(blocks,) Least seconds per image that the arms allow."""
    load, compute = loaded.seconds[:, place], computed.seconds[:, place]
    if math.isnan(_mean(load)) or math.isnan(_mean(compute)):
        return np.full(len(load), np.nan)
    if row["num_workers"] == 0 and not row["own_loader"]:
        own = load + np.where(np.isfinite(host.seconds[:, place]), host.seconds[:, place], compute)
        return own if _mean(own) >= _mean(compute) else compute
    return load if _mean(load) > _mean(compute) else compute


def _of_cores(frame: pd.DataFrame, cores: float | None) -> Floats:
    """(K,) Images/s that the cores allow workers and step together; infinite where that is not known."""
    if cores is None:
        return np.full(len(frame), np.inf)
    cpu = frame["cpu_s_per_image"].to_numpy(dtype=float)
    workers = frame["num_workers"].to_numpy(dtype=float) > 0
    with np.errstate(divide="ignore"):
        return np.where(workers & (cpu > 0), cores / cpu, np.inf)


def _is_disturbed(over: Ratio) -> bool:
    return over.low is not None and over.value > IMPOSSIBLE and over.low > 1


def _speeds_up(found: Ratio) -> bool | None:
    """Whether training would be faster by more than SPEEDS_UP; None where the interval does not tell."""
    if found.low is None or found.high is None:
        return None
    return True if found.low > SPEEDS_UP else False if found.high < SPEEDS_UP else None


def _surely_more(one: Ratio, other: Ratio) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high


def _mean(column: Floats) -> float:
    finite = column[np.isfinite(column)]
    return float(finite.mean()) if len(finite) else math.nan


def _equal(one: Any, other: Any) -> bool:
    return one == other or (_unset(one) and _unset(other))


def _unset(value: Any) -> bool:
    """Whether a setting is PyTorch's default: None (NaN in a column of numbers) or False."""
    plain = plain_setting(value)
    return plain is None or plain is False
