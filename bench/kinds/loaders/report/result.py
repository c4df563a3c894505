"""What a loader study's report shows, and it as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.verdict import LoaderVerdict
from bench.kinds.loaders.phases import LARGEST
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.outcome import FAULTS, MeasurementStatus
from bench.report.no_result import failures, is_trouble
from bench.statistics.json_safe import to_json_safe


@dataclass(frozen=True)
class LoaderResult:
    """Everything that a report of a loader study needs."""

    spec: LoaderSpec
    rows: pd.DataFrame
    """A row for each measurement, in the order in which they were made."""
    verdict: LoaderVerdict
    reached: tuple[int, int]
    """Series that reached the interval, and series with a result; the others were repeated up to the cap."""
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
    def configurations(self) -> pd.DataFrame:
        """A row for each configuration, the fastest first."""
        return self.verdict.configurations

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

    @property
    def nothing_found(self) -> bool:
        """Whether the study has ended, and none of its measurements has a result."""
        return self.status() == "complete" and is_trouble(self.measured)

    @property
    def has_faults(self) -> bool:
        """Whether measurements have no result, or configurations delivered other batches than the others."""
        counts = self.trials()
        return bool(self.different) or any(counts[str(status)] for status in FAULTS)

    def status(self) -> str:
        """`complete` once nothing is left to measure."""
        return "complete" if self.finished and not self.left else "unfinished"

    def document(self, report: str) -> dict[str, Any]:
        """The JSON contract of `posebench study loaders`."""
        found = self.verdict
        document: dict[str, Any] = to_json_safe(
            {
                "study": self.spec.name,
                "kind": self.spec.kind,
                "preset": self.spec.preset,
                "status": self.status(),
                "trials": self.trials(),
                "failures": failures(self.measured),
                "configurations": self.configurations.drop(columns="key", errors="ignore"),
                "verdict": found.text,
                "recommended": found.recommended,
                "dataloader": found.call,
                "bottleneck": found.bottleneck,
                "flips_at": found.flips_at,
                "knee": found.knee,
                "gain": found.gain,
                "noise": self.noise,
                "within_interval": {"reached": self.reached[0], "of": self.reached[1]},
                "largest_batch": self.largest,
                "transfers": self.transfers,
                "limits": self.limits,
                "report": report,
                "spec": self.spec.identity(),
                "machine": self.machine,
            }
        )
        return document
