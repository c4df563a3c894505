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
        f"*Time to target*: median training time to AP {target[0]:.3f} (0.9 x the median of the best), as fine as "
        f"the {counted(spec.evaluations, 'evaluation')} a trial; *reached*: trials that got there, from "
        f"{linked(CURVES)}. "
        if target and found.comparable
        else ""
    )
    return [
        "## Result",
        markdown_table(COLUMNS, optimizer_rows(result)),
        prose(
            f"{order} Each row is one configuration: what one tuning chose for the optimizer. *AP*: COCO keypoint AP "
            "of the last checkpoint on the report split, mean over n seeds with its 95 % interval; *best AP*: of each "
            f"seed's best checkpoint. {target_text}*Diverged* and *failed* count all trials, tuning included; a "
            f"confirm trial that did counts as AP 0 in a mean. Unrounded: {linked(SUMMARY)}, each seed: "
            f"{linked(SEEDS)}."
        ),
    ]


def pairs(result: StudyResult) -> list[str]:
    """Every pair of configurations: what the verdict's claims rest on."""
    comparisons = result.analysis.comparisons
    usable = comparisons[comparisons["n"] >= 2]
    if usable.empty or not result.analysis.comparable:
        return []
    least = usable["wilcoxon_smallest_adjusted_p"].min()
    reach = f"{least:.3f}" if least < 0.1 else f"{least:.2f}"
    return [
        "## Every pair",
        markdown_table(PAIR_COLUMNS, pair_rows(result)),
        prose(
            "*Difference*: of the two optimizers' configurations, mean over the seeds that both have, with its 95 % "
            "interval (of this pair alone; the luck of the tuning is not in it). *p*: paired t test, adjusted by "
            f"Holm over all {counted(len(comparisons), 'pair')}; *better* where it is "
            "at most 0.05. *Wilcoxon p*: signed ranks, adjusted alike; with these seeds and pairs it cannot go below "
            f"{reach}. *Wins*: share of seeds in which the first was better, ties half: the probability of "
            f"improvement. Unrounded: {linked(COMPARISONS)}."
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
            "AdaBound, and a tuned SGD may do better. It stands outside the ranking, the pairs and Holm's family: its "
            "p is not corrected."
        ),
    ]


def seeds() -> list[str]:
    """The points behind the means."""
    return [
        "## AP of each seed",
        f"![AP of each seed by optimizer, with means and intervals]({SEEDS_FIGURE})",
        prose(
            "Grey lines join the trials of one seed: the same initial weights and the same order of the data. "
            f"Points: {linked(SEEDS)}."
        ),
    ]


def curves(result: StudyResult) -> list[str]:
    """Learning curves, and both views of the budget read from them."""
    views = result.analysis.views
    parts = [
        "## Learning curves",
        f"![AP and validation loss by steps and by seconds of training]({CURVES_FIGURE})",
        prose(
            "Confirm trials. Lines: mean over the seeds; bands: from the lowest to the highest seed. Seconds are of "
            "training alone, seeds interpolated between evaluations. A trial that diverged or failed has AP 0 from "
            f"there on; a curve of the loss ends where the first of its seeds did. Points: {linked(CURVES)}."
        ),
    ]
    if views[["equal_steps", "equal_seconds"]].notna().any(axis=None):
        parts += [
            "### At equal steps, at equal time",
            markdown_table(view_columns(result), view_rows(result)),
            prose(
                "AP where all have spent what the first of them to end has spent (medians over its seeds), read from "
                f"the curves between evaluations, with 95 % intervals.{_schedule(result)} Unrounded: {linked(VIEWS)}."
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
