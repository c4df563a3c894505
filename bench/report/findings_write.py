"""Write any study's findings into a folder: report.md last, after its figures, its tables as CSV and the JSON document.

Each file is there in full or not at all, whenever the process ends.
"""

import json
from pathlib import Path
from typing import Any

import tomli_w

from bench.report.evidence import evidence_document
from bench.report.files import RECORDS, REPORT, RESULT, STUDY
from bench.report.findings import Findings
from bench.report.findings_figures import draw_chart
from bench.report.findings_page import markdown, short_text
from bench.report.no_result import failures
from bench.report.study_info import StudyInfo
from bench.statistics.json_safe import to_json_safe
from posemodel.atomic_write import remove_leftovers, replacing

__all__ = ["REPORT", "StudyInfo", "findings_document", "short_text", "write_findings_report"]


def findings_document(findings: Findings, study: StudyInfo, report: str) -> dict[str, Any]:
    """The JSON document of `posebench study KIND`; ``report``: the path of report.md."""
    document: dict[str, Any] = to_json_safe(
        {
            "study": study.name,
            "kind": study.kind,
            "preset": study.preset,
            "status": study.status,
            "trials": study.trials,
            "failures": failures(study.records),
            **findings.document,
            "verdict": findings.answer,
            "report": report,
            **evidence_document(study.records),
            "spec": study.spec,
            "machine": study.machine,
        }
    )
    return document


def write_findings_report(findings: Findings, study: StudyInfo, folder: Path) -> Path:
    """Write all files of the report; returns the path of report.md, which is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    tables = {RECORDS: study.records, **{name: file.frame for name, file in findings.tables_csv.items()}}
    for name, frame in tables.items():
        with replacing(folder / name) as temporary:
            frame.to_csv(temporary, index=False)
    for chart in findings.charts():
        draw_chart(chart, folder / chart.file)
    for picture in findings.pictures():
        with replacing(folder / picture.file) as temporary:
            temporary.write_bytes(picture.image)
    report = folder / REPORT
    document = findings_document(findings, study, report.as_posix())
    for path, text in (
        (folder / STUDY, f"# The settings of the study {study.name}, resolved.\n" + tomli_w.dumps(study.settings)),
        (folder / RESULT, json.dumps(document, indent=2, allow_nan=False) + "\n"),
        (report, markdown(findings, study)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return report
