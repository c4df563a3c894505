"""What a worker, or the process that works for it, needs to know of its study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engines.stint import Stint
from bench.engines.trial import TrialKind
from bench.ledger.store import Ledger
from bench.records.writer import Tracker


@dataclass(frozen=True)
class WorkerSettings:
    """Everything that a worker needs to open and run its study; picklable."""

    storage_url: str
    tracking_uri: str
    study_name: str
    identity: dict[str, Any]
    parent_run: str
    data: Path
    """Folder of the data set on this machine."""
    trials: TrialKind
    """Functions that run the study's trials."""
    objectives: int = 1
    """Number of values that Optuna gets for each trial."""
    workers: int = 1
    """Trials that run at once on this machine."""
    file_paths: Mapping[str, Path] = field(default_factory=dict)
    """Paths of the study's other files on this machine, by setting; see `StudyBase.file_paths`."""
    driver: Mapping[str, Any] | None = None
    """Process that replaces a worker which dies, and counts its death; None: nobody does."""
    threads: int | None = None
    """Number of torch threads; None: torch's default."""
    checkpoints: str | None = None
    """Shared folder or URL where interrupted trials keep their state; None: nowhere."""
    stint: Stint | None = None
    """Limits of what this command takes of the study; None: it stays until the study ends."""

    def ledger(self) -> Ledger:
        """Open the study's ledger."""
        return Ledger(self.storage_url, self.study_name, self.identity, objectives=self.objectives, driver=self.driver)

    def tracker(self) -> Tracker:
        """Open the study's records in MLflow."""
        return Tracker(self.tracking_uri, self.study_name)
