"""Write findings as Markdown: the main page, the appendix, and the beginning of MLflow's page of the study."""

from collections.abc import Sequence

from bench.report.cells import markdown_table
from bench.report.files import HTML
from bench.report.findings import Bullets, Code, Findings, Part, Section, Table
from bench.report.page import appendix, pointers, sureness, unfinished
from bench.report.prose import prose
from bench.report.study_info import StudyInfo
from bench.report.text import cell, fence, literal


def main_markdown(findings: Findings, study: StudyInfo) -> str:
    """Return the main page, which begins with the first screen."""
    screen = [
        prose(findings.answer, "> ", "> "),
        *map(_part, findings.paste),
        *([prose(sureness_text)] if (sureness_text := sureness(findings, study)) else []),
        *([_part(findings.figure)] if findings.figure is not None else []),
    ]
    state = unfinished(study)
    return _joined(
        [f"# {literal(study.name)}", *([state] if state else []), *screen, *_sections(findings.sections), pointers()]
    )


def appendix_markdown(findings: Findings, study: StudyInfo) -> str:
    """Return the appendix: every claim, and everything that the main page leaves out."""
    return _joined([f"# {literal(study.name)}: appendix", *_sections(appendix(findings, study))])


def short_text(findings: Findings, study: StudyInfo) -> str:
    """Return the first screen and the main table: the beginning of MLflow's page of the study."""
    table, sure = findings.main_table(), sureness(findings, study)
    parts: list[Part] = [*findings.paste, *([sure] if sure else []), *([table] if table else [])]
    parts += [findings.footnote] if table and findings.footnote else []
    where = f"The whole report, with its figures: artifact `report/{HTML}` of the study's run."
    return "\n\n".join([f"**{findings.answer}**", *map(_part, parts), where])


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _sections(sections: Sequence[Section]) -> list[str]:
    return [text for section in sections for text in _section(section)]


def _section(section: Section) -> list[str]:
    return [*([f"## {literal(section.title)}"] if section.title else []), *map(_part, section.parts)]


def _part(part: Part) -> str:
    match part:
        case Code(language, text, note):
            return "\n\n".join([fence(language, text), *([prose(note)] if note else [])])
        case Bullets(items):
            return "\n".join(prose(item, "- ", "  ") for item in items)
        case Table(columns, rows):
            return markdown_table([*map(cell, columns)], [[*map(cell, row)] for row in rows])
        case str():
            return prose(part)
        case _:
            return f"![{literal(part.alt)}]({part.file})"
