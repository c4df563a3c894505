"""Write any study's findings into a folder: figures, CSV tables and pages, report.md last.

Each file is written completely or not at all, even if the process is killed.
"""

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib.pyplot as plt
import tomli_w
from matplotlib.figure import Figure

from bench.report.csv_file import write_csv
from bench.report.evidence import evidence_document
from bench.report.files import APPENDIX, HTML, REPORT, RESULT, STUDY
from bench.report.findings import Chart, Drawing, Findings, Image, Picture
from bench.report.findings_figures import chart_figure
from bench.report.html_page import html
from bench.report.markdown_page import appendix_markdown, main_markdown
from bench.report.no_result import failures
from bench.report.page import sureness
from bench.report.study_info import StudyInfo
from bench.report.style import RC, as_svg, laid_out, save
from bench.report.text import plain
from bench.statistics.json_safe import to_json_safe
from posemodel.atomic_write import atomic_path, remove_temporary_files

WRITTEN_SUFFIXES = (".csv", ".json", ".png", ".jpg")
"""Suffixes of files written beside the pages."""


def findings_document(findings: Findings, study: StudyInfo, report: str) -> dict[str, Any]:
    """Return the JSON document of `posebench study KIND`; ``report``: the path of report.md."""
    document: dict[str, Any] = to_json_safe(
        {
            "study": study.name,
            "kind": study.kind,
            "preset": study.preset,
            "status": study.status,
            "trials": study.trials,
            "failures": failures(study.records),
            **findings.document,
            "answer": plain(findings.answer),
            "sureness": plain(sureness(findings, study)),
            "verdict": findings.verdict,
            "report": report,
            "files": _files(findings, study),
            **evidence_document(study.records),
            "spec": study.spec,
            "machine": study.machine,
        }
    )
    return document


def write_findings_report(
    findings: Findings, study: StudyInfo, folder: Path, update_session: Callable[[], None] = lambda: None
) -> Path:
    """Write all files of the report; return the path of report.md, which is written last.

    ``update_session``: called once everything but the pages is written.
    """
    images = write_parts(findings, study, folder)
    update_session()
    return write_pages(findings, study, folder, images)


def write_parts(findings: Findings, study: StudyInfo, folder: Path) -> dict[str, str]:
    """Write the files that the pages link to: tables, figures, pictures, the study file.

    Takes nearly all of a report's time.

    Returns:
        The images as `data:` addresses by file name, for the self-contained HTML page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary_files(folder)
    _remove_outdated(findings, study, folder)
    tables = {study.records_file: study.records, **{name: file.frame for name, file in findings.tables_csv.items()}}
    for name, frame in tables.items():
        with atomic_path(folder / name) as temporary:
            write_csv(frame, temporary)
    settings = f"# The settings of the study {study.name}, resolved.\n{tomli_w.dumps(study.settings)}"
    _write(folder / STUDY, settings)
    for name, file in findings.texts.items():
        _write(folder / name, file.text)
    return {image.file: _write_image(image, folder) for image in findings.images()}


def write_pages(findings: Findings, study: StudyInfo, folder: Path, images: Mapping[str, str]) -> Path:
    """Write the pages and result.json; return the path of report.md, which is written last."""
    report = folder / REPORT
    document = findings_document(findings, study, report.as_posix())
    _write(folder / RESULT, json.dumps(document, indent=2, allow_nan=False) + "\n")
    _write(folder / APPENDIX, appendix_markdown(findings, study))
    _write(folder / HTML, html(findings, study, images))
    _write(report, main_markdown(findings, study))
    return report


def _files(findings: Findings, study: StudyInfo) -> list[str]:
    """Return the names of all files beside the pages."""
    return [study.records_file, *findings.tables_csv, *findings.texts, *(image.file for image in findings.images())]


def _remove_outdated(findings: Findings, study: StudyInfo, folder: Path) -> None:
    """Remove files that only an earlier report of this study wrote, such as a former leader's figure."""
    for name in _written_before(folder) - {*_files(findings, study)}:
        if Path(name).name == name and Path(name).suffix in WRITTEN_SUFFIXES:
            with suppress(OSError, ValueError):  # now a folder, or not a valid file name
                (folder / name).unlink(missing_ok=True)


def _written_before(folder: Path) -> set[str]:
    """Return the file names that result.json lists; empty if it is unreadable, since users may have edited it."""
    try:
        before = json.loads((folder / RESULT).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()
    return {name for name in before if isinstance(name, str)} if isinstance(before, list) else set()


def figure_of(image: Chart | Drawing) -> Figure:
    """Return a chart or drawing as a Matplotlib figure."""
    if isinstance(image, Chart):
        return chart_figure(image)
    drawn: Figure = image.draw()
    return drawn


def _write_image(image: Image, folder: Path) -> str:
    """Write an image beside the pages; return its `data:` address for the self-contained page."""
    if isinstance(image, Picture):
        with atomic_path(folder / image.file) as temporary:
            temporary.write_bytes(image.image)
        return f"data:image/jpeg;base64,{base64.b64encode(image.image).decode()}"
    with plt.rc_context(RC):
        figure = figure_of(image)
        with laid_out(figure):
            save(figure, folder / image.file)
            vector = as_svg(figure)
    return f"data:image/svg+xml,{quote(vector, safe=' /:=;,()<>')}"


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
