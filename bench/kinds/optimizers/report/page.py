"""The report as Markdown: its sections in the order of reading."""

from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.sections.answer import answer, controls, curves, pairs, ranking, seeds
from bench.kinds.optimizers.report.sections.costs import costs, time
from bench.kinds.optimizers.report.sections.origin import again, samples, sources, what_was_run
from bench.kinds.optimizers.report.sections.tuning import tuning
from bench.kinds.optimizers.report.tables import COLUMNS, optimizer_rows
from bench.report.cells import markdown_table
from bench.report.files import RECORDS, REPORT, RESULT, STUDY

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
