"""Compute numbers in README and docs that no file holds, from this project's code or the files of reports."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from bench.statistics.counts import count_interval, fisher_p
from bench.statistics.looks import LOOK_MARGIN, LOOKS, detectable_gap
from bench.statistics.nested import MARGIN, tuning_spreads
from bench.trials.score_scale import AP_FLOOR
from posemodel.network import NETWORKS
from posemodel.network.cost import network_cost

OPTIMIZERS = 6
"""Of the shipped preset, of which the pages speak."""
TUNINGS = 3
NETWORK_SIZE = 368


@lru_cache
def figures(root: Path) -> dict[str, Any]:
    """All of them by name."""
    return {
        "gap_sds": {str(tunings): detectable_gap(tunings, OPTIMIZERS) for tunings in LOOKS},
        "levels": {str(tunings): level for tunings, level in LOOKS.items()},
        "margins": {"claim": MARGIN, "look": LOOK_MARGIN, "floor": AP_FLOOR},
        "collapses": _collapses(),
        "spread": _spread(root),
        "order": _order(root),
        "networks": {name: network_cost(name, NETWORK_SIZE) for name in NETWORKS},
    }


def _collapses() -> dict[str, float]:
    """What collapsed tunings of one optimizer say: exact interval of one in three, Fisher's p of two and three."""
    low, high = count_interval(1, TUNINGS)
    others, trials = [0] * (OPTIMIZERS - 1), [TUNINGS] * OPTIMIZERS
    return {
        "low": low,
        "high": high,
        "p_of_2": fisher_p([2, *others], trials),
        "p_of_3": fisher_p([3, *others], trials),
    }


def _spread(root: Path) -> dict[str, float]:
    """How far the tunings of reports/optimizers-cpu lie apart, pooled, and the gap that 80 % of such studies claim."""
    seeds = pd.read_csv(root / "reports" / "optimizers-cpu" / "seeds.csv")
    scores = seeds.pivot_table(index="optimizer", columns="tuning", values="ap_counted").to_numpy()
    pooled = float(tuning_spreads(scores[None, :, :, None], floor=AP_FLOOR).pooled_variance[0] ** 0.5)
    return {"sd": pooled, "gap": detectable_gap(scores.shape[1], len(scores)) * pooled + MARGIN}


def _order(root: Path) -> dict[str, float]:
    """Spearman's rank correlation of the optimizers' mean APs on photographs and on drawn people."""
    real, drawn = (
        pd.read_csv(root / "reports" / study / "summary.csv").set_index("name")["ap_mean"]
        for study in ("real-cpu", "optimizers-cpu")
    )
    correlation, p = spearmanr(real, drawn[real.index])
    return {"correlation": float(correlation), "p": float(p)}
