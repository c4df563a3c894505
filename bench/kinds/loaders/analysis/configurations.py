"""Summarises a loader study's frames, one row for each configuration: speeds with intervals, ratios, and failures."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.kinds.loaders.analysis.bottleneck import add_model
from bench.kinds.loaders.analysis.choice import Choice, PanelState, by_cost, choose, panel_state, reference_of
from bench.kinds.loaders.analysis.findings import Comparison, Ratio
from bench.kinds.loaders.analysis.ratios import (
    Floats,
    Ratios,
    Times,
    is_disturbed_by_others,
    level_at,
    ratio_columns,
    seconds_per_image,
    speeds,
)
from bench.trials.columns import rows_by_value
from bench.trials.loader_settings import SETTINGS, plain_value
from bench.trials.status import Status

Rows = NDArray[np.intp]
NO_ROWS: Rows = np.empty(0, dtype=np.intp)

LOADER, COMPUTE, END_TO_END = "loader", "compute", "end_to_end"
"""Names of the arms, which are the three things that slices time: loading alone, computing alone, training."""

WAIT_PERCENTILES = (50, 95, 99)
PEAKS = ("peak_memory_bytes", "shm_peak_bytes", "gpu_memory_bytes", "gpu_others_bytes")
"""Columns summarised by their largest value over the blocks."""
MEDIANS = ("first_batch_s", "epoch_gap_s", "gpu_utilization_percent")
"""Columns summarised by their median over the blocks."""
PARTS = ("seconds", "wait_s", "compute_s", "batches", "cpu_s")
"""Columns of slices from which shares of training time are computed."""
SUMMED = ("images", "seconds", "host_s", "cpu_s")
"""Columns of slices from which `Panel.of_arm` has seconds per image."""
COLUMNS = [*SETTINGS, "own_loader", "key", "phase", "panel", "n", "status", "error", "faults", "images_per_s"]
"""Columns of a summary without a configuration."""

NOT_COPIED = "The step copies no batch to a device: pin_memory had no effect to measure and is not ranked."
NOT_PINNED = "Without an accelerator pin_memory does nothing: it had no effect to measure and is not ranked."


def configuration_key(row: Any) -> str:
    """Return one text for the settings of a row and its own loader, equal in all blocks of a configuration."""
    own = row.get("own_loader") or ""
    return json.dumps([plain_value(row[name]) for name in SETTINGS] + ([own] if own else []))


@dataclass(frozen=True, eq=False)
class Panel:
    """Configurations that were measured side by side, with their measurements.

    Attributes:
        phase, number: Identify the panel.
        keys: Keys of its configurations, in the order in which they were begun.
        processes: Its rows of ``processes``, with ``key``.
        slices: Its slices that are used, with ``key``: those that were not dropped and whose process completed.
        all_slices, dropped: Number of all its slices, and of the dropped ones, by key.
        others_share: Median share of the cores that other programs took, by key.
    """

    phase: str
    number: int
    keys: tuple[str, ...]
    processes: pd.DataFrame
    slices: pd.DataFrame
    all_slices: dict[str, int]
    dropped: dict[str, int]
    others_share: dict[str, float]

    def of_arm(self, arm: str, name: str = "seconds") -> Times:
        """Return the seconds per image of an arm (or of a part of it: ``host_s``, ``cpu_s``) for all configurations and
        blocks."""
        own = self._sums.get(arm, pd.DataFrame(columns=[*SUMMED]))
        return seconds_per_image(own[[name, "images"]], self.keys, self.blocks)

    @cached_property
    def _sums(self) -> dict[str, pd.DataFrame]:
        """For each arm, the sums over the slices of each block and configuration."""
        by_arm = self.slices.groupby("arm")[["block", "key", *SUMMED]]
        return {str(arm): own.groupby(["block", "key"]).sum() for arm, own in by_arm}

    @cached_property
    def blocks(self) -> list[int]:
        """Numbers of the blocks that have begun."""
        return sorted(self.processes["block"].unique())


def panels(processes: pd.DataFrame, slices: pd.DataFrame) -> list[Panel]:
    """Return the panels of a study's frames, in the order in which they were begun."""
    return list(_panels(processes, slices))


