"""A study in which nothing scored, in sentences: that nothing can be recommended, how much longer trials need, why."""

from bench.report.wording import counted, duration_text
from bench.trials.needed import Needed
from bench.trials.phases import SECOND


def unscored_text(
    trials: str, floor: float, found: Needed, *, not_done: str, remedies: str, batch: str = "", measure: str = "AP"
) -> str:
    """What a study says in place of an answer, in Markdown.

    Args:
        trials: What stayed at chance: ``all 24 tune trials``.
        floor: The score under which a trial has learned nothing.
        found: How long trials would have to be.
        not_done: ``nothing was confirmed``.
        remedies: What to do, a sentence.
        batch: After a number of steps: `` of batch 8``.
        measure: The score, before a number.
    """
    return (
        f"Nothing scored: {trials} ended under {measure} {floor:g}, as if nothing had been learned. So {not_done}, and "
        f"nothing can be recommended. {needed_text(found, batch)} {remedies}"
    )


def all_of(count: int, noun: str) -> str:
    """``all 24 tune trials``, ``the only tune trial``."""
    return f"all {counted(count, noun)}" if count > 1 else f"the only {noun}"


def needed_text(found: Needed, batch: str = "") -> str:
    """``... about 800 to 3,000 steps of batch 8 are needed, 4 to 15 times what the longest of these trials had.``"""
    if found.low is None:
        return f"How much longer trials must be is not known: {found.why}."
    begun = "By how the validation loss has fallen, a trial scores after"
    times = _times(found.low / found.length)
    if found.high is None:
        least = _amount(found.low, found.unit, batch)
        return f"{begun} {least} at least, {times} times what the longest of these had; how much more is not known."
    if found.unit == SECOND:
        span = f"{duration_text(found.low)} to {duration_text(found.high)} of training"
    else:
        span = f"{found.low:,.0f} to {_amount(found.high, found.unit, batch)}"
    return (
        f"{begun} about {span}, {times} to {_times(found.high / found.length)} times what the longest of these had, if "
        "more steps help at all: a few images are learned by heart."
    )


def _amount(length: float, unit: str, batch: str) -> str:
    return f"{duration_text(length)} of training" if unit == SECOND else f"{length:,.0f} {unit}s{batch}"


def _times(ratio: float) -> str:
    """``1.5``, ``4``."""
    return f"{ratio:.1f}".removesuffix(".0") if ratio < 3 else f"{ratio:.0f}"
