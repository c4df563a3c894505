"""How the settings were found: the chosen ones, their learning rates, where training breaks, what more would bring."""

from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import FINALIST_COLUMNS, SETTINGS_COLUMNS, finalist_rows, settings_rows
from bench.report.cells import markdown_table
from bench.report.files import BEST_FIGURE, BEST_SO_FAR, DIVERGENCE_FIGURE, LR_FIGURE, RECORDS
from bench.report.prose import linked, prose
from bench.report.wording import counted
from bench.trials.status import Status

PRUNERS = {"median": "median pruner", "hyperband": "Hyperband pruner"}


def tuning(result: StudyResult) -> list[str]:
    """The tune phase."""
    star = " A star: the value sits at the border of its range, a better one may lie outside."
    finalists = finalist_rows(result)
    return [
        "## Settings and their rates",
        markdown_table(SETTINGS_COLUMNS, settings_rows(result)),
        prose(
            f"{_shown(result)} Claims are about the optimizers as tuned here, not about these settings. *AP when "
            "tuned*: of the best tune trial of that tuning on the select split, the best of several, so it flatters."
            f"{star if result.analysis.comparable else ''} *Rate near best*: share of the (logarithmic) range of rates "
            "whose tune trials reach 95 % of the best AP of their round; each trial stands for what is nearer to it "
            "than to any other. Small: the rate must be found exactly."
        ),
        *_pruner(result),
        *(["### What each tuning ended with", markdown_table(FINALIST_COLUMNS, finalists)] if finalists else []),
        *([prose(_FINALISTS)] if finalists else []),
        f"![AP of the tune trials by rate, a panel for each optimizer]({LR_FIGURE})",
        prose(
            f"{counted(result.spec.trials, 'tune trial')} a tuning, one shape a tuning: hollow in its first round, "
            "filled in later, longer ones (AP on the select split). Large black outlines: the finalist's rate and the "
            "AP of its confirm trials on the report split. The rate is lr, or lr / (1 - momentum) where that was "
            f"searched. Each point may have other settings too. Points: phase `tune` of {linked(RECORDS)}."
        ),
        "### Where training breaks",
        f"![Tune trials that completed, diverged or failed by rate]({DIVERGENCE_FIGURE})",
        "### What more tuning brings",
        f"![Best AP found against the training spent on tuning]({BEST_FIGURE})",
        prose(
            "The best AP of the first trials of a tuning in their order: mean over the tunings, and the band from the "
            "lowest to the highest. Later trials are longer and placed by what earlier ones found. A curve that still "
            f"rises at its end asks for more trials. Points: {linked(BEST_SO_FAR)}."
        ),
    ]


_FINALISTS = (
    "The finalist of a tuning is made of its good settings, and is no trial of its own. An arrow: the one that is "
    "shown above. The scores of its confirm trials are on the report split, by seed."
)


def _shown(result: StudyResult) -> str:
    """Which settings the first table shows."""
    summary = result.analysis.summary
    waiting = summary["settings_tuning"].isna()
    finalists = [each for own in summary["finalists"] for each in own]
    on_select = bool(finalists) and all(each["ap_select"] is not None for each in finalists)
    by = "whose confirm trials scored best on the select split" if on_select else "whose tuning saw the best tune trial"
    if not waiting.any():
        return f"To paste: of each optimizer's finalists the one {by}."
    if waiting.all():
        return "The settings of the best tune trial so far."
    return f"Of each optimizer's finalists the one {by}; before there is one, the best tune trial so far."


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
