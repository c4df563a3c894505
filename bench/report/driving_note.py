"""Sentences on optimizers that need more of a training loop than `step()`, or of which a reader should know more."""

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.report.text import literal
from bench.report.wording import enumerate_items

FACTORY = ").factory("
"""Part of a line of Python that makes a factory instead of the optimizer itself."""
JUDGED = ("train() and eval()", "at other weights")
"""Parts of a record's `driving` where the weights that are judged are not those that gradients are computed at."""
PAIR = "+"
"""Joins the names of an optimizer for matrices and one for the rest."""


def driving_note(line: str, driving: str | None) -> str:
    """Return a sentence on how the optimizer that a line builds is driven; empty if `step()` is all that it needs.

    Args:
        line: The line of Python (`bench.optimizers.line`).
        driving: How a step is taken, in words; None or empty for an ordinary optimizer.
    """
    if FACTORY in line:
        return (
            "`posemodel.train` takes this factory; in a loop of your own, `make_driven` and `Driver` of "
            "`posemodel.training.driving` make the optimizer and take its steps."
        )
    if not driving:
        return ""
    return f"Its steps need {driving}: `Driver` of `posemodel.training.driving` takes them."


def driving_of(records: pd.DataFrame, optimizer: str) -> str | None:
    """Return how an optimizer is driven, in words, by its records; None for an ordinary one."""
    if "driving" not in records:
        return None
    known = records["driving"][(records["optimizer"] == optimizer) & records["driving"].notna()]
    return str(known.iloc[0]) if len(known) else None


def driving_remarks(records: pd.DataFrame, names: Sequence[str], shown: Iterable[str], *, of_pose: bool) -> list[str]:
    """Return the paragraphs on what a reader has to know of the optimizers' ways; empty for ordinary optimizers.

    Args:
        records: One row a trial.
        names: Names of the study's optimizers.
        shown: Their names in tables, in the same order.
        of_pose: Whether the trials train pose networks.
    """
    shown_names = dict(zip(names, map(literal, shown), strict=True))
    judged = [shown_names[name] for name in names if any(part in (driving_of(records, name) or "") for part in JUDGED)]
    pairs = [shown_names[name] for name in names if PAIR in name]
    remarks = []
    if judged:
        source = "64 training images without augmentation" if of_pose else "the batches of the latest steps"
        remarks.append(
            f"{enumerate_items(judged)}: judged by other weights than those that are trained. Batch norm's "
            f"statistics for these are computed from {source} before each evaluation, of whose time that is a part."
        )
    if pairs:
        remarks.append(
            f"{enumerate_items(pairs)}: the first trains all weights of two and more dimensions, first layers and "
            "output heads too, which the authors of Muon leave to AdamW; the second biases and norms."
        )
    return remarks
