"""Sections on the evidence for the claims: every pair of optimizers, and the controls."""

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
            " The study was compared after several numbers of tunings, each time at a stricter level than 0.05 "
            f"({levels}); beaten optimizers left the study, and their claims stand."
        )
    elif result.spec.looks:
        before = enumerate_items([str(look) for look in result.spec.looks])
        looks = (
            f" The study was compared before, at {before} tunings, and then extended: each look halves the level of "
            "later claims, so that at most 1 in 10 such studies ever makes a false claim."
        )
    level = "its look's level" if compared.until_decided else f"{compared.level:g}"
    of = "" if result.measure.is_ap else f" {result.measure.unit}"
    text = (
        f"*Difference*{of}: between the means over all tunings that both have, with a 95 % interval for this pair "
        "alone (none where a tuning collapsed or failed). *p*: t test that the difference exceeds "
        f"{compared.margin:g}, by which equally good optimizers may differ as procedures. The tuning is the unit; "
        "its variance is the larger of an optimizer's own and the one pooled over those that never collapsed; p is "
        f"adjusted by Shaffer's step-down over all {counted(len(compared.pairs), 'pair')}. *Better* where p is at "
        f"most {level}. *Wins*: share of the shared confirm seeds in which the first was better; a tie counts "
        f"half.{looks} Unrounded: {linked(COMPARISONS)}."
    )
    return [Section("Every pair", [Table(PAIR_COLUMNS, pair_rows(result)), text])]


def controls(result: StudyResult) -> list[Section]:
    """Return AdaBound-like optimizers against the untuned SGD that they become; empty without such a control."""
    comparisons = result.analysis.controls
    if comparisons.empty:
        return []
    text = (
        "Late in training, AdaBound becomes SGD with momentum beta1 at the rate final_lr x (1 - beta1): that SGD "
        "ran on the same seeds with the same schedule. It is untuned: its rate follows from the final_lr that was "
        "chosen for AdaBound, and a tuned SGD may do better. It is not part of the ranking and the pairs, so its p "
        "is not corrected."
    )
    parts = [Table(control_columns(result), control_rows(result)), *comparisons["sentence"], text]
    return [Section("Against their own untuned limits", parts)]
