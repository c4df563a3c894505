"""Saved views of a study's runs on MLflow's pages, and the addresses that open them.

MLflow stores the saved views of an experiment (button "Views" on its page) as tags of the experiment. The format is
that of "Save as new view" in MLflow 3.17; a version that does not know it shows its plain list of runs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_TAG_PREFIX = "mlflow.sharedViewState."
_KEY = "posebench-"
_DEFAULT_VIEWS = ("confirm", "grid")
"""Views with which a study's page opens, by `SavedView.shows`; a study has at most one of these views."""
_CHARTS = ("loss", "val_loss", "ap", "images_per_s", "samples")
STUDY_GROUP = "(study)"
"""Group of the study's own run; no optimizer or configuration can have this name."""


@dataclass(frozen=True)
class SavedView:
    """A view of some runs of a study and its own run, grouped by a tag, with the mean of each group.

    The group with the highest mean of the first metric comes first, unless ``ascending``.
    """

    name: str
    shows: str
    """Value of the tag ``tag`` in the runs that are shown; unique among the views of a study."""
    metrics: Sequence[str]
    """Metric columns, by their names in MLflow; the first one orders the runs."""
    parameters: Sequence[str]
    """Parameter columns."""
    tag: str = "phase"
    """Tag that selects the runs."""
    group: str = "optimizer"
    """Tag by whose values the runs are grouped."""
    charts: Sequence[str] = _CHARTS
    """Metrics and images that get a chart."""
    ascending: bool = False
    """Whether the group with the lowest mean comes first."""

    def of_score(self, name: str, *, lower_is_better: bool) -> "SavedView":
        """Return the view of a study whose score is another metric than AP."""
        return replace(
            self,
            metrics=[f"final.{name}" if metric == "final.ap" else metric for metric in self.metrics],
            charts=[name if chart == "ap" else chart for chart in self.charts],
            ascending=lower_is_better,
        )


def saved_views(views: Iterable[SavedView]) -> dict[str, str]:
    """Return the experiment tags (name and value) that store a study's views."""
    return {_tag(view): _document(view, f"tags.{view.tag} LIKE '%{view.shows}%'") for view in views}


def outdated_views(views: Iterable[SavedView]) -> dict[str, str]:
    """Return the experiment tags as earlier versions wrote them, which hid the study's own run."""
    return {_tag(view): _document(view, f"tags.{view.tag} = '{view.shows}'") for view in views}


def study_tags(views: Sequence[SavedView]) -> Mapping[str, str]:
    """Return tags for a study's own run that include it in each of the study's views.

    MLflow's filters have no "or": the run has all values in one tag, and each view selects the runs whose tag contains
    the view's own value.
    """
    groups = dict.fromkeys((view.group for view in views), STUDY_GROUP)
    shown_values = {view.tag: [each.shows for each in views if each.tag == view.tag] for view in views}
    return groups | {tag: f"(study: {', '.join(values)})" for tag, values in shown_values.items()}


def page(address: str, experiment_id: str, tags: Iterable[str] = ()) -> str:
    """Return the address of an experiment's page on a server, which opens a saved view if the experiment has one.

    The address asks for training runs, since MLflow otherwise opens on traces of language models.

    ``tags``: names of the experiment's tags.
    """
    runs = f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    present = {*tags}
    for shows in _DEFAULT_VIEWS:
        if f"{_TAG_PREFIX}{_KEY}{shows}" in present:
            return f"{runs}&viewStateShareKey={_KEY}{shows}&compareRunsMode=CHART"
    return runs


def artifact_page(experiment_id: str, run_id: str, path: str) -> str:
    """Return the address of an artifact's page relative to any MLflow page, so that it works on every server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{path}"


def _tag(view: SavedView) -> str:
    return f"{_TAG_PREFIX}{_KEY}{view.shows}"


def _document(view: SavedView, runs: str) -> str:
    """Return the view as MLflow stores it; ``runs``: filter for its runs, in MLflow's filter language."""
    state: dict[str, Any] = {
        "searchFilter": runs,
        "orderByKey": f"metrics.`{view.metrics[0]}`",
        "orderByAsc": view.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"metrics.`{m}`" for m in view.metrics), *(f"params.`{p}`" for p in view.parameters)],
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "chartsSearchFilter": f"^({'|'.join(view.charts)})$",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": view.group}]},
    }
    return json.dumps({"name": view.name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
