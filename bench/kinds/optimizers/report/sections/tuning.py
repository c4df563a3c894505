"""Sections on tuning: the rates that were tried, and the settings that each tuning ended with."""

from functools import partial

from bench.kinds.optimizers.report import figures
from bench.kinds.optimizers.report.files import LR_FIGURE
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import finalist_columns, finalist_rows, settings_columns, settings_rows
from bench.report.files import RECORDS
from bench.report.findings import Code, Drawing, Part, Section, Table
from bench.report.prose import linked
from bench.report.text import literal
from bench.report.wording import counted, enumerate_items
from bench.trials.phases import TUNE
from bench.trials.status import Status

PRUNERS = {"median": "median pruner", "hyperband": "Hyperband pruner"}


def rates(result: StudyResult) -> Section:
    """Return the figure of the tune trials' scores by rate."""
    alt = f"{result.measure.title} of the tune trials by effective learning rate, a panel for each optimizer"
    text = (
        f"{counted(result.spec.trials, 'trial')} for each tuning, scored on the select split. A narrow peak means "
        "that the learning rate must be set exactly. Effective learning rate: lr / (1 - momentum) where that was "
        f"searched, else lr; other settings differ too.{_without_panel(result)} Points: phase "
        f"`tune` of {linked(RECORDS)}."
    )
    return Section("What tuning tried", [Drawing(LR_FIGURE, alt, partial(figures.rates, result)), text])


def _without_panel(result: StudyResult) -> str:
    """Name the optimizers whose tune trials have no learning rate; empty if all have one."""
    tuned = {*result.records["optimizer"][result.records["phase"] == TUNE]} - {
        *result.analysis.sensitivity["optimizer"]
    }
    names = [literal(result.analysis.names[name]) for name in result.analysis.summary["name"] if name in tuned]
    return f" No panel, since no rate was searched: {enumerate_items(names)}." if names else ""


def settings(result: StudyResult) -> list[Section]:
    """Return each optimizer's settings, the finalists of all tunings, and the lines to paste."""
    star = " A star: the value lies at the border of its range, so a better one may lie outside."
    text = (
        f"{_shown_text(result)} Claims are about the optimizers as tuned here, not about these settings. "
        f"*{result.measure.title} when tuned*: of the best tune trial of that tuning on the select split; as the "
        f"best of several, it is optimistic.{star if result.analysis.comparable else ''}"
    )
    sections = [
        Section("Settings", [Table(settings_columns(result), settings_rows(result)), text, *_pruner_text(result)])
    ]
    finalists = finalist_rows(result)
    if finalists:
        sections.append(
            Section("What each tuning ended with", [Table(finalist_columns(result), finalists), _FINALISTS])
        )
    parts = [part for name in result.analysis.summary["name"] for part in _lines(result, name)]
    return [*sections, *([Section("Lines to paste, for each optimizer", parts)] if parts else [])]


_FINALISTS = (
    "The finalist of a tuning combines the settings of its good trials; it is not itself one of them. *(shown)*: "
    "the one in the table above. The scores of its confirm trials are on the report split, one for each seed."
)


def _lines(result: StudyResult, name: str) -> list[Part]:
    lines = result.lines.get(name)
    if lines is None:
        return []
    return [literal(result.analysis.names[name]), Code("python", lines.python, lines.driving_note), *lines.codes()]


def _shown_text(result: StudyResult) -> str:
    """Say which settings the first table shows."""
    summary = result.analysis.summary
    waiting = summary["settings_tuning"].isna()
    finalists = [finalist for tunings in summary["finalists"] for finalist in tunings]
    on_select = bool(finalists) and all(finalist["ap_select"] is not None for finalist in finalists)
    by = "whose confirm trials scored best on the select split" if on_select else "whose tuning had the best tune trial"
    if not waiting.any():
        return f"To paste: for each optimizer, the finalist {by}."
    if waiting.all():
        return "The settings of the best tune trial so far."
    return f"For each optimizer, the finalist {by}; before there is one, the best tune trial so far."


def _pruner_text(result: StudyResult) -> list[str]:
    if result.spec.pruner == "none":
        return []
    tune = result.records[result.records["phase"] == "tune"]
    ended = int((tune["status"] == Status.PRUNED).sum())
    if not ended:
        return [f"Optuna's {PRUNERS[result.spec.pruner]} could end tune trials early, and ended none."]
    return [
        f"**Tune trials were ended early**: {ended} of {len(tune)}, by Optuna's {PRUNERS[result.spec.pruner]}, each "
        "compared only with trials of its own optimizer. This favours settings and optimizers that start fast: one "
        f"that would have won late may have been ended. Pruned trials have no {result.measure.name} and count as the "
        "worst; the confirm "
        "phase has no pruner."
    ]
