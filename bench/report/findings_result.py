"""A study's findings together with the study's description, as JSON and as terminal output."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.command_output import CommandOutput, OutputTable
from bench.report.files import HTML
from bench.report.findings import Code, Findings
from bench.report.findings_write import findings_document
from bench.report.markdown_page import short_text
from bench.report.no_result import all_in_trouble
from bench.report.page import sureness, unfinished
from bench.report.study_info import StudyInfo
from bench.report.text import plain, visible_lines
from bench.trials.status import FAULTS

TERMINAL = 80
"""Columns of a terminal of the usual width."""


@dataclass(frozen=True)
class FindingsResult:
    """The result of a study of any kind."""

    findings: Findings
    info: StudyInfo

    def document(self, report: str) -> dict[str, Any]:
        """Return the study's JSON document; ``report``: path of report.md."""
        return findings_document(self.findings, self.info, report)

    def output(self, report: str) -> CommandOutput:
        """Return the first screen for a terminal, with the main table in place of the figure.

        ``report``: path of report.md.
        """
        table = self.findings.main_table()
        lines = "\n\n".join(map(_pasted, self.findings.paste))
        return CommandOutput(
            self.document(report),
            [
                _wrapped(unfinished(self.info)),
                *([OutputTable(self.info.name, table.columns, table.rows)] if table is not None else []),
                *([_wrapped(self.findings.footnote)] if table is not None and self.findings.footnote else []),
                _wrapped(self.findings.answer),
                f"\n{lines}\n" if lines else "",
                _wrapped(sureness(self.findings, self.info)),
                f"Report: {report}",
                f"Page: {Path(report).with_name(HTML)}",
            ],
        )

    @property
    def short_text(self) -> str:
        """Beginning of MLflow's page of the study, in Markdown."""
        return short_text(self.findings, self.info)

    @property
    def headline(self) -> str:
        """The answer as plain text."""
        return plain(self.findings.answer)

    @property
    def has_no_result(self) -> bool:
        """Whether the study has ended and none of its trials completed, diverged or was pruned."""
        return self.info.status == "complete" and all_in_trouble(self.info.records)

    @property
    def has_faults(self) -> bool:
        """Whether trials failed, timed out or ran out of memory, or measurements are unreliable."""
        return self.info.distrusted or any(self.info.trials.get(str(status)) for status in FAULTS)


def _pasted(code: Code) -> str:
    """Return lines to paste, indented, with the note below them."""
    return "\n".join([textwrap.indent(visible_lines(code.text), "    "), *([_wrapped(code.note)] if code.note else [])])


def _wrapped(markdown: str) -> str:
    return textwrap.fill(plain(markdown), TERMINAL, break_long_words=False, break_on_hyphens=False)
