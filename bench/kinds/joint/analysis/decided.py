"""Which parameters decided a joint search, beside what chance gives."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.report.findings import Bars, BarSeries, Chart, Part, Section
from bench.report.prose import linked
from bench.report.text import literal, plain
from bench.report.wording import counted, enumerate_items
from bench.trials.columns import rows_of

CHART, FILE = "importances.png", "importances.csv"
OBJECTIVES = {"ap": "AP", "images_per_s": "images/s"}
ALL = "all"
"""The scope of what all trials share."""


def decided_section(found: JointFound) -> list[Section]:
    """What decided the search, in a sentence and a figure; none where nothing is more than chance gives."""
    usable = _usable(found)
    if not _more_than_chance(usable):
        return []
    return [Section("What decided", [*_decided(found, usable), _chart(found, usable)])]


def importance_section(found: JointFound) -> Section:
    """How it was found out what decided, and what was left out; why not, where it cannot be said."""
    title = "How much each parameter decided"
    if not len(_usable(found)):
        frame = found.importances
        why = sorted({str(each) for each in frame["why"]}) if len(frame) else []
        told = enumerate_items(why) if why else "no trial has completed"
        return Section(title, [f"It cannot be said: {told}."])
    usable = _usable(found)
    nothing: list[Part] = [] if _more_than_chance(usable) else [*_decided(found, usable), _chart(found, usable)]
    return Section(
        title,
        [
            *nothing,
            "How differently a parameter's values are spread over the better trials (about half) and over all "
            "(PED-ANOVA, Optuna), as shares of 1 in each panel and objective. Pale: one of 100 shuffles of the results "
            "among the trials gives as much, so that it says nothing. Shared parameters over all complete trials, an "
            f"optimizer's own over its trials. Unrounded: {linked(FILE)}.{_left_out(found)}",
        ],
    )


def _usable(found: JointFound) -> pd.DataFrame:
    """The parameters that have an importance for what was searched for."""
    frame = found.importances
    if not len(frame):
        return frame
    searched = ["ap"] if found.single else [*OBJECTIVES]
    return frame[frame["importance"].notna() & frame["objective"].isin(searched)]


def _more_than_chance(usable: pd.DataFrame) -> bool:
    return bool(len(usable)) and bool((usable["importance"] > usable["chance"]).any())


def _chart(found: JointFound, usable: pd.DataFrame) -> Chart:
    panels = [
        Bars(
            "importance (share of 1)",
            list(dict.fromkeys(own["parameter"])),
            [_bars(own, objective) for objective in OBJECTIVES if (own["objective"] == objective).any()],
            title=_scope_title(found, scope, own),
            faint_label="pale: chance gives as much",
        )
        for scope, own in _scopes(usable)
    ]
    return Chart(CHART, f"Importance of each parameter. {' '.join(map(plain, _decided(found, usable)))}", panels)


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
            _named(found, str(row["scope"]), [str(row["parameter"])])
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
    parts = [f"{_named(found, scope, names)} ({why})" for (scope, why), names in few.items()]
    return f" Left out: {enumerate_items(parts)}."


def _named(found: JointFound, scope: str, names: list[str]) -> str:
    """`lr and momentum of sgd`, in Markdown."""
    of = "" if scope == ALL else f" of {literal(found.names.get(scope, scope))}"
    return f"{enumerate_items([*map(literal, names)])}{of}"
