"""With AP alone searched for: what the search saw of the pick, and what fresh seeds made of it."""

import math

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.history import history_chart
from bench.kinds.joint.analysis.picks import BEST_AP
from bench.kinds.joint.analysis.words import ap_cell, ap_interval, optimizer_text
from bench.report.findings import Chart, Intervals
from bench.report.wording import counted
from bench.statistics.intervals import Interval

CHART = "fresh-seeds.png"


def fresh_chart(found: JointFound) -> Chart:
    """AP of the pick in the search and with fresh seeds; the search's trials in their order while there are none."""
    if not found.all_confirmed:
        return history_chart(found)
    place = found.holders[BEST_AP]
    pick, fresh = found.picks[place], found.fresh[place]
    seeds = counted(fresh.n, "fresh seed")
    searched = Interval(pick.ap, None, None, 1, 0.95, "none")
    rows = {
        f"search, best of {len(found.complete)}": searched,
        f"{seeds}, same images": fresh.ap_select,
        f"{seeds}, other images": fresh.ap,
    }
    values = [*rows.values()]
    named = optimizer_text(pick.settings, found.names)
    panel = Intervals(
        "AP (mean, 95 % interval)",
        [*rows],
        [_number(each.estimate) for each in values],
        [_number(each.low) for each in values],
        [_number(each.high) for each in values],
        places=[list(found.names).index(str(pick.settings["optimizer"]))] * len(rows),
        notes=[ap_cell(each.estimate) for each in values],
        title=named,
        zero=True,
    )
    alt = "; ".join(f"{name}: AP {ap_interval(each)}" for name, each in rows.items())
    return Chart(CHART, f"{named}. {alt}", [panel])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
