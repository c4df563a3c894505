"""Description of a study of any kind for its report: name, progress, settings, machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.files import RECORDS


@dataclass(frozen=True)
class StudyInfo:
    """A study apart from its findings.

    Attributes:
        name: Name of the study, and of MLflow's experiment.
        kind: Kind of study, as in `posebench study KIND`.
        preset: Preset that its settings started from.
        status: `complete` or `unfinished`.
        trials: Number of trials by status, every status included, then `recorded`, and `planned` if that is known.
        spec: The study's specification as plain data: `spec` in the JSON document.
        settings: The settings of a study file, without None: written as study.toml.
        machine: Fingerprint of the machine that began it.
        command: The command that runs it again.
        records: A row for each trial, with its status.
        noun: Name of a row of the records, in the singular.
        records_file: File that holds these rows; written from ``records`` unless the findings contain it.
        distrusted: Whether the result is unreliable for a reason other than failed trials.
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
        """Short name of the GPU or, without one, of the processor; empty if not known."""
        gpu = self.machine.get("gpu", "none")
        return str(self.machine.get("cpu", "") if gpu == "none" else gpu)

    @property
    def remaining(self) -> int:
        """Number of trials without a record; at least 1 in a study that has not ended."""
        recorded = self.trials["recorded"]
        return 0 if self.status == "complete" else max(1, self.trials.get("planned", recorded) - recorded)