def _panels(processes: pd.DataFrame, slices: pd.DataFrame) -> Iterator[Panel]:
    if not len(processes):
        return
    processes = processes.assign(key=_keys(processes))
    foreign = is_disturbed_by_others(slices)
    slices = slices.assign(key=_keys(slices), dropped=foreign) if len(slices) else slices
    for phase, number in dict.fromkeys(zip(processes["phase"], processes["panel"].astype(int), strict=True)):
        own = processes[(processes["phase"] == phase) & (processes["panel"] == number)]
        keys = tuple(dict.fromkeys(own["key"]))
        if not len(slices):
            empty = pd.DataFrame(columns=["key", "block", "arm", "seconds", "images", "host_s", "compute_s", "cpu_s"])
            yield Panel(phase, number, keys, own, empty, {}, {}, {})
            continue
        mine = slices[(slices["phase"] == phase) & (slices["panel"] == number)]
        ended = own.loc[own["status"] == Status.COMPLETE, ["block", "key"]].drop_duplicates()
        counted = mine[~mine["dropped"]].merge(ended, on=["block", "key"])
        grouped = {key: mine[mine["key"] == key] for key in keys}
        yield Panel(
            phase,
            number,
            keys,
            own,
            counted,
            {key: len(each) for key, each in grouped.items()},
            {key: int(each["dropped"].sum()) for key, each in grouped.items()},
            {key: float(each["others_share"].astype(float).median()) for key, each in grouped.items()},
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """A panel with its ratios and its choice."""

    panel: Panel
    ratios: Ratios
    reference: str
    cheapest: tuple[str, ...]
    """Keys of configurations with a result, cheapest first."""
    choice: Choice | None
    """The choice; None if nothing has a result."""
    frame: pd.DataFrame
    """A row for each configuration."""

    def state(self, plan: Comparison) -> PanelState:
        """Decide at a look what is still open in the panel and what its next blocks measure."""
        return panel_state(self.ratios, self.cheapest, self.reference, plan)

    @property
    def disturbed(self) -> set[str]:
        """Keys of the configurations that trained faster than their arms allow: their arms must be repeated."""
        return {*self.frame.loc[self.frame["disturbed"], "key"]}


def compare(panel: Panel, plan: Comparison) -> Compared:
    """Compare the configurations of a panel: rows, ratios and choice."""
    times = panel.of_arm(END_TO_END)
    level = level_at(plan, len(panel.blocks))
    ratios = Ratios(times, level / plan.pairs)
    frame = _rows(panel, times, level)
    computed, host = (computed_by(frame, panel.of_arm(COMPUTE, name)) for name in ("seconds", "host_s"))
    frame = add_model(frame, times, panel.of_arm(LOADER), computed, host, level=level, cores=plan.cores)
    reference, cheapest = reference_of(frame), by_cost(frame)
    choice = choose(ratios, cheapest, plan.margin) if cheapest else None
    for name, other in (("ratio", reference), ("to_fastest", choice.fastest if choice else "")):
        column = [ratios.between(key, other) if key in cheapest else None for key in frame["key"]]
        frame = frame.assign(**ratio_columns(name, column))
    standings = {} if choice is None else choice.standings | {choice.fastest: "fastest"}
    frame["standing"] = [standings.get(key, "") for key in frame["key"]]
    return Compared(panel, ratios, reference, tuple(cheapest), choice, frame)


def compared_panel(
    processes: pd.DataFrame, slices: pd.DataFrame, plan: Comparison, *, phase: str, panel: int
) -> Compared:
    """Compare the configurations of one panel at a look (interim analysis).

    Args:
        processes, slices: The study's frames, of which only this panel's blocks up to the look are used.
        plan: See `Comparison`; this panel has reached one of its looks.
        phase, panel: Identify the panel.
    """
    mine = next(each for each in panels(processes, slices) if (each.phase, each.number) == (phase, panel))
    return compare(mine, plan)


def pool_pinning(processes: pd.DataFrame, slices: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Pool measurements with and without pin_memory if nothing was ever pinned.

    Returns:
        The frames, with ``pin_memory`` False throughout if no process pinned anything, and the sentence that says so
        (empty if pinning had an effect, or was not requested).
    """
    if processes.empty or processes["effective_pin_memory"].fillna(False).astype(bool).any():
        return processes, slices, ""
    asked = processes["pin_memory"].astype(bool).any()
    on_accelerator = processes.loc[processes["status"] == Status.COMPLETE, "device"].isin(["cuda", "xpu"]).any()
    if not asked or on_accelerator:
        return processes, slices, ""
    return processes.assign(pin_memory=False), slices.assign(pin_memory=False) if len(slices) else slices, NOT_PINNED


def _rows(panel: Panel, times: Times, level: float) -> pd.DataFrame:
    rows = []
    of_arm = {name: speeds(each, level) for name, each in (("", times), ("loader_", panel.of_arm(LOADER)))}
    processes, trained = panel.processes, panel.slices[panel.slices["arm"] == END_TO_END]
    begun_rows, trained_rows = (rows_by_value(frame, "key") for frame in (processes, trained))
    measured = _numbers(processes, (*MEDIANS, *PEAKS))
    parts = _numbers(trained, PARTS)
    for index, key in enumerate(panel.keys):
        rows.append(
            _facts(processes, measured, begun_rows[key], key)
            | {"phase": panel.phase, "panel": panel.number, "n": of_arm[""][index].n}
            | _parts(parts, trained_rows.get(key, NO_ROWS))
            | {"slices": panel.all_slices.get(key, 0), "dropped": panel.dropped.get(key, 0)}
            | {"others_share": panel.others_share.get(key, math.nan)}
        )
    frame = pd.DataFrame(rows)
    for prefix, arm_speeds in of_arm.items():
        frame = frame.assign(**_speed_columns(prefix, arm_speeds))
    step = computed_by(frame, panel.of_arm(COMPUTE))
    frame = frame.assign(**_speed_columns("compute_", speeds(step, level)))
    cpu = panel.of_arm(LOADER, "cpu_s").means + computed_by(frame, panel.of_arm(COMPUTE, "cpu_s")).means
    return frame.assign(cpu_s_per_image=cpu)


def computed_by(frame: pd.DataFrame, computed: Times) -> Times:
    """Return the times of the arm `compute` for each configuration; it is measured once with and once without pinned
    memory."""
    measured = [key for key in computed.keys if np.isfinite(computed.column(key)).any()]
    pinned = dict(zip(frame["key"], frame["pin_memory"].astype(bool), strict=True))
    columns: list[Floats] = []
    for key in computed.keys:
        alike = [other for other in measured if pinned[other] == pinned[key]] or measured
        chosen = key if key in measured else alike[0] if alike else key
        columns.append(computed.column(chosen))
    return Times(computed.keys, np.stack(columns, axis=1) if columns else computed.seconds)


def _speed_columns(prefix: str, arm_speeds: list[Ratio]) -> dict[str, list[float]]:
    columns = ratio_columns(f"{prefix}images_per_s", list(arm_speeds))
    return {
        f"{prefix}images_per_s": columns[f"{prefix}images_per_s"],
        f"{prefix}low": columns[f"{prefix}images_per_s_low"],
        f"{prefix}high": columns[f"{prefix}images_per_s_high"],
    }


def _facts(processes: pd.DataFrame, measured: Mapping[str, Floats], own: Rows, key: str) -> dict[str, Any]:
    """Return settings, status and resource use of a configuration's processes.

    Args:
        processes: Those of the panel.
        measured: Their columns MEDIANS and PEAKS, as far as there are any.
        own: Numbers of the configuration's rows.
        key: The configuration's.
    """
    is_complete = (processes["status"].iloc[own] == Status.COMPLETE).to_numpy(bool)
    complete, faulty = own[is_complete], own[~is_complete]
    first = processes.iloc[own[0]]
    row: dict[str, Any] = {name: plain_value(first[name]) for name in SETTINGS}
    row |= {"own_loader": first.get("own_loader") or "", "key": key}
    row["status"], row["error"] = Status.COMPLETE, ""
    if len(faulty):
        row |= {name: str(processes[name].iloc[faulty[0]]) for name in ("status", "error")}
    row["faults"] = len(faulty)
    row |= {name: _median(measured, name, complete) for name in MEDIANS}
    row |= {name: _largest(measured, name, own) for name in PEAKS}
    row["usual_memory_bytes"] = _median(measured, "peak_memory_bytes", complete)
    quantiles = processes["wait_quantiles_ms"].iloc[complete] if "wait_quantiles_ms" in processes else ()
    waits = [each for each in quantiles if len(each)]
    for percent in WAIT_PERCENTILES:
        row[f"wait_p{percent}_ms"] = float(np.median([each[percent] for each in waits])) if waits else math.nan
    return row


def _parts(parts: Mapping[str, Floats], own: Rows) -> dict[str, float]:
    """Return the shares of training time, the step time and the use of cores.

    ``parts``: columns PARTS of slices; ``own``: numbers of the configuration's rows.
    """
    sums = {name: float(np.nansum(values[own])) for name, values in parts.items()}
    seconds = sums.get("seconds", 0.0)
    if not seconds:
        return dict.fromkeys(("data_wait_share", "au", "compute_ms", "cores_used"), math.nan)
    return {
        "data_wait_share": sums["wait_s"] / seconds,
        "au": min(1.0, sums["compute_s"] / seconds),
        "compute_ms": 1000 * sums["compute_s"] / sums["batches"],
        "cores_used": sums["cpu_s"] / seconds,
    }


def _keys(frame: pd.DataFrame) -> list[str]:
    """Return the `configuration_key` of each row, computed once for equal settings."""
    names = [*SETTINGS, "own_loader"] if "own_loader" in frame else [*SETTINGS]
    made: dict[tuple[Any, ...], str] = {}
    keys = []
    for values in frame[names].itertuples(index=False, name=None):
        plain = tuple(plain_value(value) for value in values)
        if plain not in made:
            made[plain] = configuration_key(dict(zip(names, plain, strict=True)))
        keys.append(made[plain])
    return keys


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, Floats]:
    """Return columns as arrays, without those that the frame lacks: selections are many times faster on these."""
    return {name: frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in names if name in frame}


def _known(columns: Mapping[str, Floats], name: str, own: Rows) -> Floats:
    values = columns[name][own] if name in columns else np.empty(0)
    return values[~np.isnan(values)]


def _median(columns: Mapping[str, Floats], name: str, own: Rows) -> float:
    known = _known(columns, name, own)
    return float(np.median(known)) if len(known) else math.nan


def _largest(columns: Mapping[str, Floats], name: str, own: Rows) -> float:
    known = _known(columns, name, own)
    return float(known.max()) if len(known) else math.nan
