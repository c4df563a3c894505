"""Two studies side by side: for which optimizers do AP and speed differ by more than noise?"""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.comparisons import MIN_TRUSTED_SPREAD_N, cautious_spread, spread, usual_spread
from bench.kinds.optimizers.analysis.selection import best_settings
from bench.statistics.intervals import DIFFERENCE_DECIMALS, Interval, mean_interval, paired_interval, unpaired_interval
from bench.statistics.p_values import ALPHA, holm, paired_t_p, welch_t_p
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.scores import score_table
from bench.trials.status import Status

SAME_TO_PAIR = ("network", "size", "data_digest")
"""Columns of the records that must agree before a seed stands for the same weights and the same images in both."""

COLUMNS = (
    "name",
    "n_a",
    "n_b",
    "ap_a",
    "ap_a_low",
    "ap_a_high",
    "ap_b",
    "ap_b_low",
    "ap_b_high",
    "n",
    "difference",
    "low",
    "high",
    "sd_difference",
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
TESTED = ("n", "difference", "low", "high", "sd_difference", "p")
"""Columns of a test of one optimizer."""


def why_not_paired(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Why the seeds of two studies are no pairs, in a few words; an empty text where they are.

    A seed means the same initial weights and the same order of the same images if network, input size and annotations
    are the same. Other things (schedule, machine, versions, batch size) may differ: their effect is the question.
    """
    for column in SAME_TO_PAIR:
        values = [set(records.get(column, pd.Series(dtype=object)).dropna().astype(str)) for records in (a, b)]
        what = column.replace("data_digest", "data set")
        if not all(values):
            return f"the {what} is not known of both"
        if len(values[0] | values[1]) != 1:
            return f"the {what} is not the same"
    if len(set(score_table(a).index) & set(score_table(b).index)) < 2:
        return "they share fewer than two seeds"
    return ""


def compare_studies(
    a: pd.DataFrame, b: pd.DataFrame, *, alpha: float = ALPHA, level: float = 0.95, resamples: int = 4999, seed: int = 0
) -> pd.DataFrame:
    """Compare each optimizer that has confirm trials in both studies, B against A.

    AP: paired by seed where `why_not_paired` finds no reason against it (paired t, studentized bootstrap), else
    Welch's t test and interval. Speed: images per second of the complete confirm trials on a logarithmic scale, by
    Welch's t test and interval, never paired. Holm's correction runs over the optimizers, for AP and for speed apart.
    As within a study, a spread that is small beside those of the other optimizers is doubted (paired:
    `cautious_spread` of `comparisons`; not paired: below `MIN_TRUSTED_SPREAD_N` trials only).

    Args:
        a: Records of the first study, one row a trial.
        b: Records of the second.
        alpha: Level of a claim, after Holm's correction.
        level: Coverage of the intervals (each by itself).
        resamples: Of the intervals' bootstrap.
        seed: Of the intervals' bootstrap.

    Returns:
        One row for each optimizer of both, by mean AP in B, best first: ``n_a``, ``n_b`` (confirm trials), mean APs
        with intervals, ``n`` (seeds paired; NaN where not paired), ``difference`` (B - A) with ``low`` and ``high``,
        ``sd_difference`` (paired only), ``p`` and ``p_adjusted``; ``better``: ``a`` or ``b`` where the adjusted p is at
        most ``alpha``, else an empty text; median images per second, ``speed_ratio`` (B / A, of geometric means) with
        its interval and adjusted p, ``faster`` like ``better``; ``settings_a`` and ``settings_b`` (hyperparameters).
        NaN where nothing is known.
    """
    a, b = study_records(a), study_records(b)
    paired = not why_not_paired(a, b)
    scores_a, scores_b = score_table(a), score_table(b)
    names = [name for name in scores_a.columns if name in scores_b.columns]
    ap = _paired(scores_a, scores_b, names, level, resamples, seed) if paired else _unpaired(scores_a, scores_b, names)
    speeds_a, speeds_b = _log_speeds(a, names), _log_speeds(b, names)
    speed = _welch(speeds_a, speeds_b)
    settings = [best_settings(records) for records in (a, b)]
    rows: list[dict[str, object]] = []
    for place, name in enumerate(names):
        own_a, own_b = scores_a[name].dropna().to_numpy(), scores_b[name].dropna().to_numpy()
        interval_a, interval_b = (
            mean_interval(own, level=level, resamples=resamples, seed=seed) for own in (own_a, own_b)
        )
        found, change = ap.iloc[place], speed.iloc[place]
        rows.append(
            {
                "name": name,
                "n_a": len(own_a),
                "n_b": len(own_b),
                **_ends("ap_a", interval_a.of_ap()),
                **_ends("ap_b", interval_b.of_ap()),
                **{each: found[each] for each in TESTED},
                "images_per_s_a": _median(speeds_a[name]),
                "images_per_s_b": _median(speeds_b[name]),
                "speed_ratio": np.exp(change["difference"]),
                "speed_low": np.exp(change["low"]),
                "speed_high": np.exp(change["high"]),
                "speed_p": change["p"],
                "settings_a": settings[0].get(name),
                "settings_b": settings[1].get(name),
            }
        )
    table = pd.DataFrame(rows, columns=[*COLUMNS, "speed_p"])
    table["p_adjusted"] = holm(table["p"].to_numpy(float))
    table["speed_p_adjusted"] = holm(table["speed_p"].to_numpy(float))
    table["better"] = _claims(table["p_adjusted"], table["difference"], alpha)
    table["faster"] = _claims(table["speed_p_adjusted"], table["speed_ratio"] - 1, alpha)
    ordered = table.sort_values(["ap_b", "name"], ascending=[False, True], ignore_index=True)
    return ordered[list(COLUMNS)]


def _paired(
    scores_a: pd.DataFrame, scores_b: pd.DataFrame, names: list[str], level: float, resamples: int, seed: int
) -> pd.DataFrame:
    differences = [
        np.round((scores_b[name] - scores_a[name]).dropna().to_numpy(), DIFFERENCE_DECIMALS) for name in names
    ]
    usual = usual_spread(differences)
    rows: list[tuple[float | None, ...]] = []
    for values in differences:
        found = paired_interval(values, level=level, resamples=resamples, seed=seed)
        p = paired_t_p(values, least_sd=float(cautious_spread(values, usual)))
        rows.append((len(values), found.estimate, found.low, found.high, float(spread(values)), p))
    return _frame(rows)


def _unpaired(scores_a: pd.DataFrame, scores_b: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    return _welch(*({name: scores[name].dropna().to_numpy() for name in names} for scores in (scores_a, scores_b)))


def _welch(samples_a: dict[str, np.ndarray], samples_b: dict[str, np.ndarray]) -> pd.DataFrame:
    usual = usual_spread([*samples_a.values(), *samples_b.values()])
    rows: list[tuple[float | None, ...]] = []
    for name, own_a in samples_a.items():
        own_b = samples_b[name]
        found = unpaired_interval(own_b, own_a)
        few = min(len(own_a), len(own_b)) < MIN_TRUSTED_SPREAD_N
        p = welch_t_p(own_b, own_a, least_sd=float(usual) if few else 0.0)
        rows.append((np.nan, found.estimate, found.low, found.high, np.nan, p))
    return _frame(rows)


def _frame(rows: list[tuple[float | None, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(TESTED), dtype=float)


def _log_speeds(records: pd.DataFrame, names: list[str]) -> dict[str, np.ndarray]:
    """Logarithms of the images per second of each optimizer's complete confirm trials."""
    timed = records[(records["phase"] == CONFIRM) & (records["status"] == Status.COMPLETE)]
    speeds = pd.to_numeric(timed["images_per_s"], errors="coerce").astype(float)
    return {name: np.log(speeds[(timed["optimizer"] == name) & (speeds > 0)].to_numpy()) for name in names}


def _median(logarithms: np.ndarray) -> float:
    return float(np.exp(np.median(logarithms))) if len(logarithms) else float("nan")


def _ends(prefix: str, interval: Interval) -> dict[str, float | None]:
    return {prefix: interval.estimate, f"{prefix}_low": interval.low, f"{prefix}_high": interval.high}


def _claims(adjusted: pd.Series, change: pd.Series, alpha: float) -> list[str]:
    """Which study is ahead where the adjusted p allows the claim (NaN never does)."""
    return [("b" if value > 0 else "a") if p <= alpha else "" for p, value in zip(adjusted, change, strict=True)]
