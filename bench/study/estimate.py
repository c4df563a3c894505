"""Estimate a study's wall time, by part, and its memory on this machine from measured costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure.gpus import Gpu
from bench.report.wording import counted, duration_text
from bench.study.prepared import Prepared
from bench.study.probe import (
    EstimateError,
    MeasurableStudy,
    Measured,
    bound_text,
    measure_study,
    missing_text,
    pieces_document,
)
from bench.study.sharing import gpu_memory_text, refuse_too_little_gpu_memory
from bench.trials.spec import TrialSpec
from bench.workloads.protocol import Costs

RECORD_S = 0.3
"""Seconds per trial for the ledger, MLflow and a confirm trial's sample images (docs/decisions.md)."""
REPORT_S = 5.0
"""Seconds for analysis, figures and their upload (docs/decisions.md)."""
WORDS = {
    "data_s": "data",
    "tune_s": "tuning",
    "search_s": "searching",
    "confirm_s": "confirming",
    "other_s": "the rest",
}
"""Display name of each part of an estimate; "the rest" is starting processes and writing the report."""


@dataclass(frozen=True)
class Estimate:
    """Estimated wall time of a study, and the measured costs behind it."""

    parts: Mapping[str, float]
    """Seconds by part; keys are among `WORDS`, in that order."""
    costs: Costs

    @property
    def data_s(self) -> float:
        """Seconds for making the data set."""
        return self.parts["data_s"]

    @property
    def seconds(self) -> float:
        """Wall time of the whole study in seconds."""
        return sum(self.parts.values())

    def document(self) -> dict[str, Any]:
        """Return the estimate as a JSON document."""
        return {
            "seconds": round(self.seconds, 1),
            **{name: round(seconds, 1) for name, seconds in self.parts.items()},
            "memory_bytes": self.costs.memory_bytes,
            "gpu_memory_bytes": self.costs.gpu_memory_bytes,
            **pieces_document(self.costs),
        }

    def text(self, network: str, workers: int, gpus: Sequence[Gpu] = (), *, roughly: str = "") -> str:
        """Return the estimate in words, beginning with what could not be measured.

        Args:
            network: Name of the network or workload.
            workers: Trials that run at once.
            gpus: The GPU of each worker; empty: the device as it is.
            roughly: Reason why the estimate is rough, shown after the number of trials at once; empty if it is not.
        """
        costs = self.costs
        spent = ", ".join(f"{WORDS[name]} {duration_text(s)}" for name, s in self.parts.items() if s >= 1)
        gpu = gpu_memory_text(costs, gpus, workers)
        rough, reason = (", roughly", f", {roughly}") if roughly else ("", "")
        return (
            f"{missing_text(network, costs)}Estimated time{rough}: {bound_text(costs)}{duration_text(self.seconds)} "
            f"({spent}), with {counted(workers, 'trial')} at once{reason}; {costs.memory_bytes / 1e9:.1f} GB of "
            f"memory{gpu}."
        )


def measure_costs(prepared: Prepared[Any], trials: Mapping[str, TrialSpec], *, module: str) -> Measured:
    """Return the study's measured trial costs; measure them unless this command has done so already.

    Raises SettingsError if trials that share a GPU take more memory than it has.

    Args:
        prepared: The study.
        trials: A typical trial of each optimizer, by optimizer.
        module: Module that a worker process imports before its first trial.
    """
    if prepared.measured is not None:
        return prepared.measured
    if not prepared.workers:
        where = "--workers 0" if prepared.cluster is None else "--engine ray"
        raise EstimateError(
            f"The time is not estimated: with {where} the trials run elsewhere, and only this machine could be "
            "measured."
        )
    study: MeasurableStudy = prepared.spec
    measured = measure_study(
        study,
        dict(trials),
        workers=prepared.workers,
        gpus=prepared.gpus,
        awaited_images=prepared.awaited_images,
        trained=prepared.labelled_images.get("train"),
        module=module,
    )
    refuse_too_little_gpu_memory(measured.costs, prepared.gpus, prepared.workers)
    return measured
