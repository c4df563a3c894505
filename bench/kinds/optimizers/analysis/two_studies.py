"""Two studies side by side: for which optimizers do AP and speed differ by more than the luck of tuning and noise?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from bench.kinds.optimizers.analysis.finalists import finalists_of, pasted
from bench.kinds.optimizers.analysis.tunings import TunedScores, common_tunings, learned_mean_intervals, tuned_scores
from bench.statistics.intervals import unpaired_interval
from bench.statistics.nested import MARGIN, NO_VARIANCE, Tunings, tuning_spreads
from bench.statistics.p_values import ALPHA, holm, welch_t_p
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.status import Status

NOT_PAIRED = "each study tuned its optimizers by itself"
"""Why confirm seeds are no pairs, though they are the same: the settings that they train are not."""

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
    """Place in ``spreads`` of each optimizer with a complete tuning."""
    spreads: Tunings | None

    @staticmethod
    def of(records: pd.DataFrame, floor: float) -> "_Side":
        records = study_records(records)
        scores = tuned_scores(records, floor=floor)
        entered = np.flatnonzero(scores.complete.any(axis=1))
        common = common_tunings(scores, list(entered)) if len(entered) else entered
        if not len(common):
            return _Side(records, scores, {}, None)
        spreads = tuning_spreads(scores.scores[entered][:, common][None], floor=floor)
        return _Side(records, scores, {scores.names[place]: at for at, place in enumerate(entered)}, spreads)

    def tuned(self, name: str) -> tuple[float, float, float, bool]:
        """Mean, squared standard error, degrees of freedom, and whether it is steady; NaN where not known."""
        if self.spreads is None or name not in self.compared:
            return np.nan, np.nan, np.nan, False
        at, found = self.compared[name], self.spreads
        error = found.total_variances[0, at] / found.tunings
        return float(found.means[0, at]), float(error), float(found.total_freedoms[0, at]), bool(found.steady[0, at])

    def described(self, name: str, letter: str) -> dict[str, object]:
        """Columns of one optimizer in this study."""
        place = self.scores.names.index(name)
        mean, low, high = learned_mean_intervals(self.scores, self.scores.scores)[place]
        own = pasted(finalists_of(self.records, self.scores)[name])
        found = {
            "n": int(np.isfinite(self.scores.scores[place]).sum()),
            "tunings": int(self.scores.complete[place].sum()),
            "collapsed": int(self.scores.collapsed[place].sum()),
            "ap": mean,
            "settings": own.document()["settings"] if own else None,
        }
        return {f"{key}_{letter}": value for key, value in found.items()} | {
            f"ap_{letter}_low": low,
            f"ap_{letter}_high": high,
        }


def compare_studies(a: pd.DataFrame, b: pd.DataFrame, *, alpha: float = ALPHA, floor: float = 0.02) -> pd.DataFrame:
    """Compare each optimizer that has confirm trials in both studies as a procedure, B against A.

    AP: Welch's t test and interval on the tunings' means, never paired. Within each study an optimizer's variance is
    the larger of its own and the one pooled over its steady optimizers, with what the seeds do to all (as
    `nested.tuning_spreads` says); a difference counts as far as it exceeds `MARGIN`. Speed: images per second of the
    complete confirm trials on a logarithmic scale, by Welch's t test and interval, each spread at least the one pooled
    over all optimizers. Holm's correction runs over the optimizers, for AP and for speed apart.

    Args:
        a: Records of the first study, one row a trial.
        b: Records of the second.
        alpha: Level of a claim, after Holm's correction.
        floor: Score under which a run has learned nothing.

    Returns:
        One row for each optimizer of both, by mean score in B, best first: ``n_a``, ``n_b`` (confirm trials), tunings
        and those that collapsed, ``score_a`` and ``score_b`` (means over the tunings compared), mean APs as in a
        ranking with intervals, ``difference`` (of the scores, B - A) with its 95 % interval ``low`` and ``high`` (NaN
        where a tuning of either collapsed), ``p`` and ``p_adjusted``; ``better``: ``a`` or ``b`` where the adjusted p
        is at most ``alpha``, else an empty text; median images per second, ``speed_ratio`` (B / A, of geometric means)
        with its interval and adjusted p, ``faster`` like ``better``; ``settings_a`` and ``settings_b`` (hyperparameters
        of the finalist shown). NaN where nothing is known.
    """
    sides = _Side.of(a, floor), _Side.of(b, floor)
    names = [name for name in sides[0].scores.names if name in sides[1].scores.names]
    speeds = [_log_speeds(side.records, names) for side in sides]
    usual = _pooled_sd([*speeds[0].values(), *speeds[1].values()])
    rows: list[dict[str, object]] = []
    for name in names:
        log_a, log_b = speeds[0][name], speeds[1][name]
        change = unpaired_interval(log_b, log_a)
        rows.append(
            {
                "name": name,
                **sides[0].described(name, "a"),
                **sides[1].described(name, "b"),
                "score_a": sides[0].tuned(name)[0],
                "score_b": sides[1].tuned(name)[0],
                **_test(sides[0].tuned(name), sides[1].tuned(name)),
                "images_per_s_a": _median(log_a),
                "images_per_s_b": _median(log_b),
                "speed_ratio": _ratio(change.estimate),
                "speed_low": _ratio(change.low),
                "speed_high": _ratio(change.high),
                "speed_p": welch_t_p(log_b, log_a, least_sd=usual),
            }
        )
    table = pd.DataFrame(rows, columns=[*COLUMNS, "speed_p"])
    table["p_adjusted"] = holm(table["p"].to_numpy(float))
    table["speed_p_adjusted"] = holm(table["speed_p"].to_numpy(float))
    table["better"] = _claims(table["p_adjusted"], table["difference"], alpha)
    table["faster"] = _claims(table["speed_p_adjusted"], table["speed_ratio"] - 1, alpha)
    ordered = table.sort_values(["score_b", "name"], ascending=[False, True], ignore_index=True)
    return ordered[list(COLUMNS)]


def _test(a: tuple[float, float, float, bool], b: tuple[float, float, float, bool]) -> dict[str, float]:
    """Difference of two procedures (mean, squared error, freedoms, steady) with its interval and p."""
    (mean_a, error_a, free_a, steady_a), (mean_b, error_b, free_b, steady_b) = a, b
    difference, squared = mean_b - mean_a, error_a + error_b
    found = dict.fromkeys(("low", "high", "p"), np.nan) | {"difference": difference}
    if not squared > NO_VARIANCE:  # one tuning, or none that varies
        return found | {"p": 1.0 if squared == squared and abs(difference) <= MARGIN else np.nan}
    freedom = squared**2 / sum(error**2 / free for error, free in ((error_a, free_a), (error_b, free_b)) if error)
    error = np.sqrt(squared)
    found["p"] = float(2 * special.stdtr(freedom, -max(abs(difference) - MARGIN, 0.0) / error))
    if steady_a and steady_b:
        reach = float(special.stdtrit(freedom, 0.975)) * error
        found |= {"low": difference - reach, "high": difference + reach}
    return found


def _pooled_sd(samples: list[np.ndarray]) -> float:
    """Standard deviation pooled over samples; 0 where none has two values."""
    usable = [values for values in samples if len(values) > 1]
    if not usable:
        return 0.0
    freedoms = [len(values) - 1 for values in usable]
    return float(np.sqrt(np.average([values.var(ddof=1) for values in usable], weights=freedoms)))


def _log_speeds(records: pd.DataFrame, names: list[str]) -> dict[str, np.ndarray]:
    """Logarithms of the images per second of each optimizer's complete confirm trials."""
    timed = records[(records["phase"] == CONFIRM) & (records["status"] == Status.COMPLETE)]
    speeds = pd.to_numeric(timed["images_per_s"], errors="coerce").astype(float)
    # Sorted: in what order rows stand may not change how a sum is rounded.
    return {name: np.sort(np.log(speeds[(timed["optimizer"] == name) & (speeds > 0)].to_numpy())) for name in names}


def _median(logarithms: np.ndarray) -> float:
    return float(np.exp(np.median(logarithms))) if len(logarithms) else float("nan")


def _ratio(logarithm: float | None) -> float:
    return float("nan") if logarithm is None else float(np.exp(logarithm))


def _claims(adjusted: pd.Series, change: pd.Series, alpha: float) -> list[str]:
    """Which study is ahead where the adjusted p allows the claim (NaN never does)."""
    return [("b" if value > 0 else "a") if p <= alpha else "" for p, value in zip(adjusted, change, strict=True)]
