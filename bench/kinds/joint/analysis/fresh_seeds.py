"""Figure of a joint study that searches the score alone: the score of its pick in the search and on fresh seeds."""

import math

from bench.kinds.joint.analysis.history import history_chart
from bench.kinds.joint.analysis.picks import BEST_AP
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import optimizer_text
from bench.report.findings import Chart, Intervals
from bench.report.wording import counted
from bench.statistics.interval import Interval

CHART = "fresh-seeds.png"


def fresh_chart(results: JointResults) -> Chart:
    """Draw the pick's score in the search and on fresh seeds; without fresh seeds, the search's history."""
    if not results.all_confirmed:
        return history_chart(results)
    index = results.picks_by_role[BEST_AP]
    pick, fresh, measure = results.picks[index], results.fresh[index], results.measure
    seeds = counted(fresh.n, "fresh seed")
    searched = Interval(pick.score, None, None, 1, fresh.score.level, "none")
    rows = {
        f"search, best of {len(results.complete)}": searched,
        f"{seeds}, same {measure.samples}": fresh.score_select,
        f"{seeds}, other {measure.samples}": fresh.score,
    }
    values = [*rows.values()]
    named = optimizer_text(pick.settings, results.names)
    panel = Intervals(
        f"{measure.name} (mean, 95 % interval)",
        [*rows],
        [_number(each.estimate) for each in values],
        [_number(each.low) for each in values],
        [_number(each.high) for each in values],
        style_indices=[list(results.names).index(str(pick.settings["optimizer"]))] * len(rows),
        notes=[measure.cell(each.estimate) for each in values],
        title=named,
        zero=measure.is_ap,
    )
    alt = "; ".join(f"{name}: {measure.name} {measure.interval(each)}" for name, each in rows.items())
    return Chart(CHART, f"{named}. {alt}", [panel])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
