"""What a loader study's report shows, and it as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.json_safe import to_json_safe
from bench.analysis.loaders_verdict import LoaderVerdict
from bench.loader_spec import LoaderSpec

STATUSES = ("complete", "failed", "out_of_memory", "bus_error", "timed_out", "skipped")


@dataclass(frozen=True)
class LoaderResult:
    """Everything that a report of a loader study needs."""

    spec: LoaderSpec
    rows: pd.DataFrame
    """A row for each measurement, in the order in which they were made."""
    verdict: LoaderVerdict
    left: int
    """Measurements of the block in hand that are still to be made."""
    noise: float
    """The machine's spread (relative), the median over the blocks."""
    largest: Mapping[str, Any] | None
    """What the search for the largest batch found: ``largest``, and whether memory ``limited`` it; None: no search."""
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
        """Measurements by status, each status there, and how many in all."""
        counts = dict.fromkeys(STATUSES, 0)
        for status in self.rows["status"] if len(self.rows) else ():
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.rows)}

    def status(self) -> str:
        """`complete` once nothing is left to measure."""
        return "complete" if self.finished and not self.left else "unfinished"

    def document(self, report: str) -> dict[str, Any]:
        """The JSON contract of `posebench study loaders`."""
        found = self.verdict
        return to_json_safe(
            {
                "study": self.spec.name,
                "kind": self.spec.kind,
                "preset": self.spec.preset,
                "status": self.status(),
                "trials": self.trials(),
                "configurations": self.configurations.drop(columns="key", errors="ignore"),
                "verdict": found.text,
                "recommended": found.recommended,
                "dataloader": found.call,
                "bottleneck": found.bottleneck,
                "flips_at": found.flips_at,
                "knee": found.knee,
                "gain": found.gain,
                "noise": self.noise,
                "largest_batch": self.largest,
                "transfers": self.transfers,
                "limits": self.limits,
                "report": report,
                "spec": self.spec.identity(),
                "machine": self.machine,
            }
        )
