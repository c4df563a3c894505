"""A loader study's result from its measurements in MLflow: the verdict, put together with what was measured."""

import json
from typing import Any

import pandas as pd

from bench.again import again
from bench.analysis.loaders_configurations import COMPUTE, NOT_COPIED, NOT_PINNED, SETTINGS, configuration_key
from bench.analysis.loaders_delivery import different_deliveries
from bench.analysis.loaders_verdict import loaders_verdict
from bench.loader_plan import grid, noise_of_grid, pending, reached_interval
from bench.loader_spec import LARGEST, LoaderSpec
from bench.loader_tracking import measurements, noted
from bench.measure.loader.prediction import predict
from bench.measure.loader.probe import Probe
from bench.measure.noise import NOISY
from bench.report.loaders.result import LoaderResult
from bench.tracking_view import StudyRuns

TRANSFERS = "transfers"


def load_loader_result(runs: StudyRuns) -> LoaderResult:
    """The result of a loader study, finished or not, from MLflow alone."""
    spec = LoaderSpec.stored(runs.study_document())
    rows = measurements(runs)
    noise = noise_of_grid(rows)
    measured = rows[rows["phase"] != LARGEST] if len(rows) else rows
    found = noted(runs, "limits") or {}
    pinning = bool(found.get("pinning"))
    different = tuple(delivery_faults(measured))
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
        command=again(spec.kind, spec.name, spec.preset, data=None if spec.dataset else spec.data),
    )


def _needs(spec: LoaderSpec, probed: dict[str, Any] | None, *, pinning: bool) -> list[dict[str, Any]]:
    """What each combination of the grid was predicted to need."""
    if probed is None:
        return []
    found = Probe(**probed)
    return [each.model_dump(mode="json") | vars(predict(found, each)) for each in grid(spec, pinning=pinning)]


def _why_not_pinned(spec: LoaderSpec) -> str:
    return NOT_PINNED if spec.copies_batches else NOT_COPIED


def delivery_faults(rows: pd.DataFrame) -> list[str]:
    """Sentences about configurations that delivered other batches than the first of their size."""
    if not len(rows):
        return []
    loaded = rows[(rows["arm"] != COMPUTE) & (rows["hashes"].map(len) > 0)]
    return different_deliveries(
        {
            f"{row['arm']} {_named(row)} (block {row['block']})": (int(row["batch_size"]), row["hashes"])
            for row in loaded.to_dict(orient="records")
        }
    )


def _named(row: dict[str, Any]) -> str:
    values = json.loads(configuration_key(row))
    return ", ".join(f"{name} {value}" for name, value in zip(SETTINGS, values, strict=True) if value is not None)
