"""Column names of written tables where a study is judged by validation loss: skills get names of their own."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN
from bench.kinds.optimizers.analysis.measure import Measure
from bench.trials.scores import MEASURED_AP

MEASURED = {"ap_mean": MEASURED_AP_MEAN, "ap": MEASURED_AP}
"""AP columns that such a study has, and the analysis column of the measured AP for each."""
NEVER_A_SKILL = ("target_ap", "ap_best", "best_checkpoint_ap_mean")
"""AP columns that never hold a skill: there is no target, and the best checkpoint is that of the highest AP."""


def with_skill_names(frame: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return a table of the analysis with the column names of files.

    Judged by validation loss, the analysis has skills in its AP columns (`ap_mean`, `ap_low`, ...): these become skill
    columns (`skill_mean`, ...), and the AP columns hold the measured APs, empty where none was measured.
    """
    if not measure.is_loss:
        return frame
    ap_columns = [name for name in frame.columns if "ap" in str(name).split("_") and name not in NEVER_A_SKILL]
    ap_columns = [name for name in ap_columns if name not in MEASURED.values()]
    skills = frame[ap_columns].rename(columns={name: _skill_name(str(name)) for name in ap_columns})
    aps = {name: frame[MEASURED[name]] if MEASURED.get(name) in frame else float("nan") for name in ap_columns}
    moved = [name for name in MEASURED.values() if name in frame]
    return pd.concat([frame.assign(**aps).drop(columns=moved), skills], axis=1)


def finalist_with_skill_names(finalist: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    """Return a finalist's document likewise; ``tune_score`` and ``scores`` are in the study's own measure."""
    if not measure.is_loss:
        return dict(finalist)
    return {**finalist, "ap_select": None, "skill_select": finalist["ap_select"]}


def _skill_name(name: str) -> str:
    return "_".join("skill" if part == "ap" else part for part in name.split("_"))
