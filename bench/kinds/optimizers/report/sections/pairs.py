"""Sections on what the claims rest on: every pair of optimizers, and the controls."""

from bench.kinds.optimizers.report.files import COMPARISONS
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.report.tables import PAIR_COLUMNS, control_columns, control_rows, pair_rows
from bench.report.findings import Section, Table
from bench.report.prose import linked
from bench.report.wording import counted, enumerate_items


def pairs(result: StudyResult) -> list[Section]:
    """Return the table of all pairs; empty where nothing can be compared."""
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
    elif result.spec.looks:
        before = enumerate_items([str(look) for look in result.spec.looks])
        looks = (
            f" The study was looked at before, at {before} tunings, and then extended: each look halves the level of "
            "later claims, so that at most 1 in 10 such studies ever claims what is not so."
        )
    level = "its look's level" if compared.until_decided else f"{compared.level:g}"
    of = " in skill" if result.measure.is_loss else ""
    text = (
        f"*Difference*{of}: of the means over all tunings that both have, with its 95 % interval (of this pair alone; "
        f"none where a tuning collapsed or failed). *p*: t test that it is more than {compared.margin:g}, by which "
        "equally good optimizers may differ as procedures; the tuning is the unit, its variance the larger of an "
        "optimizer's own and the one pooled over those that never collapsed; adjusted by Shaffer's step-down over "
        f"all {counted(len(compared.pairs), 'pair')}. *Better* where p is at most {level}. *Wins*: share of the "
        f"shared confirm seeds in which the first was better, ties half.{looks} Unrounded: {linked(COMPARISONS)}."
    )
    return [Section("Every pair", [Table(PAIR_COLUMNS, pair_rows(result)), text])]


def controls(result: StudyResult) -> list[Section]:
    """Return AdaBound-like optimizers against the untuned SGD that they become; empty without such a control."""
    comparisons = result.analysis.controls
    if comparisons.empty:
        return []
    text = (
        "In the end AdaBound is SGD with momentum beta1 at the rate final_lr x (1 - beta1): that SGD ran on the "
        "same seeds with the same schedule. It is untuned: its rate follows from the final_lr that was chosen for "
        "AdaBound, and a tuned SGD may do better. It stands outside the ranking and the pairs: its p is not corrected."
    )
    parts = [Table(control_columns(result), control_rows(result)), *comparisons["sentence"], text]
    return [Section("Against their own untuned limits", parts)]
