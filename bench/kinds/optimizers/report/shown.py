"""What a terminal shows of an optimizers study: the tables that the report begins with, and its verdict."""

from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.sections.answer import unfinished
from bench.kinds.optimizers.report.tables import COLUMNS, SETTINGS_COLUMNS, optimizer_rows, settings_rows
from bench.report.shown import Shown, ShownTable


def shown(result: StudyResult, report: str) -> Shown:
    """How far it is, if it has not ended; the main table, the settings and the verdict."""
    return Shown(
        result.document(report),
        [
            unfinished(result),
            ShownTable(result.spec.name, COLUMNS, optimizer_rows(result)),
            ShownTable("", SETTINGS_COLUMNS, settings_rows(result)),
            result.verdict,
            f"Report: {report}",
        ],
    )
