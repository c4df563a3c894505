"""Figure data: difference of each optimizer's mean score to the best one's, the report's first figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.kinds.optimizers.measure import Measure
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.cells import known
from bench.report.findings import Intervals
from bench.report.wording import counted, p_text
from bench.trials.columns import rows_of

FEWEST_TUNINGS = 2
"""Minimum number of tunings for the figure: with one tuning each, the luck of tuning is unknown and there is no
interval."""


def forest_panel(result: StudyResult) -> Intervals | None:
    """Return the differences to the best optimizer, best first; None where nothing can be compared.

    The reference is the best of those that may be the best and whose tunings neither collapsed nor failed, since only
    such differences have intervals; without one, the leader. The leader is never at chance: such a study is not
    comparable.
    """
    analysis = result.analysis
    rows = [row for row in rows_of(analysis.summary) if row["tunings"]]
    if not analysis.comparable or len(rows) < 2 or analysis.compared.tunings < FEWEST_TUNINGS:
        return None
    steady = [row["name"] for row in rows if row["name"] in analysis.best and _steady(row)]
    reference = next(row for row in rows if not steady or row["name"] == steady[0])
    differences = [_difference(result, row, reference) for row in rows]
    margin, measure = analysis.compared.margin, result.measure
    name = analysis.names[reference["name"]]
    worse = "left" if measure.own.sign > 0 else "right"
    shown = [measure.turned_ends(each["mean"], each["low"], each["high"]) for each in differences]
    apart = "\n" if measure.is_own else "; "  # its name may be long
    ends = ", 95 % intervals" if _steady(reference) else " (it collapsed or failed in a tuning: no intervals)"
    return Intervals(
        x_label=f"{measure.name} difference to {name}{ends}{apart}{worse} of the band: worse",
        names=[analysis.names[row["name"]] for row in rows],
        middle=[middle for middle, _, _ in shown],
        low=[low for _, low, _ in shown],
        high=[high for _, _, high in shown],
        style_indices=[result.spec.optimizers.index(row["name"]) for row in rows],
        line=0.0,
        band=(-margin, margin),
        band_label=f"under {margin:g} {measure.unit}: counts as no difference",
        notes=[
            _note(row, difference, analysis.best, measure, apart=bool(steady))
            for row, difference in zip(rows, differences, strict=True)
        ],
    )


def _steady(row: Mapping[str, Any]) -> bool:
    return not row["collapsed"] and not row["confirm_failed"]


def _difference(result: StudyResult, row: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Return the pair's mean difference with interval and p; if it was not tested, the difference of mean scores."""
    unknown = float("nan")
    if row is reference:
        return {"mean": 0.0, "low": unknown, "high": unknown, "p": unknown}
    for pair in rows_of(result.analysis.comparisons):
        if {pair["a"], pair["b"]} == {row["name"], reference["name"]} and pair["n"]:
            sign = 1 if pair["a"] == row["name"] else -1
            low, high = sorted((sign * pair["low"], sign * pair["high"]))
            return {"mean": sign * pair["mean_difference"], "low": low, "high": high, "p": pair["t_p_adjusted"]}
    return {"mean": row["score_mean"] - reference["score_mean"], "low": unknown, "high": unknown, "p": unknown}


def _note(
    row: Mapping[str, Any], difference: Mapping[str, float], best: Sequence[str], measure: Measure, *, apart: bool
) -> str:
    """Return ``AP 0.239, p = 0.005``; if there is no interval, a second line with the reason.

    ``apart``: whether some of the optimizers that may be the best are steady; the unsteady ones are then called "too
    unstable to place".
    """
    parts = [f"{measure.name} {measure.text(row['score_mean'])}"]
    if measure.is_loss and known(row[VAL_LOSS_MEAN]):
        parts = [f"loss {row[VAL_LOSS_MEAN]:.4g}, {parts[0]}"]
    if known(difference["p"]):
        parts.append(f"p {p_text(difference['p'])}")
    if row["name"] in best:
        placed = "may be the best" if len(best) > 1 else "the best"
        parts.append(placed if _steady(row) or not apart else "too unstable to place")
    text = ", ".join(parts)
    if row["collapsed"]:
        return f"{text}\n{row['collapsed']} of {counted(row['tunings'], 'tuning')} collapsed: no interval"
    if row["confirm_failed"]:
        return (
            f"{text}\n{counted(row['confirm_failed'], 'run')} failed, counted as {measure.name} "
            f"{measure.failure_text}: no interval"
        )
    return text
