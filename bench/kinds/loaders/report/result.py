"""What the report of a loader study is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import END_TO_END, configuration_key
from bench.kinds.loaders.analysis.headline import NETWORK, NO_STEP, STEP
from bench.kinds.loaders.analysis.verdict import LoaderVerdict
from bench.kinds.loaders.phases import GRID, LARGEST
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.outcome import MeasurementStatus
from bench.trials.columns import rows_of


@dataclass(frozen=True)
class LoaderResult:
    """Everything that a report of a loader study needs."""

    spec: LoaderSpec
    rows: pd.DataFrame
    """A row for each measurement, in the order in which they were made."""
    verdict: LoaderVerdict
    reached: tuple[int, int]
    """Series that reached the interval, and series with a result; the others were repeated up to the cap."""
    combinations: int
    """Of the grid."""
    different: Sequence[str]
    """Sentences about configurations that delivered other batches than the others; none is good."""
    left: int
    """Measurements of the block in hand that are still to be made."""
    noise: float
    """The machine's spread (relative), the median over the blocks."""
    largest: Mapping[str, Any] | None
    """What the search for the largest batch found: ``largest``, whether memory ``limited`` it, and why it ``ended``
    early, if it did; None: no search."""
    transfers: Mapping[str, Any] | None
    """Copies to the GPU: ``pinned_gb_per_s``, ``pageable_gb_per_s``, ``hidden_share``; None without CUDA."""
    needs: Sequence[Mapping[str, Any]]
    """What each configuration of the grid was predicted to need."""
    limits: Mapping[str, Any]
    """What this process could use of the machine."""
    machine: Mapping[str, str]
    finished: bool
    command: str
    """The command that makes the study again."""

    @property
    def computes(self) -> str:
        """What computes on the batches that were loaded: see `analysis.headline`."""
        if not self.spec.has_step:
            return NO_STEP
        return STEP if self.spec.dataset or self.spec.step_ms is not None else NETWORK

    @property
    def configurations(self) -> pd.DataFrame:
        """A row for each configuration, the fastest first."""
        return self.verdict.configurations

    @property
    def unmeasured(self) -> int:
        """Combinations of the grid that are still to be measured."""
        if not len(self.rows) or self.different:
            return self.combinations if not len(self.rows) else 0
        tried = self.rows[(self.rows["phase"] == GRID) & (self.rows["arm"] == END_TO_END)]
        return self.combinations - len({configuration_key(row) for row in rows_of(tried)})

    def trials(self) -> dict[str, int]:
        """Measurements by status, each status there, and how many in all; the search for the largest batch apart."""
        counts = dict.fromkeys(map(str, MeasurementStatus), 0)
        for status in self.measured["status"] if len(self.rows) else ():
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.measured)}

    @property
    def measured(self) -> pd.DataFrame:
        """The rows but for the tries of the search for the largest batch, each series of which ends in a failure."""
        return self.rows[self.rows["phase"] != LARGEST] if len(self.rows) else self.rows

    def status(self) -> str:
        """`complete` once nothing is left to measure."""
        return "complete" if self.finished and not self.left else "unfinished"
