"""Write a study's report into a folder: report.md last, after its figures, its tables as CSV and the result as JSON."""

import json
from pathlib import Path

import tomli_w

from bench.report import figures
from bench.report.markdown import (
    CURVES,
    CURVES_FIGURE,
    LR_FIGURE,
    RECORDS,
    REPORT,
    RESULT,
    SAMPLES,
    SEEDS,
    SEEDS_FIGURE,
    SHEET,
    STUDY,
    SUMMARY,
    markdown,
    short_text,
)
from bench.report.result import StudyResult
from posemodel.atomic_write import replacing
from posemodel.samples import as_jpeg, draw_samples

__all__ = ["REPORT", "STUDY", "short_text", "study_file", "write_report"]


def write_report(result: StudyResult, folder: Path) -> Path:
    """Write all files of the report; returns the path of report.md, which is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, name in (
        (result.records, RECORDS),
        (result.curves, CURVES),
        (result.seeds, SEEDS),
        (result.summary, SUMMARY),
    ):
        frame.to_csv(folder / name, index=False)
    (folder / STUDY).write_text(study_file(result))
    figures.learning_curves(result, folder / CURVES_FIGURE)
    figures.seed_scores(result, folder / SEEDS_FIGURE)
    figures.lr_sensitivity(result, folder / LR_FIGURE)
    drawn = _write_samples(result, folder)
    report = folder / REPORT
    document = result.document(report.as_posix())
    (folder / RESULT).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    with replacing(report) as temporary:
        temporary.write_text(markdown(result, with_samples=drawn))
    return report


def _write_samples(result: StudyResult, folder: Path) -> bool:
    """The leader's sample sheet and its data; returns whether there is a sheet.

    Drawn from the data set's images, or, where they are gone, as the trial drew it.
    """
    for name in (SAMPLES, SHEET):
        (folder / name).unlink(missing_ok=True)  # of an earlier leader
    if result.leader_samples is None:
        return False
    samples = result.leader_samples.samples
    (folder / SAMPLES).write_text(json.dumps(samples.document))
    drawn = draw_samples(samples.document, result.spec.data)
    sheet = samples.sheet if drawn is None else as_jpeg(drawn)
    if sheet is not None:
        (folder / SHEET).write_bytes(sheet)
    return sheet is not None


def study_file(result: StudyResult) -> str:
    """The study as a study file: every setting, nothing left to a preset or a default."""
    values = result.spec.model_dump(mode="json", exclude={"name", "preset", "data", "data_digest"}, exclude_none=True)
    return f"# The settings of the study {result.spec.name}, resolved.\n" + tomli_w.dumps(values)
