"""Sections on costs: each optimizer's time and memory, and where the study's time went."""

from functools import partial

from bench.kinds.optimizers.report import figures
from bench.kinds.optimizers.report.files import COST_FIGURE
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import TIME_COLUMNS, cost_columns, cost_rows, time_rows
from bench.report.files import RECORDS
from bench.report.findings import Drawing, Part, Section, Table
from bench.report.prose import linked


def figure(result: StudyResult) -> Section:
    """Return the figure of scores against step times."""
    alt = f"Mean {result.measure.name} against the time of the optimizer's own step"
    text = (
        "The time of an optimizer's own step, without the forward and backward pass; in brackets, the memory of its "
        "state."
    )
    return Section("Cost", [Drawing(COST_FIGURE, alt, partial(figures.cost, result)), text])


def table(result: StudyResult) -> list[Section]:
    """Return the table of each optimizer's costs."""
    text = (
        "*Step* and *state*: the optimizer's own time and memory. *Training* and *evaluation*: seconds a trial. "
        "Medians over the n complete confirm trials (complete tune trials before there are any). *Share of time*: "
        f"of all trials' wall time, including tuning and failures, without controls. From {linked(RECORDS)}."
    )
    step_note = ["*Step (ms)* is of one update, however many evaluations it takes."] if result.speed_note else []
    parts: list[Part] = [
        Table(cost_columns(result), cost_rows(result)),
        text,
        *result.speed_note,
        *step_note,
        *result.updates_note,
    ]
    return [Section("What each optimizer cost", parts)]


def time(result: StudyResult) -> Section:
    """Return the table of where the study's time went, with how it was measured."""
    use, title = result.time_use, "Where the time went"
    if use is None:
        return Section(
            title,
            [
                "Not known: sessions of the study are missing from its record (an earlier version ran them), or "
                "several processes worked on it at the same time."
            ],
        )
    at_once = f", divided by the {use.workers:.3g} trials that ran at once" if use.workers > 1 else ""
    commands = "the command" if use.sessions == 1 else f"{use.sessions} commands"
    text = (
        f"*All*: wall time of {commands} that reached a trial, from start to end, when the tables and figures of the "
        "report are written; for a killed command, to the last trial that it recorded. *Training* and *evaluation*: "
        f"sums over the trials{at_once}. *The rest*: loading libraries, the time estimate, opening data, building "
        "networks, records, sample images, idle workers at the end of a phase, analysis and figures; and trials "
        "that failed or were interrupted. Not included: writing these pages and attaching the report to its MLflow "
        "run."
    )
    return Section(title, [Table(TIME_COLUMNS, time_rows(use)), text])
