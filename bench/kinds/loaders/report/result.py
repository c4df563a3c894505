"""The result of a loader study, from which its report is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.findings import LoaderVerdict, Pick
from bench.kinds.loaders.analysis.headline import NETWORK, NO_STEP, STEP
from bench.kinds.loaders.analysis.stream import stream_sentences
from bench.kinds.loaders.phases import GRID, LARGEST
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.outcome import MeasurementStatus
from bench.trials.columns import rows_of
from bench.trials.status import Status

SETTLED, TIME, BLOCKS = "settled", "time", "blocks"
"""Reasons why the measuring ended: every choice was settled statistically, the time was up, or the maximum number of
blocks was reached."""


@dataclass(frozen=True)
class LoaderResult:
    """Everything that the report of a loader study needs."""

    spec: LoaderSpec
    processes: pd.DataFrame
    """A row for each measuring process (one configuration in one block), in the order in which they were started."""
    slices: pd.DataFrame
    """A row for each finished slice: about a second of one arm (loading, computing or training) in one process."""
    verdict: LoaderVerdict
    panels: int
    """Number of panels (groups of configurations measured side by side): one for each batch size of the grid, and those
    of the variants of its best configuration."""
    different: Sequence[str]
    """Sentences about samples that differed when one process made them twice; if there are any, no speeds are
    compared."""
    stream: Mapping[str, Any] | None
    """Facts about a data set that is a stream (`sharding.StreamLook`); None otherwise."""
    spent_s: float
    """Seconds of measuring so far."""
    ended: str
    """SETTLED, TIME or BLOCKS; "" while the study goes on."""
    largest: Mapping[str, Any] | None
    """Result of the largest-batch search: the ``largest`` size that fits, ``limited`` (whether memory limited it) and
    ``ended`` (why the search ended early, or ""); None: no search."""
    transfers: Mapping[str, Any] | None
    """Copies to the GPU: ``pinned_gb_per_s``, ``pageable_gb_per_s``, ``hidden_share`` (share of the copying time that
    can overlap with computing); None without CUDA."""
    needs: Sequence[Mapping[str, Any]]
    """The predicted memory of each configuration of the grid."""
    limits: Mapping[str, Any]
    """Cores, memory and /dev/shm that this process could use."""
    machine: Mapping[str, str]
    finished: bool
    command: str
    """The command that runs the study again."""

    @property
    def computes(self) -> str:
        """The kind of step on the loaded batches: NETWORK, STEP or NO_STEP of `analysis.headline`."""
        if not self.spec.has_step:
            return NO_STEP
        return STEP if self.spec.dataset or self.spec.step_ms is not None else NETWORK

    @property
    def of_stream(self) -> list[str]:
        """Sentences about a data set that is a stream; empty otherwise."""
        if self.stream is None:
            return []
        return stream_sentences(self.spec.dataset, self.stream, max(self.spec.num_workers))

    @property
    def configurations(self) -> pd.DataFrame:
        """A row for each configuration, the fastest first."""
        return self.verdict.configurations

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The configurations with a result, the fastest first."""
        frame = self.configurations
        return frame[(frame["status"] == Status.COMPLETE) & (frame["n"] > 0)] if len(frame) else frame

    @cached_property
    def complete_rows(self) -> list[dict[str, Any]]:
        """The rows of ``complete`` as dictionaries; not to be changed."""
        return rows_of(self.complete)

    @property
    def measured(self) -> pd.DataFrame:
        """The rows of ``processes`` without the attempts of the largest-batch search, which usually ends with a failed
        attempt."""
        return self.processes[self.processes["phase"] != LARGEST] if len(self.processes) else self.processes

    @property
    def unmeasured(self) -> int:
        """Number of combinations of the grid for which no process has been started."""
        if self.different:
            return 0
        spec = self.spec
        pinned = spec.pin_memory if self.limits.get("pinning") else (False,)
        planned = len(spec.num_workers) * len(spec.batch_size) * len(pinned)
        if not len(self.processes):
            return planned
        tried = self.processes[(self.processes["phase"] == GRID) & (self.processes["own_loader"] == "")]
        return max(0, planned - len(tried[["num_workers", "batch_size", "pin_memory"]].drop_duplicates()))

    @property
    def known_ratios(self) -> tuple[int, int]:
        """Number of speed ratios (to a panel's reference configuration) whose interval is as narrow as requested, and
        of all such ratios."""
        if self.complete.empty or self.different:
            return 0, 0
        rows = [
            row for row in self.complete_rows if row["ratio_low"] != row["ratio_high"]
        ]  # without the references themselves
        known = [row["ratio_high"] <= row["ratio"] * (1 + self.spec.interval) for row in rows]
        return sum(known), len(rows)

    def used(self, pick: Pick) -> str:
        """Return the key of the configuration to use at the pick's batch size: the pick, or a better variant of it."""
        return self.verdict.chosen if pick is self.verdict.pick else pick.key

    def trials(self) -> dict[str, int]:
        """Return the number of processes by status (every status), and of all (``recorded``), without the largest-batch
        search."""
        counts = dict.fromkeys(map(str, MeasurementStatus), 0)
        for status in self.measured["status"] if len(self.processes) else ():
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.measured)}

    def status(self) -> str:
        """Return `complete` once all measurements are made, otherwise `unfinished`."""
        return "complete" if self.finished else "unfinished"
