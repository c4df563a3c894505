"""Sentences for a study in which nothing scored: why nothing is recommended, and how much longer trials must be."""

from bench.report.wording import counted, duration_text
from bench.trials.needed_length import NeededLength
from bench.trials.phases import SECOND


def unscored_text(
    trials: str,
    needed: NeededLength,
    *,
    not_done: str,
    remedies: str,
    batch: str = "",
    score: str = "under AP 0.02",
) -> str:
    """Return the answer of a study in which nothing scored, in Markdown.

    Args:
        trials: The trials that stayed at chance: ``all 24 tune trials``.
        needed: How long trials would have to be.
        not_done: The step that was left out: ``nothing was confirmed``.
        remedies: What to do, a sentence.
        batch: Text after a number of steps: `` of batch 8``.
        score: Where the scores of trials that have learned nothing lie.
    """
    return (
        f"Nothing scored: {trials} ended {score}, as if nothing had been learned. So {not_done}, and "
        f"nothing can be recommended. {needed_text(needed, batch)} {remedies}"
    )


def all_trials_text(count: int, noun: str) -> str:
    """Return ``all 24 tune trials`` or ``the only tune trial``."""
    return f"all {counted(count, noun)}" if count > 1 else f"the only {noun}"


def needed_text(needed: NeededLength, batch: str = "") -> str:
    """Say how long trials would have to be, in absolute terms and as a multiple of the longest one."""
    if needed.low is None:
        return f"How much longer trials must be is not known: {needed.why}."
    begun = "Judging by the fall of the validation loss, a trial scores after"
    times = _times(needed.low / needed.length)
    if needed.high is None:
        least = _amount(needed.low, needed.unit, batch)
        return (
            f"{begun} at least {least}, {times} times the length of the longest of these; how much more is not known."
        )
    if needed.unit == SECOND:
        span = f"{duration_text(needed.low)} to {duration_text(needed.high)} of training"
    else:
        span = f"{needed.low:,.0f} to {_amount(needed.high, needed.unit, batch)}"
    return (
        f"{begun} about {span}, {times} to {_times(needed.high / needed.length)} times the length of the longest of "
        "these, provided that more steps help: with few images, the network memorises them."
    )


def _amount(length: float, unit: str, batch: str) -> str:
    return f"{duration_text(length)} of training" if unit == SECOND else f"{length:,.0f} {unit}s{batch}"


def _times(ratio: float) -> str:
    """Return a ratio as ``1.5`` or ``4``."""
    return f"{ratio:.1f}".removesuffix(".0") if ratio < 3 else f"{ratio:.0f}"
