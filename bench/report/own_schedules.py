"""The footnote on optimizers that do not follow a study's schedule; `bench.report.names` marks them in tables."""

from collections.abc import Mapping

from bench.optimizers.own_schedules import paper_of
from bench.report.names import MARK
from bench.report.text import literal
from bench.report.wording import enumerate_items

SCHEDULES = {
    "constant": "a constant rate after the warm-up",
    "fixed": "a fixed rate from the first step on, without warm-up",
}
"""Schedule -> the words for it."""
NO_RATE = "it has no learning rate"
"""The reason for an optimizer whose paper is not known here."""


def schedule_note(others: Mapping[str, str], names: Mapping[str, str], schedule: str) -> str:
    """Return the footnote: which optimizers have which schedule instead of the study's, and by which paper.

    Empty if all follow the study's. It is Markdown.

    Args:
        others: Schedules other than the study's, by optimizer.
        names: Names of the optimizers in tables, marked or not.
        schedule: The study's schedule.
    """
    if not others:
        return ""
    kinds = [
        f"{SCHEDULES.get(kind, kind)} for "
        + enumerate_items(
            [
                f"{literal(names.get(name, name).removesuffix(MARK))} ({literal(paper_of(name) or NO_RATE)})"
                for name, own in others.items()
                if own == kind
            ]
        )
        for kind in dict.fromkeys(others.values())
    ]
    return (
        f"{MARK} Not the study's {schedule} schedule, since the method fixes its own: {'; '.join(kinds)}. The schedule "
        "is part of what is compared."
    )
