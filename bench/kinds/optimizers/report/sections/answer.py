"""The answer: verdict, ranking, pairs, controls, and the confirm trials that they are made of."""

import textwrap

from bench.kinds.optimizers.analysis import none_completed
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import (
    COLUMNS,
    CONTROL_COLUMNS,
    PAIR_COLUMNS,
    control_rows,
    optimizer_rows,
    pair_rows,
    view_columns,
    view_rows,
)
from bench.report.cells import markdown_table
from bench.report.files import (
    COMPARISONS,
    CURVES,
    CURVES_FIGURE,
    SEEDS,
    SEEDS_FIGURE,
    SUMMARY,
    VIEWS,
)
from bench.report.prose import linked, prose
from bench.report.wording import counted


def unfinished(result: StudyResult) -> str:
    """`Unfinished: 17 of 210 trials.`; empty once all are recorded."""
    if result.status() == "complete":
        return ""
    return f"Unfinished: {len(result.records)} of {counted(result.planned, 'trial')}."


def answer(result: StudyResult) -> list[str]:
    """How far the study is, if it has not ended, and its verdict."""
    state = unfinished(result)
    early = (
        [prose(f"**{state}** A claim made before the end may turn: who looks often finds one by chance.")]
        if state
        else []
    )
    return [*early, textwrap.indent(prose(result.verdict), "> ")]


def ranking(result: StudyResult) -> list[str]:
    """The main table."""
    spec, found = result.spec, result.analysis
    if found.comparable:
        order = "Best first."
    else:
        confirmed = found.summary[found.summary["n"] > 0]
        why = "the budget is too small to compare"
        if confirmed.empty:
            why = "nothing to compare yet"
        elif none_completed(confirmed):
            why = "no confirm trial completed"
        order = f"In the study's order: {why}."
    target: list[float] = found.summary["target_ap"].dropna().tolist() if len(found.summary) else []
    target_text = (
        f"*Time to target*: median training time to AP {target[0]:.3f}, a target given beforehand, read between the "
        f"{counted(spec.evaluations, 'evaluation')} of a trial; *reached*: confirm trials that got there, from "
        f"{linked(CURVES)}. "
        if target and found.comparable
        else ""
    )
    return [
        "## Result",
        markdown_table(COLUMNS, optimizer_rows(result)),
        prose(
            f"{order} Each optimizer was tuned {counted(spec.tunings, 'time')} by itself, and what each tuning found "
            f"trained on {counted(spec.seeds, 'fresh seed')}. *AP*: COCO keypoint AP of the last checkpoint on the "
            "report split, mean over the tunings that did not collapse, with its 95 % interval where none did; *over "
            "all*: with those that collapsed as they scored, what order and claims are about. *Collapsed*: tunings "
            f"with a run that learned nothing (AP under {found.tuned.floor:.2g}). *n*: confirm trials. {target_text}"
            "*Failed*: confirm + tune trials that failed; a confirm trial that did scores 0. Unrounded: "
            f"{linked(SUMMARY)}, each confirm trial: {linked(SEEDS)}."
        ),
    ]


def pairs(result: StudyResult) -> list[str]:
    """Every pair of optimizers: what the verdict's claims rest on."""
    compared = result.analysis.compared
    if not (compared.pairs["n"] >= 2).any() or not result.analysis.comparable:
        return []
    looks = ""
    if compared.until_decided:
        levels = ", ".join(f"{look.level:g} at {look.tunings}" for look in compared.looks)
        looks = (
            f" The study was looked at after several numbers of tunings, at stricter levels in place of 0.05 ({levels}"
            "); whoever was beaten left, and claims stay."
        )
    level = "its look's level" if compared.until_decided else "0.05"
    return [
        "## Every pair",
        markdown_table(PAIR_COLUMNS, pair_rows(result)),
        prose(
            "*Difference*: of the means over all tunings that both have, with its 95 % interval (of this pair alone; "
            f"none where a tuning collapsed or failed). *p*: t test that it is more than {compared.margin:g}, by which "
            "equally good optimizers may differ as procedures; the tuning is the unit, its variance the larger of an "
            "optimizer's own and the one pooled over those that never collapsed; adjusted by Shaffer's step-down over "
            f"all {counted(len(compared.pairs), 'pair')}. *Better* where p is at most {level}. *Wins*: share of the "
            f"shared confirm seeds in which the first was better, ties half.{looks} Unrounded: {linked(COMPARISONS)}."
        ),
    ]


def controls(result: StudyResult) -> list[str]:
    """AdaBound and its like against the untuned SGD that they become; nothing where the study has no such control."""
    found = result.analysis.controls
    if found.empty:
        return []
    return [
        "## Against their own untuned limits",
        markdown_table(CONTROL_COLUMNS, control_rows(result)),
        *(prose(sentence) for sentence in found["sentence"]),
        prose(
            "In the end AdaBound is SGD with momentum beta1 at the rate final_lr x (1 - beta1): that SGD ran on the "
            "same seeds with the same schedule. It is untuned: its rate follows from the final_lr that was chosen for "
            "AdaBound, and a tuned SGD may do better. It stands outside the ranking and the pairs: its p is not "
            "corrected."
        ),
    ]


def seeds() -> list[str]:
    """The points behind the means."""
    return [
        "## AP of each tuning",
        f"![AP of each confirm trial by optimizer and tuning, with means and intervals]({SEEDS_FIGURE})",
        prose(
            "Each mark is a confirm trial, each optimizer's tunings stand from left to right. The first tunings of all "
            "optimizers share their seeds (initial weights and order of the data), the second ones too, and so on. "
            f"Points: {linked(SEEDS)}."
        ),
    ]


def curves(result: StudyResult) -> list[str]:
    """Learning curves, and AP at equal budgets read from them."""
    views = result.analysis.views
    timed = "equal_seconds" in views
    parts = [
        "## Learning curves",
        f"![AP and validation loss by steps and by seconds of training]({CURVES_FIGURE})",
        prose(
            "Confirm trials. Lines: mean over the tunings' trials; bands: from the lowest to the highest. Seconds are "
            "of training alone, trials interpolated between evaluations. A trial that diverged or failed has AP 0 from "
            f"there on; a curve of the loss ends where the first of its trials did. Points: {linked(CURVES)}."
        ),
    ]
    if views[["equal_steps", *(["equal_seconds"] if timed else [])]].notna().any(axis=None):
        parts += [
            f"### At equal steps{', at equal time' if timed else ''}",
            markdown_table(view_columns(result), view_rows(result)),
            prose(
                "AP where all have spent what the first of them to end has spent (medians over its trials), read from "
                "the curves between evaluations: mean over the tunings that did not collapse, with its 95 % interval "
                f"where none did.{_schedule(result)} Unrounded: {linked(VIEWS)}."
            ),
        ]
    return parts


def _schedule(result: StudyResult) -> str:
    if result.spec.schedule == "constant":
        return ""
    return (
        f" Under the {result.spec.schedule} schedule a trial that is read before its end has not yet had its smallest "
        "learning rates: with a schedule that ended there it would score higher."
    )
