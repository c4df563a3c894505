"""The order in which new trials are enqueued: the longest first, so that a phase does not end with one alone. Pure.

Graham (1969): with the longest first, the last trial ends after at most 4/3 of the shortest possible time.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.trials.spec import Planned, Slot

EQUAL = 0.1
"""Share of the longest expectation by which another may be shorter and still count as equal."""


def longest_first(trials: Sequence[Planned], seconds_of: Callable[[Planned], float | None]) -> list[Planned]:
    """Return the trials with the longest first; trials of about equal length (`EQUAL`) keep their order.

    ``seconds_of``: expected seconds of a trial; None if nothing is known of it: all trials then keep their order.
    """
    known = [(seconds, trial) for trial in trials if (seconds := seconds_of(trial)) is not None]
    if len(known) < len(trials):
        return list(trials)
    places = sorted(range(len(known)), key=lambda place: -known[place][0])
    ordered: list[Planned] = []
    group: list[int] = []
    for place in places:
        if group and known[place][0] < (1 - EQUAL) * known[group[0]][0]:
            ordered += [known[each][1] for each in sorted(group)]
            group = []
        group.append(place)
    return ordered + [known[each][1] for each in sorted(group)]


def by_phase(trials: Sequence[Planned], seconds_of: Callable[[Planned], float | None]) -> list[Planned]:
    """Return the trials phase by phase, as the plan has the phases, and within each the longest first."""
    return [
        each
        for phase in dict.fromkeys(trial.phase for trial in trials)
        for each in longest_first([trial for trial in trials if trial.phase == phase], seconds_of)
    ]


class Pace:
    """Expected seconds of trials, from the seconds per step that a study's records have measured.

    A step takes as long as those of the same optimizer with the same loader; without a record of these, as long as the
    steps of all records; without any record, equally long for all trials.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """``rows``: the records so far, as `Record.as_row` has them."""
        totals: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for row in rows:
            seconds, steps = _number(row.get("train_seconds")), _number(row.get("steps_done"))
            if seconds > 0 and steps > 0:
                for key in ((), (row["optimizer"], row["num_workers"], row["batch_size"])):
                    totals[key][0] += seconds
                    totals[key][1] += steps
        self._step_s = {key: seconds / steps for key, (seconds, steps) in totals.items()}

    def seconds_of(self, trial: Planned) -> float | None:
        """Return the expected seconds of training of a trial; None for a slot, whose settings are not chosen yet."""
        if isinstance(trial, Slot):
            return None
        run = trial.run
        if run.seconds is not None or run.steps is None:
            return run.seconds
        own = (trial.optimizer, run.loader.num_workers, run.loader.batch_size)
        return run.steps * self._step_s.get(own, self._step_s.get((), 1.0))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0
