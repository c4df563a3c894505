"""What a report says of any study, whatever it asks: its name, how far it is, its settings, its machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.files import RECORDS


@dataclass(frozen=True)
class StudyInfo:
    """A study besides its findings.

    Attributes:
        name: Of the study, and of MLflow's experiment.
        kind: As in `posebench study KIND`.
        preset: Where its settings began.
        status: `complete` or `unfinished`.
        trials: Trials by status, each status there, then `recorded`, and `planned` where that is known.
        spec: What makes the study itself, as plain data: `spec` in the JSON document.
        settings: What a study file may hold, without None: written as study.toml.
        machine: The fingerprint of the machine that began it.
        command: The command that makes it again.
        records: A row for each trial, with its status.
        noun: What a row of the records is called.
        records_file: Where these rows are to be read; written from ``records`` unless the findings hold it.
        distrusted: Whether something besides trials that failed makes the result doubtful.
    """

    name: str
    kind: str
    preset: str
    status: str
    trials: Mapping[str, int]
    spec: Mapping[str, Any]
    settings: Mapping[str, Any]
    machine: Mapping[str, str]
    command: str
    records: pd.DataFrame
    noun: str = "trial"
    records_file: str = RECORDS
    distrusted: bool = False

    @property
    def device(self) -> str:
        """What it ran on in short: the GPU, else the processor; empty where that is not known."""
        gpu = self.machine.get("gpu", "none")
        return str(self.machine.get("cpu", "") if gpu == "none" else gpu)

    @property
    def left(self) -> int:
        """Trials without a record: at least 1 in a study that has not ended."""
        recorded = self.trials["recorded"]
        return 0 if self.status == "complete" else max(1, self.trials.get("planned", recorded) - recorded)
