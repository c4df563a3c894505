"""Compare each finalist with its control, the untuned limit that its optimizer turns into. Controls are not ranked."""

import json
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from bench.kinds.optimizers.analysis.finalists import sorted_json
from bench.kinds.optimizers.analysis.tunings import AP_ENDS
from bench.kinds.optimizers.measure import AP, Measure
from bench.report.wording import p_text
from bench.statistics.intervals import DIFFERENCE_DECIMALS, mean_interval, paired_interval
from bench.statistics.level import ALPHA
from bench.statistics.p_values import paired_t_p
from bench.trials.columns import with_record_columns
from bench.trials.scores import score_table
from bench.trials.status import Status

MIN_SEEDS = 5
"""Minimum number of pairs for a claim: the spread of fewer is often tiny by chance."""

COLUMNS = (
    "name",
    "control_of",
    "settings",
    "ap_mean",
    "ap_low",
    "ap_high",
    "of_ap_mean",
    "of_ap_low",
    "of_ap_high",
    "n",
    "unfinished",
    "difference",
    "low",
    "high",
    "t_p",
)


def control_comparisons(
    study: pd.DataFrame,
    controls: pd.DataFrame,
    *,
    resamples: int = 4999,
    seed: int = 0,
    ends: tuple[float, float] = AP_ENDS,
) -> pd.DataFrame:
    """Compare each optimizer with its own control, paired by seed.

    Args:
        study: Records of the study itself, from `columns.split_controls`.
        controls: Records of its controls; an optimizer has one at most.
        resamples: Number of resamples of the intervals' bootstrap.
        seed: Seed of the intervals' bootstrap.
        ends: Lowest and highest possible score.

    Returns:
        One row a control, sorted by name: name, control_of, settings (JSON, of most of its trials), ap_mean, ap_low and
        ap_high of the control and (``of_...``) of its optimizer over the ``n`` seeds that both have, unfinished (of
        these, control trials that count as AP 0), difference (optimizer - control) with its 95 % interval low and high,
        and t_p of the paired t test: not corrected, since the control is not among the compared pairs of optimizers.
            NaN where not known.
    """
    study, controls = with_record_columns(study), with_record_columns(controls)
    scores = score_table(study)
    rows = []
    for (controlled, name), control_records in controls.groupby(["control_of", "optimizer"]):
        own_scores = score_table(control_records.assign(control_of=""))[name]
        pairs = pd.DataFrame({"of": scores.get(controlled, pd.Series(dtype=float)), "control": own_scores}).dropna()
        shared = control_records[control_records["seed"].isin(pairs.index)]
        of_mean, control_mean = (
            mean_interval(pairs[side].to_numpy(float), resamples=resamples, seed=seed).clipped(*ends)
            for side in ("of", "control")
        )
        differences = (pairs["of"] - pairs["control"]).to_numpy(float)
        gap = paired_interval(differences, resamples=resamples, seed=seed)
        values = (
            *(name, controlled, _most_frequent(control_records["hyperparameters"].tolist())),
            *(control_mean.estimate, control_mean.low, control_mean.high),
            *(of_mean.estimate, of_mean.low, of_mean.high),
            *(len(pairs), int((shared["status"] != Status.COMPLETE).sum())),
            *(gap.estimate, gap.low, gap.high, paired_t_p(differences.round(DIFFERENCE_DECIMALS))),
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    counts = ("name", "control_of", "settings", "n", "unfinished")
    return frame.astype({column: float for column in COLUMNS if column not in counts})


def control_sentence(row: pd.Series, *, alpha: float = ALPHA, measure: Measure = AP) -> str:
    """Say whether an optimizer, as tuned, is better than its untuned limit; ``row``: from `control_comparisons`."""
    score_text = measure.scored_text(row["control_of"], row["of_ap_mean"], row["of_ap_low"], row["of_ap_high"])
    settings = json.loads(row["settings"])
    if row["n"] == 0:
        return f"{row['control_of']} and its own limit, {_sgd_text(settings)}, share no confirm seed yet."
    limit_text = measure.interval(row["ap_mean"], row["ap_low"], row["ap_high"])
    nan = float("nan")
    ends = (nan, nan) if row["n"] == 1 else (row["low"], row["high"])
    difference = measure.difference(row["difference"], *ends)
    text = f"{score_text} against its own limit, {_sgd_text(settings)}: {limit_text}; difference {difference}"
    if row["n"] == 1:
        return f"{text} (n = 1): no claim is possible."
    p = f"p {p_text(row['t_p'], alpha)}" if row["t_p"] == row["t_p"] else "t test undefined: the difference is constant"
    text += f" (n = {row['n']}, {p}, not corrected): "
    if row["n"] < MIN_SEEDS:
        return f"{text}too few seeds for a claim."
    if row["unfinished"]:
        return (
            f"{text}{row['unfinished']} of the untuned limit's {row['n']} trials diverged or failed and count as "
            f"{measure.name} {measure.failure_text}, so a gain over them says nothing about the bounds' schedule: no "
            "claim."
        )
    if not row["t_p"] <= alpha:
        return f"{text}as tuned here it has shown no gain over its untuned limit."
    if row["difference"] > 0:
        return f"{text}as tuned here it gains over its untuned limit."
    return f"{text}its untuned limit alone does better."


def _sgd_text(settings: dict[str, float]) -> str:
    """Describe the settings, as in `untuned SGD with momentum 0.9 at lr 0.01`."""
    momentum = f" with momentum {settings['momentum']:.3g}" if "momentum" in settings else ""
    rate = f" at lr {settings['lr']:.3g}" if "lr" in settings else ""
    return f"untuned SGD{momentum}{rate}"


def _most_frequent(texts: Sequence[str]) -> str:
    counts = Counter(map(sorted_json, texts))
    return max(sorted(counts), key=counts.__getitem__)
