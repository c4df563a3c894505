"""Findings as Markdown: the answer first, then what it rests on, then where it comes from."""

import textwrap

from bench.report.cells import markdown_table
from bench.report.evidence import evidence_lines
from bench.report.files import RECORDS, REPORT, RESULT, STUDY
from bench.report.findings import Bullets, Chart, Code, Findings, Part, Picture, Section, Table
from bench.report.prose import LINE, linked, prose
from bench.report.study_info import StudyInfo
from bench.report.wording import counted


def markdown(findings: Findings, study: StudyInfo) -> str:
    """The whole report."""
    parts = [f"# {study.name}", *_unfinished(study), textwrap.indent(prose(findings.answer), "> ")]
    parts += [text for section in findings.sections for text in _section(section)]
    return "\n\n".join([*parts, *_origin(findings, study)]) + "\n"


def short_text(findings: Findings) -> str:
    """Answer and main table: what MLflow's page of the study begins with."""
    table = findings.main_table()
    shown = [] if table is None else [markdown_table(table.columns, table.rows)]
    return "\n\n".join([findings.answer, *shown, f"The whole report: artifact `report/{REPORT}` of the study's run."])


def _unfinished(study: StudyInfo) -> list[str]:
    if study.status == "complete":
        return []
    recorded, planned = study.trials["recorded"], study.trials["planned"]
    return [f"**Unfinished: {recorded} of {counted(planned, 'trial')} so far.** What follows may change."]


def _section(section: Section) -> list[str]:
    return [*([f"## {section.title}"] if section.title else []), *map(_part, section.parts)]


def _part(part: Part) -> str:
    match part:
        case Code(language, text):
            return f"```{language}\n{text}\n```"
        case Bullets(items):
            return "\n".join(map(_bullet, items))
        case Table(columns, rows):
            return markdown_table(columns, [[_cell(cell) for cell in row] for row in rows])
        case Chart(file, alt, _) | Picture(file, alt, _):
            return f"![{alt}]({file})"
        case str():
            return prose(part)


def _cell(text: str) -> str:
    """On one line, without what would end the cell: messages of errors stand in tables too."""
    return " ".join(text.split()).replace("|", r"\|")


def _bullet(item: str) -> str:
    return textwrap.fill(item, LINE, initial_indent="- ", subsequent_indent="  ", break_long_words=False)


def _origin(findings: Findings, study: StudyInfo) -> list[str]:
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in study.trials.items() if count)
    files = {
        RECORDS: "a row for each trial, failed ones included, with its MLflow run",
        **{name: file.what for name, file in findings.tables_csv.items()},
        STUDY: "all settings of the study",
        RESULT: "the result as JSON",
    }
    return [
        "## What it ran on",
        markdown_table(("", "value"), [[key, str(value)] for key, value in study.machine.items()]),
        *map(prose, evidence_lines(study.records)),
        f"Trials: {counts or 'none yet'}. MLflow's experiment is called `{study.name}`.",
        "## Files",
        "\n".join(f"- {linked(name)}: {what}" for name, what in files.items()),
        "## Again",
        f"```\n{study.command}\n```",
    ]
