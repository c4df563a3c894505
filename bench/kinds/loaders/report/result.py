"""What the report of a loader study is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
"""What ended the measuring: every choice was settled, the time was up, or the most blocks were made."""


@dataclass(frozen=True)
class LoaderResult:
    """Everything that a report of a loader study needs."""

    spec: LoaderSpec
    lives: pd.DataFrame
    """A row for each process of a configuration (a block of it), in the order in which they were made."""
    slices: pd.DataFrame
    """A row for each finished slice of an arm."""
    verdict: LoaderVerdict
    panels: int
    """Groups of configurations measured side by side: those of the grid, and what was varied around its best."""
    different: Sequence[str]
    """Sentences about samples that were other ones when they were made again; nothing is compared then."""
    stream: Mapping[str, Any] | None
    """What the look at a data set that is a stream has found (`sharding.StreamLook`); None where it is none."""
    spent_s: float
    """Seconds of measuring so far."""
    ended: str
    """SETTLED, TIME or BLOCKS; "" while it goes on."""
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
    def of_stream(self) -> list[str]:
        """Sentences about a data set that is a stream; none where it is none."""
        if self.stream is None:
            return []
        return stream_sentences(self.spec.dataset, self.stream, max(self.spec.num_workers))

    @property
    def configurations(self) -> pd.DataFrame:
        """A row for each configuration, the fastest first."""
        return self.verdict.configurations

    @property
    def complete(self) -> pd.DataFrame:
        """The configurations with a result, the fastest first."""
        frame = self.configurations
        return frame[(frame["status"] == Status.COMPLETE) & (frame["n"] > 0)] if len(frame) else frame

    @property
    def measured(self) -> pd.DataFrame:
        """The lives but for the tries of the search for the largest batch, each series of which ends in a failure."""
        return self.lives[self.lives["phase"] != LARGEST] if len(self.lives) else self.lives

    @property
    def unmeasured(self) -> int:
        """Combinations of the grid of which no process has been started."""
        if self.different:
            return 0
        spec = self.spec
        pinned = spec.pin_memory if self.limits.get("pinning") else (False,)
        planned = len(spec.num_workers) * len(spec.batch_size) * len(pinned)
        if not len(self.lives):
            return planned
        tried = self.lives[(self.lives["phase"] == GRID) & (self.lives["own_loader"] == "")]
        return max(0, planned - len(tried[["num_workers", "batch_size", "pin_memory"]].drop_duplicates()))

    @property
    def known_ratios(self) -> tuple[int, int]:
        """Ratios to a panel's reference that are known to the asked share, and how many ratios there are."""
        if self.complete.empty or self.different:
            return 0, 0
        rows = [
            row for row in rows_of(self.complete) if row["ratio_low"] != row["ratio_high"]
        ]  # but for the references
        known = [row["ratio_high"] <= row["ratio"] * (1 + self.spec.interval) for row in rows]
        return sum(known), len(rows)

    def used(self, pick: Pick) -> str:
        """Key of the configuration to use with a batch size: the pick, or a setting varied around it that is better."""
        return self.verdict.chosen if pick is self.verdict.pick else pick.key

    def trials(self) -> dict[str, int]:
        """Lives by status, each status there, and how many in all; the search for the largest batch apart."""
        counts = dict.fromkeys(map(str, MeasurementStatus), 0)
        for status in self.measured["status"] if len(self.lives) else ():
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.measured)}

    def status(self) -> str:
        """`complete` once nothing more is to be measured."""
        return "complete" if self.finished else "unfinished"
