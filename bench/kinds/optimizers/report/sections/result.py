"""Sections on each optimizer's result: the main table, each run, the learning curves; in the appendix all details."""

from functools import partial

from bench.kinds.optimizers.analysis import none_completed
from bench.kinds.optimizers.report import figures
from bench.kinds.optimizers.report.files import CURVES, CURVES_FIGURE, LOSS_FIGURE, SEEDS, SEEDS_FIGURE, SUMMARY, VIEWS
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import (
    LOSS_COLUMNS,
    detail_columns,
    loss_rows,
    main_columns,
    main_rows,
    optimizer_rows,
    view_columns,
    view_rows,
)
from bench.report.findings import Drawing, Section, Table
from bench.report.names import MARK
from bench.report.prose import linked
from bench.report.text import literal
from bench.report.wording import counted


def table(result: StudyResult) -> Section:
    """Return the main table."""
    spec, notes = result.spec, [*result.speed_note, *result.schedule_note]
    if result.needed is not None:
        text = (
            f"{_order_text(result)} Each optimizer was tuned {counted(spec.tunings, 'time')}; the settings that "
            "tuning found are not ranked, and were not trained again."
        )
        return Section("Result", [Table(main_columns(result), main_rows(result)), text, *notes])
    target = (
        f" *Time to target*: median training time to {result.measure.name} {spec.target:g}."
        if _has_target(result)
        else ""
    )
    text = (
        f"{_order_text(result)} Each optimizer was tuned {counted(spec.tunings, 'time')}, and what each tuning found "
        f"was trained with {counted(spec.seeds, 'fresh seed')}. {_scores_text(result)}, on {result.measure.samples} "
        "that were not used "
        f"to choose settings. *Collapsed*: tunings whose result learned nothing.{target}{_start_text(result)} "
        f"{result.analysis.limits}{' ' if result.analysis.limits else ''}Unrounded: {linked(SUMMARY)}."
    )
    return Section("Result", [Table(main_columns(result), main_rows(result)), text, *notes])


def _scores_text(result: StudyResult) -> str:
    if result.measure.is_loss:
        return "*Validation loss* (lower is better) and *skill*: means over the tunings that did not collapse"
    return f"*{result.measure.name}*{_better_text(result)}: mean over the tunings that did not collapse"


def _better_text(result: StudyResult) -> str:
    return " (lower is better)" if result.measure.own.sign < 0 else ""


def _start_text(result: StudyResult) -> str:
    """Say that all trials began from trained weights, so that the result is about fine-tuning; empty if they did
    not."""
    began = result.spec.initial_weights_text
    if not began:
        return ""
    return (
        f" Every trial began from {literal(began)}, so the result is about training from these weights, not from "
        "scratch; `posebench eval` scores the file itself, which shows whether training improved it."
    )


def losses_reached(result: StudyResult) -> list[Section]:
    """Return the validation losses of tuning if nothing scored; otherwise empty."""
    rows = [] if result.needed is None else loss_rows(result)
    if not rows:
        return []
    text = (
        "The lowest validation loss of each optimizer's tune trials; lower is better. *Skill*: the share by which "
        "it is below the loss of finding nobody. In the study's order, not ranked: each loss is the best of several "
        "trials, on the images that choose settings, and a lower loss does not always find more people."
    )
    return [Section("Validation loss reached", [Table(LOSS_COLUMNS, rows), text])]


def _order_text(result: StudyResult) -> str:
    analysis = result.analysis
    if analysis.comparable:
        return "Best first."
    confirmed = analysis.summary[analysis.summary["n"] > 0]
    if result.needed is not None:
        why = "no trial scored"
    elif confirmed.empty:
        why = "nothing to compare yet"
    elif none_completed(confirmed):
        why = "no confirm trial completed"
    else:
        why = "the budget is too small to compare"
    return f"In the study's order: {why}."


def _has_target(result: StudyResult) -> bool:
    summary = result.analysis.summary
    return result.analysis.comparable and bool(len(summary)) and bool(summary["target_ap"].notna().any())


