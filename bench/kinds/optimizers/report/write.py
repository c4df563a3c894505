"""Write a study's report into a folder: report.md last, after its figures, its tables as CSV and the result as JSON.

Each file is there in full or not at all, whenever the process ends.
"""

import json
from pathlib import Path

import tomli_w

from bench.kinds.optimizers.report import figures
from bench.kinds.optimizers.report.page import markdown, short_text
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.files import (
    BEST_FIGURE,
    BEST_SO_FAR,
    COMPARISONS,
    CONTROLS,
    COST_FIGURE,
    CURVES,
    CURVES_FIGURE,
    DIVERGENCE_FIGURE,
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
    VIEWS,
)
from bench.workloads.of_study import as_study_file
from posemodel.atomic_write import remove_leftovers, replacing
from posemodel.samples import as_jpeg, draw_samples

__all__ = ["REPORT", "STUDY", "short_text", "study_file", "write_pages", "write_parts", "write_report"]


FIGURES = {
    SEEDS_FIGURE: figures.tuning_scores,
    CURVES_FIGURE: figures.learning_curves,
    LR_FIGURE: figures.lr_sensitivity,
    DIVERGENCE_FIGURE: figures.divergence_map,
    BEST_FIGURE: figures.best_so_far,
    COST_FIGURE: figures.cost,
}


def write_report(result: StudyResult, folder: Path) -> Path:
    """Write all files of the report; returns the path of report.md, which is written last."""
    write_parts(result, folder)
    return write_pages(result, folder)


def write_parts(result: StudyResult, folder: Path) -> None:
    """Write what report.md links to: tables, the study file, figures, samples. Takes nearly all of a report's time."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    found = result.analysis
    tables = {
        RECORDS: result.records,
        CURVES: result.curves,
        SEEDS: found.seeds,
        SUMMARY: found.summary.assign(finalists=found.summary["finalists"].map(json.dumps)),
        COMPARISONS: found.comparisons,
        VIEWS: found.views,
        BEST_SO_FAR: found.best_so_far,
    }
    if len(found.controls):
        tables[CONTROLS] = found.controls
    for name, frame in tables.items():
        with replacing(folder / name) as temporary:
            frame.to_csv(temporary, index=False)
    _write(folder / STUDY, study_file(result))
    for name, draw in FIGURES.items():
        draw(result, folder / name)
    _write_samples(result, folder)


def write_pages(result: StudyResult, folder: Path) -> Path:
    """Write result.json and report.md, which say where the time went, beside the rest; returns report.md's path."""
    report = folder / REPORT
    document = result.document(report.as_posix())
    _write(folder / RESULT, json.dumps(document, indent=2, allow_nan=False) + "\n")
    _write(report, markdown(result, with_samples=(folder / SHEET).exists()))
    return report


def _write_samples(result: StudyResult, folder: Path) -> None:
    """The leader's sample sheet and its data, where there are any.

    Drawn from the data set's images, or, where they are gone, as the trial drew it.
    """
    for name in (SAMPLES, SHEET):
        (folder / name).unlink(missing_ok=True)  # of an earlier leader
    if result.leader_samples is None:
        return
    samples = result.leader_samples.samples
    _write(folder / SAMPLES, json.dumps(samples.document))
    drawn = draw_samples(samples.document, result.spec.data, exif=result.spec.exif)
    sheet = samples.sheet if drawn is None else as_jpeg(drawn)
    if sheet is not None:
        with replacing(folder / SHEET) as temporary:
            temporary.write_bytes(sheet)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def study_file(result: StudyResult) -> str:
    """The study as a study file: every setting, nothing left to a preset or a default."""
    return f"# The settings of the study {result.spec.name}, resolved.\n" + tomli_w.dumps(as_study_file(result.spec))
