"""Write a loader study's report into a folder; report.md last, each file in full or not at all."""

import json
from pathlib import Path

import tomli_w

from bench.kinds.loaders.report import figures
from bench.kinds.loaders.report.page import (
    BATCHES,
    CONFIGURATIONS,
    HEAT_MAP,
    KNEE,
    MEASUREMENTS,
    WAITS,
    markdown,
    short_text,
)
from bench.kinds.loaders.report.result import LoaderResult
from bench.report.files import REPORT, RESULT, STUDY
from posemodel.atomic_write import remove_leftovers, replacing

__all__ = ["REPORT", "short_text", "write_loader_report"]


def write_loader_report(result: LoaderResult, folder: Path) -> Path:
    """Write all files; returns the path of report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    rows = (
        result.rows.assign(**{name: result.rows[name].map(json.dumps) for name in ("wait_quantiles_ms", "hashes")})
        if len(result.rows)
        else result.rows
    )
    for name, frame in ((MEASUREMENTS, rows), (CONFIGURATIONS, result.configurations)):
        with replacing(folder / name) as temporary:
            frame.drop(columns="key", errors="ignore").to_csv(temporary, index=False)
    figures.heat_map(result, folder / HEAT_MAP)
    figures.knee_plot(result, folder / KNEE)
    figures.wait_distribution(result, folder / WAITS)
    if result.largest is not None:
        figures.batch_curve(result, folder / BATCHES)
    report = folder / REPORT
    settings = result.spec.model_dump(mode="json", exclude={"name", "preset", "data", "data_digest"}, exclude_none=True)
    for path, text in (
        (folder / STUDY, f"# The settings of the study {result.spec.name}, resolved.\n" + tomli_w.dumps(settings)),
        (folder / RESULT, json.dumps(result.document(report.as_posix()), indent=2, allow_nan=False) + "\n"),
        (report, markdown(result)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return report