def runs(result: StudyResult) -> Section:
    """Return the figure of each confirm trial's score."""
    alt = f"{result.measure.title} of each confirm trial by optimizer and tuning, with means and intervals"
    text = (
        "Each mark is a training run; the tunings of an optimizer are drawn below each other. The k-th tuning of "
        f"every optimizer has the same seeds. Points: {linked(SEEDS)}."
    )
    return Section("Every run", [Drawing(SEEDS_FIGURE, alt, partial(figures.scores, result)), text])


def curves(result: StudyResult) -> Section:
    """Return the learning curves."""
    alt = "Learning curves of the confirm trials by optimizer"
    text = f"{_CURVES} Points: {linked(CURVES)}."
    return Section("Learning curves", [Drawing(CURVES_FIGURE, alt, partial(figures.learning_curves, result)), text])


_CURVES = (
    "Thick: median of the runs that learned, with the quartiles shaded. Thin: single runs; dashed: those that "
    "collapsed, diverged or failed."
)


def losses(result: StudyResult) -> Section:
    """Return the curves of the validation loss."""
    alt = "Validation loss of the confirm trials along the training, by optimizer"
    text = f"{_CURVES if result.measure.is_loss else 'Lines as in the learning curves.'} Points: {linked(CURVES)}."
    return Section(
        "Learning curves" if result.measure.is_loss else "Validation loss",
        [Drawing(LOSS_FIGURE, alt, partial(figures.loss_curves, result)), text],
    )


def details(result: StudyResult) -> list[Section]:
    """Return the table with all details of each optimizer."""
    spec, measure = result.spec, result.measure
    target = (
        f" *Time to target*: median training time to {measure.name} {spec.target:g}, a target set beforehand, "
        "interpolated "
        f"between the {counted(spec.evaluations, 'evaluation')} of a trial; *reached*: confirm trials that reached "
        "it."
        if _has_target(result)
        else ""
    )
    is_cocos = measure.is_ap and result.is_pose
    subject = "*AP*: COCO keypoint AP" if is_cocos else f"*{measure.name}*{_better_text(result)}:"
    if measure.is_loss:
        subject = "*Validation loss* and *skill*:"
    text = (
        f"{subject} of the last checkpoint on the report split, mean over the tunings that did not collapse, with "
        "its 95 % interval where none did. *Over all*: mean that includes the collapsed tunings at their scores; "
        f"the order and the claims use it. *Collapsed*: tunings with a run {measure.worse} {measure.name} "
        f"{measure.floor_text}. *n*: confirm trials.{target} *Failed*: confirm + tune trials that failed; a "
        f"failed confirm trial scores {measure.failure_text}. Unrounded: {linked(SUMMARY)}; each confirm trial: "
        f"{linked(SEEDS)}."
    )
    return [
        Section(
            "Each optimizer in full",
            [Table(detail_columns(result), optimizer_rows(result)), text, *result.schedule_note],
        )
    ]


def equal_budgets(result: StudyResult) -> list[Section]:
    """Return the table of scores at equal budgets; empty where no budget is known."""
    views = result.analysis.views
    timed = "equal_seconds" in views
    if not views[["equal_steps", *(["equal_seconds"] if timed else [])]].notna().any(axis=None):
        return []
    text = (
        f"{result.measure.title} at the {_step(result)}{' and the second' if timed else ''} at which the first "
        "optimizer finished (median over its runs), interpolated between evaluations; mean over the tunings that did "
        f"not collapse, with its 95 % interval where none did.{_schedule_text(result)} Unrounded: {linked(VIEWS)}."
    )
    title = f"At equal {_step(result)}s{', at equal time' if timed else ''}"
    return [Section(title, [Table(view_columns(result), view_rows(result)), text, *result.updates_note])]


def _step(result: StudyResult) -> str:
    return "gradient evaluation" if result.analysis.updates_differ else "step"


def _schedule_text(result: StudyResult) -> str:
    if result.spec.schedule in ("constant", "fixed"):
        return ""
    exempt = (
        f" That does not hold for the optimizers marked {MARK}, whose rates do not follow it."
        if result.schedule_note
        else ""
    )
    return (
        f" Under the {result.spec.schedule} schedule, a run read before its end has not yet had its smallest "
        f"learning rates; with a schedule that ended there, it would score {result.measure.higher}.{exempt}"
    )
