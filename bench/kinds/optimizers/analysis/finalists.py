"""Finalists: the settings that each tuning (one independent search) ended with, and which of them the report shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.tunings import TunedScores
from bench.trials.columns import numbers, study_records
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.score_scale import WORST_SCORE
from bench.trials.scores import score
from bench.trials.status import Status


@dataclass(frozen=True)
class Finalist:
    """The settings that one tuning of an optimizer ended with, and the scores of its confirm trials.

    Attributes:
        tuning: Number of the tuning, from 0.
        settings: Hyperparameters as JSON, sorted by name.
        at_border: Hyperparameters at the border of their range.
        complete: Whether all its confirm trials are recorded.
        collapsed: Whether it is complete and one of its runs learned nothing.
        tune_score: Best score of the tuning's tune trials, on the select split; None: unknown.
        scores: Scores of its recorded confirm trials on the report split, by seed.
        ap_select: Mean AP of its recorded confirm trials on the select split, where a trial that did not complete
            counts as 0; None where a complete trial has not measured it.
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
        """Return the finalist as plain values, with the settings as an object."""
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


def finalists_of(records: pd.DataFrame, tuned: TunedScores) -> dict[str, tuple[Finalist, ...]]:
    """Return the finalists of each optimizer with a confirm record, by tuning.

    Args:
        records: One row a trial, all phases.
        tuned: From `tuned_scores` of the same records.
    """
    records = study_records(records)
    scores, selected = score(records), numbers(records["ap_select"])
    tune = records["phase"] == TUNE
    best = scores[tune].groupby([records["optimizer"][tune].astype(str), records["tuning"][tune]]).max().to_dict()
    confirm = records[records["phase"] == CONFIRM]
    finalists: dict[str, list[Finalist]] = {}
    for _, rows in confirm.sort_values("seed").groupby(["optimizer", "tuning"]):
        name, tuning = str(rows["optimizer"].iloc[0]), int(rows["tuning"].iloc[0])
        index = tuned.names.index(name)
        complete = (rows["status"] == Status.COMPLETE).to_numpy(bool)
        on_select = np.where(complete, selected[rows.index], WORST_SCORE)
        finalists.setdefault(name, []).append(
            Finalist(
                tuning=tuning,
                settings=sorted_json(min(rows["hyperparameters"])),
                at_border=_names_in(rows["at_border"]),
                complete=bool(tuned.complete[index, tuning]),
                collapsed=bool(tuned.collapsed[index, tuning]),
                tune_score=best.get((name, tuning)),
                scores=tuple(float(value) for value in scores[rows.index]),
                ap_select=float(on_select.mean()) if np.isfinite(on_select).all() else None,
            )
        )
    return {name: tuple(rows) for name, rows in finalists.items()}


def shown_finalist(finalists: Sequence[Finalist]) -> Finalist | None:
    """Return the finalist whose settings the report shows; None without finalists.

    It is the one whose confirm trials scored best on the select split or, if one of these has not measured that, the
    one whose tuning had the best tune trial. The report split never decides, so that its scores are an unbiased measure
    of the choice. Complete tunings come before others, ties by number.
    """
    candidates = [each for each in finalists if each.complete] or list(finalists)
    if not candidates:
        return None
    by_select_split = all(each.ap_select is not None for each in candidates)

    def merit(each: Finalist) -> tuple[float, int]:
        value = each.ap_select if by_select_split else each.tune_score
        return (-np.inf if value is None else value), -each.tuning

    return max(candidates, key=merit)


def sorted_json(text: str) -> str:
    """Return hyperparameters (JSON) with their names sorted."""
    return json.dumps(json.loads(text), sort_keys=True)


def _names_in(texts: pd.Series) -> tuple[str, ...]:
    names = {name.strip() for text in texts if isinstance(text, str) for name in text.split(",")}
    return tuple(sorted(names - {""}))
