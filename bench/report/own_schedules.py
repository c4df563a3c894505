"""The footnote on optimizers that do not follow a study's schedule; `bench.report.names` marks them in tables."""

from collections.abc import Mapping

from bench.optimizers.own_schedules import schedule_reason
from bench.report.names import MARK
from bench.report.text import literal
from bench.report.wording import enumerate_items

SCHEDULES = {
    "constant": "a constant rate after the warm-up",
    "fixed": "a rate that the method sets itself, unchanged by posebench,",
}
"""Schedule -> the words for it."""


def schedule_note(others: Mapping[str, str], names: Mapping[str, str], schedule: str) -> str:
    """Return the footnote: which optimizers have which schedule instead of the study's, and why: by which paper, say.

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
                _with_reason(name, names.get(name, name).removesuffix(MARK))
                for name, own in others.items()
                if own == kind
            ]
        )
        for kind in dict.fromkeys(others.values())
    ]
    return f"{MARK} Not the study's {schedule} schedule: {'; '.join(kinds)}. The schedule is part of what is compared."


def _with_reason(name: str, shown: str) -> str:
    reason = schedule_reason(name)
    return f"{literal(shown)} ({literal(reason)})" if reason else literal(shown)
