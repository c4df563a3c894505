"""Column names and values of written tables and JSON, where an analysis has gains or skills in its AP columns.

- A study by AP has its APs there; JSON has them under neutral names as well (`score_low` beside `ap_low`).
- Judged by validation loss, skills get names of their own, and the AP columns hold the measured APs.
- The score of somebody's own workload has the neutral names, and the AP columns are empty.

Neutral names are those of the AP columns with `score` for `ap`. The mean over the tunings that learned, which for AP is
`ap_mean`, is `score_learned_mean` (and so `ap_median`, `ap_low`, `ap_high`): `score_mean` is the mean over all tunings.
"""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis.losses import MEASURED_AP_MEAN
from bench.kinds.optimizers.measure import Measure
from bench.trials.scores import MEASURED_AP

MEASURED = {"ap_mean": MEASURED_AP_MEAN, "ap": MEASURED_AP}
"""AP columns that such a study has, and the analysis column of the measured AP for each."""
NEVER_A_SKILL = ("target_ap", "ap_best", "best_checkpoint_ap_mean")
"""AP columns that never hold a skill: there is no target, and the best checkpoint is that of the highest AP."""
OF_LEARNED = re.compile(r"(of_)?ap_(mean|median|low|high|a|b|a_low|a_high|b_low|b_high)")
"""AP columns over the tunings that did not collapse, see `OF_LEARNED_NAME`."""
OVER_ALL = ("score_mean", "score_a", "score_b")
"""Columns over all tunings, which have neutral names already."""
DIFFERENCES = ("difference", "mean_difference")


def with_file_names(frame: pd.DataFrame, measure: Measure, *, neutral: bool = False) -> pd.DataFrame:
    """Return a table of the analysis with the column names and values of files.

    Args:
        frame: The table.
        measure: The study's measure.
        neutral: Whether a study by AP or skill has the scores under neutral names too, as in JSON.
    """
    if measure.is_loss:
        renamed = _with_skills(frame)
    elif measure.is_ap:
        renamed = frame
    else:
        renamed = _with_own_scores(frame, measure)
    if not neutral or measure.is_own:
        return renamed
    return pd.concat([renamed, frame[_score_columns(frame)].rename(columns=_neutral_name)], axis=1)


def finalist_with_file_names(finalist: Mapping[str, Any], measure: Measure, *, neutral: bool = False) -> dict[str, Any]:
    """Return a finalist's document likewise; ``tune_score`` and ``scores`` are in the study's own measure."""
    select = finalist["ap_select"]
    if measure.is_loss:
        renamed = {**finalist, "ap_select": None, "skill_select": select}
    elif measure.is_ap:
        renamed = dict(finalist)
    else:
        select = None if select is None else measure.shown(select)
        best = finalist["tune_score"]
        renamed = {
            **finalist,
            "tune_score": None if best is None else measure.shown(best),
            "scores": [measure.shown(score) for score in finalist["scores"]],
            "ap_select": None,
        }
    return {**renamed, "score_select": select} if neutral or measure.is_own else renamed


def _with_skills(frame: pd.DataFrame) -> pd.DataFrame:
    ap_columns = [name for name in _score_columns(frame) if name not in NEVER_A_SKILL]
    skills = frame[ap_columns].rename(columns={name: _skill_name(str(name)) for name in ap_columns})
    aps = {name: frame[MEASURED[name]] if MEASURED.get(name) in frame else float("nan") for name in ap_columns}
    moved = [name for name in MEASURED.values() if name in frame]
    return pd.concat([frame.assign(**aps).drop(columns=moved), skills], axis=1)


def _with_own_scores(frame: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the table with gains as scores; of a score that is minimized, the lower end of a gain is the upper one."""
    columns = _score_columns(frame)
    scores: pd.DataFrame = frame[columns].astype(float).apply(measure.shown).rename(columns=_neutral_name)
    over_all = {name: measure.shown(frame[name].astype(float)) for name in OVER_ALL if name in frame}
    differences: dict[str, pd.Series] = {}
    for name in DIFFERENCES:
        if name in frame:
            _, low, high = measure.turned_ends(*(frame[each].astype(float) for each in (name, "low", "high")))
            differences |= {name: measure.turned(frame[name].astype(float)), "low": low, "high": high}
    if measure.own.sign < 0:
        scores = scores.rename(columns=_other_end)[scores.columns]
    emptied = frame.assign(**over_all, **differences, **dict.fromkeys(columns, float("nan")))
    return pd.concat([emptied, scores], axis=1)


def _score_columns(frame: pd.DataFrame) -> list[str]:
    """Return the AP columns of a table, which hold the study's measure."""
    return [str(name) for name in frame.columns if "ap" in str(name).split("_") and name not in MEASURED.values()]


def _skill_name(name: str) -> str:
    return "_".join("skill" if part == "ap" else part for part in name.split("_"))


def _neutral_name(name: str) -> str:
    score = "score_learned" if OF_LEARNED.fullmatch(name) else "score"
    return "_".join(score if part == "ap" else part for part in name.split("_"))


def _other_end(name: str) -> str:
    beginning, _, end = name.rpartition("_")
    return f"{beginning}_{ {'low': 'high', 'high': 'low'}[end] }" if end in ("low", "high") else name
