"""Names of what is written of a study that is judged by validation loss: a key of AP holds an AP, or nothing."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN
from bench.kinds.optimizers.analysis.measure import Measure
from bench.trials.scores import MEASURED_AP

MEASURED = {"ap_mean": MEASURED_AP_MEAN, "ap": MEASURED_AP}
"""Columns of AP that such a study knows, and where the analysis has them."""
NEVER_A_SKILL = ("target_ap", "ap_best", "best_checkpoint_ap_mean")
"""There is no target, and the best checkpoint is that of the highest AP."""


def named(frame: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """A table of the analysis as it is written: the same, but of a study that is judged by validation loss.

    Of that one the columns of AP (`ap_mean`, `ap_low`, ...), in which the analysis has skills, become columns of skill
    (`skill_mean`, ...) and stay with the APs that were measured beside; empty where none was.
    """
    if not measure.is_loss:
        return frame
    of_ap = [name for name in frame.columns if "ap" in str(name).split("_") and name not in NEVER_A_SKILL]
    of_ap = [name for name in of_ap if name not in MEASURED.values()]
    skills = frame[of_ap].rename(columns={name: _in_skill(str(name)) for name in of_ap})
    aps = {name: frame[MEASURED[name]] if MEASURED.get(name) in frame else float("nan") for name in of_ap}
    there = [name for name in MEASURED.values() if name in frame]
    return pd.concat([frame.assign(**aps).drop(columns=there), skills], axis=1)


def named_finalist(finalist: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    """A finalist's document likewise; ``tune_score`` and ``scores`` are of whatever the study is judged by."""
    if not measure.is_loss:
        return dict(finalist)
    return {**finalist, "ap_select": None, "skill_select": finalist["ap_select"]}


def _in_skill(name: str) -> str:
    return "_".join("skill" if part == "ap" else part for part in name.split("_"))
