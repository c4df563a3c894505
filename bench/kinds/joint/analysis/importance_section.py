"""Section on the parameters that influenced a joint search's results most, compared with chance."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.results import JointResults
from bench.report.findings import Bars, BarSeries, Chart, Part, Section
from bench.report.prose import linked
from bench.report.text import literal, plain
from bench.report.wording import counted, enumerate_items
from bench.trials.columns import rows_of

CHART, FILE = "importances.png", "importances.csv"
ALL = "all"
"""Scope of the parameters that all trials share."""


def _objectives(results: JointResults) -> dict[str, str]:
    """Return the names of the objectives in words, by column."""
    return {results.measure.column: results.measure.name, "images_per_s": results.measure.speed}


def decided_section(results: JointResults) -> list[Section]:
    """Return the section on the most important parameters; empty if the importance of none exceeds chance."""
    usable = _usable(results)
    if not _more_than_chance(usable):
        return []
    return [Section("What decided", [*_decided(results, usable), _chart(results, usable)])]


def importance_section(results: JointResults) -> Section:
    """Return the appendix section on the method and on parameters left out, or on why nothing can be said."""
    title = "How much each parameter decided"
    if not len(_usable(results)):
        frame = results.importances
        why = sorted({str(each) for each in frame["why"]}) if len(frame) else []
        reasons = enumerate_items(why) if why else "no trial has completed"
        return Section(title, [f"Not known: {reasons}."])
    usable = _usable(results)
    nothing: list[Part] = [] if _more_than_chance(usable) else [*_decided(results, usable), _chart(results, usable)]
    return Section(
        title,
        [
            *nothing,
            "Importance (PED-ANOVA, Optuna): how much a parameter's values in the better trials (about half) differ "
            "from those in all, as shares that sum to 1 in each panel and objective. Pale: no more than chance, as "
            "one of 100 random shuffles of the results gives as much. Shared parameters are compared over all "
            f"complete trials, an optimizer's own over its trials. Unrounded: {linked(FILE)}.{_left_out(results)}",
        ],
    )


def _usable(results: JointResults) -> pd.DataFrame:
    """Return the rows with an importance for an objective that was searched."""
    frame = results.importances
    if not len(frame):
        return frame
    searched = [results.measure.column] if results.single else [*_objectives(results)]
    return frame[frame["importance"].notna() & frame["objective"].isin(searched)]


def _more_than_chance(usable: pd.DataFrame) -> bool:
    return bool(len(usable)) and bool((usable["importance"] > usable["chance"]).any())


def _chart(results: JointResults, usable: pd.DataFrame) -> Chart:
    panels = [
        Bars(
            "importance (share of 1)",
            list(dict.fromkeys(own["parameter"])),
            [
                _bars(own, objective, text)
                for objective, text in _objectives(results).items()
                if (own["objective"] == objective).any()
            ],
            title=_scope_title(results, scope, own),
            faint_label="pale: chance gives as much",
        )
        for scope, own in _scopes(usable)
    ]
    return Chart(CHART, f"Importance of each parameter. {' '.join(map(plain, _decided(results, usable)))}", panels)


def _scopes(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split the frame by scope, `ALL` first."""
    names = sorted(frame["scope"].unique(), key=lambda name: (name != ALL, name))
    return [(name, frame[frame["scope"] == name]) for name in names]


def _scope_title(results: JointResults, scope: str, own: pd.DataFrame) -> str:
    named = "all optimizers" if scope == ALL else results.names.get(scope, scope)
    return f"{named} ({counted(int(own['n'].max()), 'trial')})"


def _bars(own: pd.DataFrame, objective: str, text: str) -> BarSeries:
    rows = own[own["objective"] == objective].set_index("parameter")
    names = list(dict.fromkeys(own["parameter"]))
    values = [float(rows["importance"].get(name, np.nan)) for name in names]
    faint = [not (rows["importance"].get(name, np.nan) > rows["chance"].get(name, np.nan)) for name in names]
    return BarSeries(text, values, faint)


def _decided(results: JointResults, usable: pd.DataFrame) -> list[str]:
    """Return a sentence that names the parameters above chance for each objective."""
    sentences = []
    for objective, text in _objectives(results).items():
        own = usable[usable["objective"] == objective]
        if not len(own):
            continue
        above = [
            _named(results, str(row["scope"]), [str(row["parameter"])])
            for row in rows_of(own[own["importance"] > own["chance"]])
        ]
        sentences.append(f"for {text}, {enumerate_items(above) if above else 'none'}")
    return [f"Parameters that matter beyond chance: {'; '.join(sentences)}."]


def _left_out(results: JointResults) -> str:
    frame = results.importances
    unusable = frame[frame["importance"].isna()].drop_duplicates(["scope", "parameter", "why"])
    if not len(unusable):
        return ""
    few: dict[tuple[str, str], list[str]] = {}
    for row in rows_of(unusable):
        few.setdefault((str(row["scope"]), str(row["why"])), []).append(str(row["parameter"]))
    parts = [f"{_named(results, scope, names)} ({why})" for (scope, why), names in few.items()]
    return f" Left out: {enumerate_items(parts)}."


def _named(results: JointResults, scope: str, names: list[str]) -> str:
    """`lr and momentum of sgd`, in Markdown."""
    of = "" if scope == ALL else f" of {literal(results.names.get(scope, scope))}"
    return f"{enumerate_items([*map(literal, names)])}{of}"
