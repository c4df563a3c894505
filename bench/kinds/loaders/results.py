"""A loader study's result from its measurements in MLflow: the verdict, put together with what was measured."""

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


def load_loader_result(runs: StudyRuns) -> LoaderResult:
    """The result of a loader study, finished or not, from MLflow alone."""
    spec = LoaderSpec.stored(runs.study_document())
    rows = judged_measurements(runs, spec)
    noise = noise_of_grid(rows)
    measured = rows[rows["phase"] != LARGEST] if len(rows) else rows
    found = noted(runs, "limits") or {}
    pinning = bool(found.get("pinning"))
    unlike = unlike_sample(runs, spec)
    different = () if unlike is None else (unrepeatable(spec.dataset, unlike),)
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
        ),
        different=different,
        reached=reached_interval(spec, measured),
        left=len(pending(spec, measured, pinning=pinning)) if len(rows) else 0,
        noise=noise,
        largest=noted(runs, LARGEST),
        transfers=noted(runs, TRANSFERS),
        needs=_needs(spec, noted(runs, "probe"), pinning=pinning),
        limits=found,
        machine=runs.machine(),
        finished=runs.finished(),
        command=rerun_command(spec.kind, spec.name, spec.preset, data=None if spec.dataset else spec.data),
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
