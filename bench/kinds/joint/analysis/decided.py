"""Which parameters decided a joint search, beside what chance gives."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.words import link
from bench.report.findings import Bars, BarSeries, Chart, Part, Section
from bench.report.wording import counted, enumerate_items
from bench.trials.columns import rows_of

CHART, FILE = "importances.png", "importances.csv"
OBJECTIVES = {"ap": "AP", "images_per_s": "images/s"}
ALL = "all"
"""The scope of what all trials share."""


def importance_section(found: JointFound) -> Section:
    """Which parameters decided, beside what chance gives."""
    title = "What decided"
    frame = found.importances
    usable = frame[frame["importance"].notna()] if len(frame) else frame
    if not len(usable):
        why = sorted({str(each) for each in frame["why"]}) if len(frame) else []
        told = enumerate_items(why) if why else "no trial has completed"
        return Section(title, [f"It cannot be said: {told}."])
    panels = [
        Bars(
            "importance",
            list(dict.fromkeys(own["parameter"])),
            [_bars(own, objective) for objective in OBJECTIVES if (own["objective"] == objective).any()],
            title=_scope_title(found, scope, own),
            faint_label="pale: chance gives as much",
        )
        for scope, own in _scopes(usable)
    ]
    alt = "Importance of each parameter for AP and for images per second"
    parts: list[Part] = [Chart(CHART, alt, panels), *_decided(found, usable)]
    parts.append(
        "How differently a parameter's values are spread over the better trials (about half) and over all (PED-ANOVA, "
        "Optuna), as shares of 1 in each panel and objective. Pale: one of 100 shuffles of the results among the "
        "trials gives as much, so that it says nothing. Shared parameters over all complete trials, an optimizer's own "
        f"over its trials. Unrounded: {link(FILE)}.{_left_out(found)}"
    )
    return Section(title, parts)


def _scopes(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of the frame by scope, what all trials share first."""
    names = sorted(frame["scope"].unique(), key=lambda name: (name != ALL, name))
    return [(name, frame[frame["scope"] == name]) for name in names]


def _scope_title(found: JointFound, scope: str, own: pd.DataFrame) -> str:
    named = "all optimizers" if scope == ALL else found.names.get(scope, scope)
    return f"{named} ({counted(int(own['n'].max()), 'trial')})"


def _bars(own: pd.DataFrame, objective: str) -> BarSeries:
    rows = own[own["objective"] == objective].set_index("parameter")
    names = list(dict.fromkeys(own["parameter"]))
    values = [float(rows["importance"].get(name, np.nan)) for name in names]
    faint = [not (rows["importance"].get(name, np.nan) > rows["chance"].get(name, np.nan)) for name in names]
    return BarSeries(OBJECTIVES[objective], values, faint)


def _decided(found: JointFound, usable: pd.DataFrame) -> list[str]:
    """What is above chance, in a sentence for each objective."""
    told = []
    for objective, text in OBJECTIVES.items():
        own = usable[usable["objective"] == objective]
        if not len(own):
            continue
        above = [
            row["parameter"] if row["scope"] == ALL else f"{row['parameter']} of {found.names[row['scope']]}"
            for row in rows_of(own[own["importance"] > own["chance"]])
        ]
        told.append(f"for {text} {enumerate_items(above) if above else 'nothing'}")
    return [f"More than chance gives: {'; '.join(told)}."]


def _left_out(found: JointFound) -> str:
    frame = found.importances
    left = frame[frame["importance"].isna()].drop_duplicates(["scope", "parameter", "why"])
    if not len(left):
        return ""
    few: dict[tuple[str, str], list[str]] = {}
    for row in rows_of(left):
        few.setdefault((str(row["scope"]), str(row["why"])), []).append(str(row["parameter"]))
    parts = [
        f"{enumerate_items(names)}{'' if scope == ALL else f' of {found.names.get(scope, scope)}'} ({why})"
        for (scope, why), names in few.items()
    ]
    return f" Left out: {enumerate_items(parts)}."
