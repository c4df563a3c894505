"""A loader study's result from its measurements in MLflow: the verdict, put together with what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import NOT_COPIED, NOT_PINNED
from bench.kinds.loaders.analysis.delivery import judged, unrepeatable
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.kinds.loaders.phases import LARGEST
from bench.kinds.loaders.plan import grid, noise_of_grid, pending, reached_interval
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.prediction import predict
from bench.measure.loader.probe import Probe
from bench.measure.noise import NOISY
from bench.records.measurements import measurements, noted
from bench.records.reader import StudyRuns
from bench.study.rerun_command import rerun_command

TRANSFERS, SAMPLES = "transfers", "samples"
"""Under which the study's run keeps copies to the GPU, and what one process found of a data set's samples."""


def load_loader_result(runs: StudyRuns, folder: Path | None = None) -> LoaderResult:
    """The result of a loader study, finished or not, from MLflow alone; ``folder``: of its report, which names it."""
    spec = LoaderSpec.stored(runs.study_document())
    limits = noted(runs, "limits") or {}
    return loader_result(
        spec,
        judged_measurements(runs, spec),
        unlike=unlike_sample(runs, spec),
        largest=noted(runs, LARGEST),
        transfers=noted(runs, TRANSFERS),
        needs=_needs(spec, noted(runs, "probe"), pinning=bool(limits.get("pinning"))),
        limits=limits,
        machine=runs.machine(),
        finished=runs.finished(),
        command=rerun_command(
            spec.kind, spec.name, spec.preset, data=None if spec.dataset else spec.data, folder=folder
        ),
    )


def loader_result(
    spec: LoaderSpec,
    rows: pd.DataFrame,
    *,
    unlike: int | None,
    largest: Mapping[str, Any] | None,
    transfers: Mapping[str, Any] | None,
    needs: Sequence[Mapping[str, Any]],
    limits: Mapping[str, Any],
    machine: Mapping[str, str],
    finished: bool,
    command: str,
) -> LoaderResult:
    """The result, from a study's measurements ``rows`` and what is kept of it besides: see `LoaderResult`.

    ``unlike``: position of a sample that was another one when it was made again; None where there is none.
    """
    noise = noise_of_grid(rows)
    measured = rows[rows["phase"] != LARGEST] if len(rows) else rows
    pinning = bool(limits.get("pinning"))
    different = () if unlike is None else (unrepeatable(spec.dataset, unlike),)
    left = len(pending(spec, measured, pinning=pinning)) if len(rows) else 0
    return LoaderResult(
        spec=spec,
        rows=rows,
        verdict=loaders_verdict(
            measured,
            noise=noise,
            noisy=noise > NOISY,
            pinning_idle=_why_not_pinned(spec) if True in spec.pin_memory and not pinning else "",
            has_step=spec.has_step,
            different=different,
            left=left or int(not finished),
        ),
        combinations=len(grid(spec, pinning=pinning)),
        different=different,
        reached=reached_interval(spec, measured),
        left=left,
        noise=noise,
        largest=largest,
        transfers=transfers,
        needs=needs,
        limits=limits,
        machine=machine,
        finished=finished,
        command=command,
    )


def judged_measurements(runs: StudyRuns, spec: LoaderSpec) -> pd.DataFrame:
    """The measurements of a study; those of configurations that delivered other samples have failed for it.

    Unless nothing can be said of that: samples are random by design, or one process makes others each time, too.
    """
    rows = measurements(runs)
    return rows if spec.random_samples or unlike_sample(runs, spec) is not None else judged(rows)


def unlike_sample(runs: StudyRuns, spec: LoaderSpec) -> int | None:
    """Position of a sample that was another one when one process asked for it again; None where that may be so."""
    return None if spec.random_samples else (noted(runs, SAMPLES) or {}).get("unlike")


def _needs(spec: LoaderSpec, probed: dict[str, Any] | None, *, pinning: bool) -> list[dict[str, Any]]:
    """What each combination of the grid was predicted to need."""
    if probed is None:
        return []
    found = Probe(**probed)
    return [each.model_dump(mode="json") | vars(predict(found, each)) for each in grid(spec, pinning=pinning)]


def _why_not_pinned(spec: LoaderSpec) -> str:
    return NOT_PINNED if spec.copies_batches else NOT_COPIED
