"""Compare two studies: the optimizers whose AP or speed differs by more than the luck of tuning and noise."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from bench.kinds.optimizers.analysis.finalists import finalists_of, shown_finalist
from bench.kinds.optimizers.analysis.tunings import (
    AP_ENDS,
    TunedScores,
    common_tunings,
    learned_mean_intervals,
    tuned_scores,
)
from bench.statistics.intervals import unpaired_interval
from bench.statistics.level import ALPHA
from bench.statistics.nested import MARGIN, NO_VARIANCE, Tunings, tuning_spreads
from bench.statistics.p_values import holm, welch_t_p
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.status import Status

NOT_PAIRED = "each study tuned its optimizers independently"
"""Sentence that explains why trials of two studies with equal confirm seeds are not paired: they train different
settings."""

COLUMNS = (
    "name",
    "n_a",
    "n_b",
    "tunings_a",
    "tunings_b",
    "collapsed_a",
    "collapsed_b",
    "score_a",
    "score_b",
    "ap_a",
    "ap_a_low",
    "ap_a_high",
    "ap_b",
    "ap_b_low",
    "ap_b_high",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "better",
    "images_per_s_a",
    "images_per_s_b",
    "speed_ratio",
    "speed_low",
    "speed_high",
    "speed_p_adjusted",
    "faster",
    "settings_a",
    "settings_b",
)


@dataclass(frozen=True)
class _Side:
    """One of the two studies."""

    records: pd.DataFrame
    scores: TunedScores
    compared: dict[str, int]
    """Index in ``spreads`` of each optimizer with a complete tuning."""
    spreads: Tunings | None

    @staticmethod
    def of(records: pd.DataFrame, floor: float, ends: tuple[float, float]) -> "_Side":
        records = study_records(records)
        scores = tuned_scores(records, floor=floor, ends=ends)
        with_tuning = np.flatnonzero(scores.complete.any(axis=1))
        common = common_tunings(scores, list(with_tuning)) if len(with_tuning) else with_tuning
        if not len(common):
            return _Side(records, scores, {}, None)
        spreads = tuning_spreads(scores.scores[with_tuning][:, common][None], floor=floor)
        return _Side(records, scores, {scores.names[row]: index for index, row in enumerate(with_tuning)}, spreads)

    def mean_and_error(self, name: str) -> tuple[float, float, float, bool]:
        """Return mean, squared standard error, degrees of freedom, and whether it is steady; NaN where unknown."""
        if self.spreads is None or name not in self.compared:
            return np.nan, np.nan, np.nan, False
        index, spreads = self.compared[name], self.spreads
        error = spreads.total_variances[0, index] / spreads.tunings
        return (
            float(spreads.means[0, index]),
            float(error),
            float(spreads.total_freedoms[0, index]),
            bool(spreads.steady[0, index]),
        )

    def columns(self, name: str, letter: str) -> dict[str, object]:
        """Return the table columns of one optimizer in this study."""
        row = self.scores.names.index(name)
        mean, low, high = learned_mean_intervals(self.scores, self.scores.scores)[row]
        shown = shown_finalist(finalists_of(self.records, self.scores)[name])
        columns = {
            "n": int(np.isfinite(self.scores.scores[row]).sum()),
            "tunings": int(self.scores.complete[row].sum()),
            "collapsed": int(self.scores.collapsed[row].sum()),
            "ap": mean,
            "settings": shown.document()["settings"] if shown else None,
        }
        return {f"{key}_{letter}": value for key, value in columns.items()} | {
            f"ap_{letter}_low": low,
            f"ap_{letter}_high": high,
        }


def compare_studies(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    alpha: float = ALPHA,
    floor: float = 0.02,
    scale: float = 1.0,
    ends: tuple[float, float] = AP_ENDS,
) -> pd.DataFrame:
    """Compare each optimizer that has confirm trials in both studies as a procedure, B against A.

    AP: Welch's t test and interval on the tunings' means, never paired. Within each study an optimizer's variance is
    the larger of its own and the one pooled over the study's steady optimizers, including the effect that a seed has on
    all (see `nested.tuning_spreads`); a difference counts as far as it exceeds `MARGIN` of the score's range. Speed:
    images per second of the complete confirm trials on a logarithmic scale, by Welch's t test and interval, each spread
    at least the one pooled over all optimizers. Holm's correction runs over the optimizers, for AP and for speed apart.

    Args:
        a: Records of the first study, one row a trial.
        b: Records of the second.
        alpha: Level of a claim, after Holm's correction.
        floor: Score under which a run has learned nothing.
        scale: Range of the score: 1 for AP.
        ends: Lowest and highest possible score.

    Returns:
        One row for each optimizer of both, by mean score in B, best first: ``n_a``, ``n_b`` (confirm trials), tunings
        and those that collapsed, ``score_a`` and ``score_b`` (means over the tunings compared), mean APs as in a
        ranking with intervals, ``difference`` (of the scores, B - A) with its 95 % interval ``low`` and ``high`` (NaN
        where a tuning of either collapsed), ``p`` and ``p_adjusted``; ``better``: ``a`` or ``b`` where the adjusted p
            is at most ``alpha``, otherwise empty; median images per second, ``speed_ratio`` (B / A, of geometric means)
            with its
        interval and adjusted p, ``faster`` like ``better``; ``settings_a`` and ``settings_b`` (hyperparameters of the
        finalist shown). NaN where nothing is known.
    """
    sides = _Side.of(a, floor, ends), _Side.of(b, floor, ends)
    names = [name for name in sides[0].scores.names if name in sides[1].scores.names]
    speeds = [_log_speeds(side.records, names) for side in sides]
    pooled_sd = _pooled_sd([*speeds[0].values(), *speeds[1].values()])
    rows: list[dict[str, object]] = []
    for name in names:
        log_a, log_b = speeds[0][name], speeds[1][name]
        change = unpaired_interval(log_b, log_a)
        rows.append(
            {
                "name": name,
                **sides[0].columns(name, "a"),
                **sides[1].columns(name, "b"),
                "score_a": sides[0].mean_and_error(name)[0],
                "score_b": sides[1].mean_and_error(name)[0],
                **_test(sides[0].mean_and_error(name), sides[1].mean_and_error(name), scale * MARGIN),
                "images_per_s_a": _median(log_a),
                "images_per_s_b": _median(log_b),
                "speed_ratio": _ratio(change.estimate),
                "speed_low": _ratio(change.low),
                "speed_high": _ratio(change.high),
                "speed_p": welch_t_p(log_b, log_a, least_sd=pooled_sd),
            }
        )
    table = pd.DataFrame(rows, columns=[*COLUMNS, "speed_p"])
    table["p_adjusted"] = holm(table["p"].to_numpy(float))
    table["speed_p_adjusted"] = holm(table["speed_p"].to_numpy(float))
    table["better"] = _claims(table["p_adjusted"], table["difference"], alpha)
    table["faster"] = _claims(table["speed_p_adjusted"], table["speed_ratio"] - 1, alpha)
    ordered = table.sort_values(["score_b", "name"], ascending=[False, True], ignore_index=True)
    return ordered[list(COLUMNS)]


def _test(a: tuple[float, float, float, bool], b: tuple[float, float, float, bool], margin: float) -> dict[str, float]:
    """Return the difference of two procedures (mean, squared error, freedoms, steady) with its interval and p."""
    (mean_a, error_a, freedom_a, steady_a), (mean_b, error_b, freedom_b, steady_b) = a, b
    difference, squared_error = mean_b - mean_a, error_a + error_b
    result = dict.fromkeys(("low", "high", "p"), np.nan) | {"difference": difference}
    if not squared_error > NO_VARIANCE:  # one tuning, or none that varies
        return result | {"p": 1.0 if squared_error == squared_error and abs(difference) <= margin else np.nan}
    freedom = squared_error**2 / sum(
        error**2 / own_freedom for error, own_freedom in ((error_a, freedom_a), (error_b, freedom_b)) if error
    )
    error = np.sqrt(squared_error)
    result["p"] = float(2 * special.stdtr(freedom, -max(abs(difference) - margin, 0.0) / error))
    if steady_a and steady_b:
        half_width = float(special.stdtrit(freedom, 0.975)) * error
        result |= {"low": difference - half_width, "high": difference + half_width}
    return result


def _pooled_sd(samples: list[np.ndarray]) -> float:
    """Return the standard deviation pooled over samples; 0 where none has two values."""
    usable = [values for values in samples if len(values) > 1]
    if not usable:
        return 0.0
    freedoms = [len(values) - 1 for values in usable]
    return float(np.sqrt(np.average([values.var(ddof=1) for values in usable], weights=freedoms)))


def _log_speeds(records: pd.DataFrame, names: list[str]) -> dict[str, np.ndarray]:
    """Return the logarithms of the images per second of each optimizer's complete confirm trials."""
    timed = records[(records["phase"] == CONFIRM) & (records["status"] == Status.COMPLETE)]
    speeds = pd.to_numeric(timed["images_per_s"], errors="coerce").astype(float)
    # Sorted, so that the order of the rows cannot change the rounding of a sum.
    return {name: np.sort(np.log(speeds[(timed["optimizer"] == name) & (speeds > 0)].to_numpy())) for name in names}


def _median(logarithms: np.ndarray) -> float:
    return float(np.exp(np.median(logarithms))) if len(logarithms) else float("nan")


def _ratio(logarithm: float | None) -> float:
    return float("nan") if logarithm is None else float(np.exp(logarithm))


def _claims(adjusted: pd.Series, change: pd.Series, alpha: float) -> list[str]:
    """Return the study that is ahead where the adjusted p allows a claim (NaN never does)."""
    return [("b" if value > 0 else "a") if p <= alpha else "" for p, value in zip(adjusted, change, strict=True)]
