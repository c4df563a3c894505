"""How the settings were found: the chosen ones, their learning rates, where training breaks, what more would bring."""

from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import SETTINGS_COLUMNS, settings_rows
from bench.report.cells import markdown_table
from bench.report.files import BEST_FIGURE, BEST_SO_FAR, DIVERGENCE_FIGURE, LR_FIGURE, RECORDS
from bench.report.prose import linked, prose
from bench.report.wording import counted
from bench.trials.status import Status

PRUNERS = {"median": "median pruner", "hyperband": "Hyperband pruner"}


def tuning(result: StudyResult) -> list[str]:
    """The tune phase."""
    star = " A star: the value sits at the border of its range, a better one may lie outside."
    return [
        "## Settings and their learning rates",
        markdown_table(SETTINGS_COLUMNS, settings_rows(result)),
        prose(
            f"{_chosen(result)}, and the AP on the select split for which they were chosen (ties: by validation loss): "
            f"the best of several, so it flatters.{star if result.analysis.comparable else ''} *lr near best*: share "
            "of the searched (logarithmic) range of learning rates whose tune trials reach 95 % of the best one's AP; "
            "each trial stands for what is nearer to it than to any other. Small: the learning rate must be found "
            "exactly."
        ),
        *_pruner(result),
        f"![AP of the tune trials by learning rate, a panel for each optimizer]({LR_FIGURE})",
        prose(
            f"{counted(result.spec.trials, 'tune trial')} an optimizer: each point has other settings too, so no line "
            f"joins them. Points: phase `tune` of {linked(RECORDS)}."
        ),
        "### Where training breaks",
        f"![Tune trials that completed, diverged or failed by learning rate]({DIVERGENCE_FIGURE})",
        "### What more tuning brings",
        f"![Best AP found against the training spent on tuning]({BEST_FIGURE})",
        prose(
            "The best AP of so many tune trials, drawn with replacement from those that ran (Dodge et al. 2019): the "
            "mean, and the band that holds 90 % of the draws. A curve that still rises at its end asks "
            f"for more trials. A trial costs the mean of its optimizer's. Points: {linked(BEST_SO_FAR)}."
        ),
    ]


def _chosen(result: StudyResult) -> str:
    waiting = result.analysis.summary["n"] == 0
    if not waiting.any():
        return "The settings that were confirmed"
    return "The settings that are best so far" if waiting.all() else "The settings that are confirmed, or best so far"


def _pruner(result: StudyResult) -> list[str]:
    if result.spec.pruner == "none":
        return []
    tune = result.records[result.records["phase"] == "tune"]
    ended = int((tune["status"] == Status.PRUNED).sum())
    if not ended:
        return [prose(f"Optuna's {PRUNERS[result.spec.pruner]} watched the tune trials and has ended none early.")]
    return [
        prose(
            f"**Tune trials were ended early**: {ended} of {len(tune)}, by Optuna's {PRUNERS[result.spec.pruner]}, "
            "each judged against trials of its own optimizer alone. This favours settings and optimizers that start "
            "fast: one that would have won late may have been ended. Pruned trials have no AP and count as the "
            "worst; the confirm phase has no pruner."
        )
    ]
