"""A loader study's result from its measurements in MLflow: the verdict, put together with what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import NOT_COPIED, NOT_PINNED
from bench.kinds.loaders.analysis.delivery import judged, unrepeatable
from bench.kinds.loaders.analysis.stream import STREAM
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.kinds.loaders.phases import LARGEST
from bench.kinds.loaders.plan import comparison, ended_by, grid, spent_s
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.prediction import predict
from bench.measure.loader.probe import Probe
from bench.records.measurements import measurements, noted, slices
from bench.records.reader import StudyRuns
from bench.study.rerun_command import rerun_command
from bench.trials.columns import rows_of

TRANSFERS, SAMPLES = "transfers", "samples"
"""Under which the study's run keeps copies to the GPU, and what one process found of a data set's samples."""


def load_loader_result(runs: StudyRuns, folder: Path | None = None) -> LoaderResult:
    """The result of a loader study, finished or not, from MLflow alone; ``folder``: of its report, which names it."""
    spec = LoaderSpec.stored(runs.study_document())
    found = noted(runs, "limits") or {}
    return loader_result(
        spec,
        judged_measurements(measurements(runs), runs, spec),
        slices(runs),
        unlike=unlike_sample(runs, spec),
        stream=noted(runs, STREAM),
        largest=noted(runs, LARGEST),
        transfers=noted(runs, TRANSFERS),
        needs=_needs(spec, noted(runs, "probe"), pinning=bool(found.get("pinning"))),
        limits=found,
        machine=runs.machine(),
        finished=runs.finished(),
        command=rerun_command(
            spec.kind, spec.name, spec.preset, data=None if spec.dataset else spec.data, folder=folder
        ),
    )


def loader_result(
    spec: LoaderSpec,
    lives: pd.DataFrame,
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
    """The result, from a study's frames and what is kept of it besides: see `LoaderResult`.

    ``unlike``: position of a sample that was another one when it was made again; None where there is none. ``stream``:
    what the look at a data set that is a stream has found; None where it is none.
    """
    pinning, cores = bool(limits.get("pinning")), limits.get("cores")
    measured = lives[lives["phase"] != LARGEST] if len(lives) else lives
    different = () if unlike is None else (unrepeatable(spec.dataset, unlike),)
    planned = comparison(spec, pinning=pinning, cores=cores)
    verdict = loaders_verdict(
        measured,
        slices[slices["phase"] != LARGEST],
        plan=planned,
        pinning_idle=_why_not_pinned(spec) if True in spec.pin_memory and not pinning else "",
        has_step=spec.has_step,
        different=different,
        left=int(not finished),
    )
    return LoaderResult(
        spec=spec,
        lives=lives,
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


def judged_measurements(lives: pd.DataFrame, runs: StudyRuns, spec: LoaderSpec) -> pd.DataFrame:
    """The processes of a study; those of configurations that delivered other samples have failed for it.

    Unless nothing can be said of that: samples are random by design, or one process makes others each time, too.
    """
    return lives if spec.random_samples or unlike_sample(runs, spec) is not None else judged(lives)


def unlike_sample(runs: StudyRuns, spec: LoaderSpec) -> int | None:
    """Position of a sample that was another one when one process asked for it again; None where that may be so."""
    return None if spec.random_samples else (noted(runs, SAMPLES) or {}).get("unlike")


def _needs(spec: LoaderSpec, probed: dict[str, Any] | None, *, pinning: bool) -> list[dict[str, Any]]:
    """What each combination of the grid was predicted to need."""
    if probed is None:
        return []
    found = Probe(**probed)
    those = [each.configuration for panel in grid(spec, pinning=pinning) for each in panel.contestants]
    return [each.model_dump(mode="json") | vars(predict(found, each)) for each in those]


def _why_not_pinned(spec: LoaderSpec) -> str:
    return NOT_PINNED if spec.copies_batches else NOT_COPIED
