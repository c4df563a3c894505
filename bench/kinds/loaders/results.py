"""Builds a loader study's result from its measurements in MLflow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import NOT_COPIED, NOT_PINNED
from bench.kinds.loaders.analysis.delivery import mark_different, unrepeatable_sentence
from bench.kinds.loaders.analysis.stream import STREAM
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.kinds.loaders.phases import LARGEST
from bench.kinds.loaders.plan import comparison, ended_by, grid, spent_s
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.prediction import predict
from bench.measure.loader.probe import Probe
from bench.records.measurements import measurements, read_document, slices
from bench.records.reader import StudyRuns
from bench.study.rerun_command import rerun_command
from bench.trials.columns import rows_of

TRANSFERS, SAMPLES = "transfers", "samples"
"""Names of notes in the study's run: copies to the GPU, and the check of a user's samples in one process."""


def load_loader_result(runs: StudyRuns, folder: Path | None = None) -> LoaderResult:
    """Load the result of a loader study, finished or not, from MLflow alone; ``folder``: the report's, which names
    it."""
    spec = LoaderSpec.from_stored(runs.study_document())
    limits = read_document(runs, "limits") or {}
    return loader_result(
        spec,
        judged_measurements(measurements(runs), runs, spec),
        slices(runs),
        unlike=unlike_sample(runs, spec),
        stream=read_document(runs, STREAM),
        largest=read_document(runs, LARGEST),
        transfers=read_document(runs, TRANSFERS),
        needs=_needs(spec, read_document(runs, "probe"), pinning=bool(limits.get("pinning"))),
        limits=limits,
        machine=runs.machine(),
        finished=runs.finished(),
        command=rerun_command(
            spec.kind, spec.name, spec.preset, data=None if spec.dataset else spec.data, folder=folder
        ),
    )


def loader_result(
    spec: LoaderSpec,
    processes: pd.DataFrame,
    slices: pd.DataFrame,
    *,
    unlike: int | None,
    stream: Mapping[str, Any] | None,
    largest: Mapping[str, Any] | None,
    transfers: Mapping[str, Any] | None,
    needs: Sequence[Mapping[str, Any]],
    limits: Mapping[str, Any],
    machine: Mapping[str, str],
    finished: bool,
    command: str,
) -> LoaderResult:
    """Build the result from a study's frames and notes; the other arguments are fields of `LoaderResult`.

    ``unlike``: position of a sample that differed when it was made a second time; None if none did. ``stream``: facts
    about a data set that is a stream; None if it is not one.
    """
    pinning, cores = bool(limits.get("pinning")), limits.get("cores")
    measured = processes[processes["phase"] != LARGEST] if len(processes) else processes
    different = () if unlike is None else (unrepeatable_sentence(spec.dataset, unlike),)
    planned = comparison(spec, pinning=pinning, cores=cores)
    verdict = loaders_verdict(
        measured,
        slices[slices["phase"] != LARGEST],
        plan=planned,
        pinning_idle=_why_not_pinned(spec) if True in spec.pin_memory and not pinning else "",
        has_step=spec.has_step,
        different=different,
        remaining=int(not finished),
    )
    return LoaderResult(
        spec=spec,
        processes=processes,
        slices=slices,
        verdict=verdict,
        panels=max(len(grid(spec, pinning=pinning)), len({(row["phase"], row["panel"]) for row in rows_of(measured)})),
        different=different,
        stream=stream,
        spent_s=spent_s(measured, slices),
        ended="" if not finished else ended_by(spec, measured, slices, pinning=pinning, cores=cores),
        largest=largest,
        transfers=transfers,
        needs=needs,
        limits=limits,
        machine=machine,
        finished=finished,
        command=command,
    )


def judged_measurements(processes: pd.DataFrame, runs: StudyRuns, spec: LoaderSpec) -> pd.DataFrame:
    """Return the rows of a study's processes, with configurations that delivered other samples marked as failed.

    Nothing is marked if samples are random by design, or differ even when one process makes them twice.
    """
    return processes if spec.random_samples or unlike_sample(runs, spec) is not None else mark_different(processes)


def unlike_sample(runs: StudyRuns, spec: LoaderSpec) -> int | None:
    """Return the position of a sample that differed when one process made it twice; None if none did, or samples are
    random by design."""
    return None if spec.random_samples else (read_document(runs, SAMPLES) or {}).get("unlike")


def _needs(spec: LoaderSpec, probed: dict[str, Any] | None, *, pinning: bool) -> list[dict[str, Any]]:
    """Return the predicted memory of each combination of the grid."""
    if probed is None:
        return []
    probe = Probe(**probed)
    configurations = [each.configuration for panel in grid(spec, pinning=pinning) for each in panel.contestants]
    return [each.model_dump(mode="json") | vars(predict(probe, each)) for each in configurations]


def _why_not_pinned(spec: LoaderSpec) -> str:
    return NOT_PINNED if spec.copies_batches else NOT_COPIED
