"""The report as Markdown: its sections in the order of reading."""

from bench.report.files import RECORDS, REPORT, RESULT, STUDY
from bench.report.result import StudyResult
from bench.report.sections.answer import answer, controls, curves, pairs, ranking, seeds
from bench.report.sections.costs import costs, time
from bench.report.sections.origin import again, samples, sources, what_was_run
from bench.report.sections.tuning import tuning
from bench.report.tables import COLUMNS, markdown_table, optimizer_rows

__all__ = ["RECORDS", "REPORT", "RESULT", "STUDY", "markdown", "short_text"]


def markdown(result: StudyResult, *, with_samples: bool) -> str:
    """The whole report; ``with_samples``: the sheet of sample images stands beside it."""
    parts = [f"# {result.spec.name}", *answer(result), *ranking(result), *pairs(result), *controls(result)]
    parts += [*seeds(), *curves(result), *tuning(result), *costs(result), *time(result)]
    if with_samples and result.leader_samples is not None:
        parts += samples(result.leader_samples, result.analysis.names[result.leader_samples.optimizer])
    parts += [*what_was_run(result), *sources(result), *again(result)]
    return "\n\n".join(parts) + "\n"


def short_text(result: StudyResult) -> str:
    """Verdict and main table: what MLflow's page of the study begins with."""
    table = markdown_table(COLUMNS, optimizer_rows(result))
    return "\n\n".join([result.verdict, table, f"The whole report: artifact `report/{REPORT}` of the study's run."])
