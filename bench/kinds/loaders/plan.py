"""What a loader study measures next, by what it has measured: pure, so that an interrupted study goes on.

A study has two phases. The grid: every combination of the axes, each arm of it in a fresh process, in blocks of random
order. Around the best of it: one setting at a time, the best combination itself again in each block. Both repeat what
is still uncertain until its interval is narrow enough or the cap is reached.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.configurations import (
    COMPUTE,
    END_TO_END,
    LOADER,
    configuration_key,
    throughput_interval,
)
from bench.kinds.loaders.analysis.verdict import best_of_grid
from bench.kinds.loaders.phases import AROUND, GRID, PhaseName
from bench.kinds.loaders.spec import AROUND_AXES, NEED_WORKERS, LoaderSpec
from bench.measure.loader.configuration import LoaderConfiguration, configuration
from bench.trials.columns import rows_of
from bench.trials.identity import identifying
from bench.trials.loader_settings import chosen_settings
from bench.trials.status import Status
from posemodel.errors import SettingsError


@dataclass(frozen=True)
class Planned:
    """One measurement to be made."""

    phase: PhaseName
    block: int
    """Counted through both phases."""
    arm: str
    configuration: LoaderConfiguration

    @property
    def id(self) -> str:
        """Digest of the content: the same in every process."""
        content = [self.phase, self.block, self.arm, identifying(self.configuration)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


Series = tuple[str, LoaderConfiguration]
"""An arm of a configuration."""


def grid(spec: LoaderSpec, *, pinning: bool) -> list[LoaderConfiguration]:
    """Every combination of the axes; without ``pinning`` (no accelerator) nothing can be pinned, and nothing is."""
    pinned = spec.pin_memory if pinning else (False,)
    return [
        configuration(batch_size=batch_size, num_workers=workers, pin_memory=pin)
        for batch_size, workers, pin in itertools.product(spec.batch_size, spec.num_workers, pinned)
    ]


def around(spec: LoaderSpec, best: LoaderConfiguration) -> list[LoaderConfiguration]:
    """The best combination, and what differs from it in one setting; what cannot work with it is left out.

    PyTorch's defaults are among them: what is gained over these is told by blocks in which both were measured.
    """
    defaults = configuration(batch_size=best.batch_size)
    found = [best]
    for name in AROUND_AXES:
        if name in NEED_WORKERS and best.num_workers == 0:
            continue
        for value in getattr(spec, name):
            try:
                other = configuration(**best.model_dump() | {name: value})
            except SettingsError:  # a start method that this system does not have
                continue
            if other not in found:
                found.append(other)
    if len(found) > 1 and defaults not in found and 0 in spec.num_workers:
        found.append(defaults)
    return found if len(found) > 1 else []


def pending(spec: LoaderSpec, rows: pd.DataFrame, *, pinning: bool) -> list[Planned]:
    """What is left of the first block that is not whole, in its order; empty once the study is done.

    ``rows``: what has been measured, with ``id``, ``phase``, ``block``, ``arm``, ``status``, ``images_per_s`` and the
    configuration's settings; skipped ones too.
    """
    arms = (LOADER, END_TO_END) if spec.has_step else (END_TO_END,)
    first = grid(spec, pinning=pinning)
    series = [(arm, each) for each in first for arm in arms]
    if spec.has_step:
        series += [(COMPUTE, each) for each in _once_a_batch(first)]
    left = _first_open_block(spec, GRID, 0, series, rows)
    if left or not len(rows):
        return left
    best = best_of_grid(rows, noise=noise_of_grid(rows))
    if best is None:
        return []
    series = [(END_TO_END, each) for each in around(spec, as_configuration(best))]
    return _first_open_block(spec, AROUND, spec.repeats, series, rows)


def noise_of_grid(rows: pd.DataFrame) -> float:
    """The machine's spread, relative: the median over the grid's measurements, each with that of its block."""
    spreads = rows.loc[rows["phase"] == GRID, "noise_spread"] if len(rows) else ()
    return float(np.median(spreads)) if len(spreads) else 0.0


def relative_half_width(images_per_s: Iterable[float]) -> float:
    """Half of the 95 % interval, relative to the middle: what a repeat is decided by; infinite for a single value."""
    middle, low, high = throughput_interval(np.asarray(list(images_per_s), dtype=float))
    return (high - low) / 2 / middle if low == low and middle > 0 else float("inf")


def reached_interval(spec: LoaderSpec, rows: pd.DataFrame) -> tuple[int, int]:
    """Of the series with a result (an arm of a configuration in a phase): how many reached the interval, and how many
    there are; the others were repeated up to the cap."""
    reached = total = 0
    for phase in (GRID, AROUND) if len(rows) else ():
        for history in _history(rows, phase).values():
            speeds = [speed for _, status, speed in history if status == Status.COMPLETE]
            reached += bool(speeds) and relative_half_width(speeds) <= spec.interval
            total += bool(speeds)
    return reached, total


def _first_open_block(
    spec: LoaderSpec, phase: PhaseName, first_block: int, series: list[Series], rows: pd.DataFrame
) -> list[Planned]:
    measured = {str(row["id"]) for _, row in rows.iterrows()} if len(rows) else set()
    history = _history(rows, phase)
    for block in range(first_block, first_block + spec.repeats):
        wanted = [
            Planned(phase, block, arm, each)
            for arm, each in series
            if _is_open(spec, history.get(_key(arm, each), []), block, first_block)
        ]
        left = [each for each in wanted if each.id not in measured]
        if left:
            order = np.random.default_rng((spec.seed, block)).permutation(len(wanted))
            return [wanted[at] for at in order if wanted[at] in left]
    return []


def _is_open(spec: LoaderSpec, history: list[tuple[int, str, float]], block: int, first_block: int) -> bool:
    """Whether a series is measured in a block, by the blocks before it: one that failed is not tried again."""
    before = [(status, speed) for at, status, speed in history if at < block]
    if any(status != Status.COMPLETE for status, _ in before):
        return False
    if block - first_block < spec.min_repeats:
        return True
    return relative_half_width(speed for _, speed in before) > spec.interval


def _history(rows: pd.DataFrame, phase: str) -> dict[str, list[tuple[int, str, float]]]:
    found: dict[str, list[tuple[int, str, float]]] = {}
    if not len(rows):
        return found
    for row in rows_of(rows[rows["phase"] == phase]):
        entry = (int(row["block"]), str(row["status"]), float(row.get("images_per_s") or float("nan")))
        found.setdefault(f"{row['arm']} {configuration_key(row)}", []).append(entry)
    return found


def _key(arm: str, settings: LoaderConfiguration) -> str:
    return f"{arm} {configuration_key(settings.model_dump())}"


def _once_a_batch(configurations: Iterable[LoaderConfiguration]) -> Iterator[LoaderConfiguration]:
    """The step does not care how many workers there are: one configuration for each batch size and pinning."""
    seen: set[tuple[int, bool]] = set()
    for each in configurations:
        if (each.batch_size, each.pin_memory) not in seen:
            seen.add((each.batch_size, each.pin_memory))
            yield each.model_copy(update={"num_workers": 0})


def as_configuration(row: Mapping[str, Any] | pd.Series) -> LoaderConfiguration:
    """The configuration of a row."""
    return configuration(**chosen_settings(row))
