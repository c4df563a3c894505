"""The settings that each tuning ended with, and which of them to paste."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.tunings import TunedScores
from bench.trials.columns import numbers, study_records
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.scores import WORST_SCORE, score
from bench.trials.status import Status


@dataclass(frozen=True)
class Finalist:
    """What one tuning of an optimizer ended with, and how its confirm trials went.

    Attributes:
        tuning: Number of the tuning.
        settings: JSON of its hyperparameters, sorted.
        at_border: Hyperparameters at the border of their range.
        complete: Whether all its confirm trials are recorded.
        collapsed: Whether a run of a complete one learned nothing.
        tune_score: Best score of a tune trial of its tuning, on the select split; None: not known.
        scores: Of its recorded confirm trials by seed, on the report split.
        ap_select: Mean AP of its recorded confirm trials on the select split, one that did not complete as 0; None
            where a complete one has not measured it.
    """

    tuning: int
    settings: str
    at_border: tuple[str, ...]
    complete: bool
    collapsed: bool
    tune_score: float | None
    scores: tuple[float, ...]
    ap_select: float | None

    def document(self) -> dict[str, Any]:
        """Plain values, its settings as an object."""
        return {
            "tuning": self.tuning,
            "settings": json.loads(self.settings),
            "at_border": list(self.at_border),
            "complete": self.complete,
            "collapsed": self.collapsed,
            "tune_score": self.tune_score,
            "scores": list(self.scores),
            "ap_select": self.ap_select,
        }


def finalists_of(records: pd.DataFrame, found: TunedScores) -> dict[str, tuple[Finalist, ...]]:
    """The finalists of each optimizer with a confirm record, by tuning.

    Args:
        records: One row a trial, all phases.
        found: From `tuned_scores` of the same records.
    """
    records = study_records(records)
    scores, selected = score(records), numbers(records["ap_select"])
    tune = records["phase"] == TUNE
    best = scores[tune].groupby([records["optimizer"][tune].astype(str), records["tuning"][tune]]).max().to_dict()
    confirm = records[records["phase"] == CONFIRM]
    finalists: dict[str, list[Finalist]] = {}
    for _, own in confirm.sort_values("seed").groupby(["optimizer", "tuning"]):
        name, tuning = str(own["optimizer"].iloc[0]), int(own["tuning"].iloc[0])
        place = found.names.index(name)
        complete = (own["status"] == Status.COMPLETE).to_numpy(bool)
        on_select = np.where(complete, selected[own.index], WORST_SCORE)
        finalists.setdefault(name, []).append(
            Finalist(
                tuning=tuning,
                settings=sorted_json(min(own["hyperparameters"])),
                at_border=_borders(own["at_border"]),
                complete=bool(found.complete[place, tuning]),
                collapsed=bool(found.collapsed[place, tuning]),
                tune_score=best.get((name, tuning)),
                scores=tuple(float(value) for value in scores[own.index]),
                ap_select=float(on_select.mean()) if np.isfinite(on_select).all() else None,
            )
        )
    return {name: tuple(own) for name, own in finalists.items()}


def pasted(finalists: Sequence[Finalist]) -> Finalist | None:
    """The finalist whose settings are shown to be pasted: the one whose confirm trials scored best on the select split.

    Where one of them has not measured that, the one whose tuning saw the best tune trial. The report split never
    decides: its scores are what is reported of the choice. Complete tunings come before others, ties by number.
    """
    known = [each for each in finalists if each.complete] or list(finalists)
    if not known:
        return None
    on_select = all(each.ap_select is not None for each in known)

    def merit(each: Finalist) -> tuple[float, int]:
        value = each.ap_select if on_select else each.tune_score
        return (-np.inf if value is None else value), -each.tuning

    return max(known, key=merit)


def sorted_json(text: str) -> str:
    """Hyperparameters (JSON) with their names in order."""
    return json.dumps(json.loads(text), sort_keys=True)


def _borders(texts: pd.Series) -> tuple[str, ...]:
    named = {name.strip() for text in texts if isinstance(text, str) for name in text.split(",")}
    return tuple(sorted(named - {""}))
