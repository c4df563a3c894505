"""What the study cost."""

from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import COST_COLUMNS, TIME_COLUMNS, cost_rows, time_rows
from bench.report.cells import markdown_table
from bench.report.files import COST_FIGURE, RECORDS
from bench.report.prose import linked, prose


def costs(result: StudyResult) -> list[str]:
    """What each optimizer cost, and against what it reached."""
    return [
        "## Cost",
        markdown_table(COST_COLUMNS, cost_rows(result)),
        prose(
            "*Step* and *state*: the optimizer's own time and memory. *Training* and *evaluation*: seconds a trial. "
            "Medians over the n complete confirm trials (complete tune trials before there are any). *Share of time*: "
            f"of all trials' wall time, tuning and failures included, controls not. From {linked(RECORDS)}."
        ),
        f"![AP against the optimizer's step time and against the memory of its state]({COST_FIGURE})",
        prose(
            "Mean AP over the tunings that did not collapse, with its 95 % interval where none did: up and to the left "
            "is better. Marks of nearly one cost are moved apart."
        ),
    ]


def time(result: StudyResult) -> list[str]:
    """Where the study's time went, and how that was measured."""
    use = result.time_use
    if use is None:
        return [
            "## Where the time went",
            "Not known: no session of the study was recorded, or not all were (an earlier version ran them), or "
            "several processes worked on it at the same time.",
        ]
    at_once = f", divided by the {use.workers:.3g} trials that ran at once" if use.workers > 1 else ""
    commands = "the command" if use.sessions == 1 else f"{use.sessions} commands"
    return [
        "## Where the time went",
        markdown_table(TIME_COLUMNS, time_rows(use)),
        prose(
            f"*All*: wall time of {commands} that reached the first trial or a later one, from the begin to where it "
            "was last heard of: its end (when the tables and figures of a report were written), or, of a killed one, "
            f"the last trial that it recorded. *Training* and *evaluation*: sums over the trials{at_once}. *The rest*: "
            "loading libraries, the time estimate, opening data, building networks, records, sample images, idle "
            "workers at the end of a phase, analysis and figures; and trials that failed or were given back. Writing "
            "this page and attaching the report to its MLflow run come after."
        ),
    ]
