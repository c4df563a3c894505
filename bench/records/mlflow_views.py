"""What MLflow's pages show of a study at first sight: saved views of its runs, and the addresses that open them.

MLflow keeps the saved views of an experiment (the button "Views" on its page) as tags of the experiment. The format is
that of MLflow's own "Save as new view" (3.17). A version that does not know it shows its plain list of runs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TAG_PREFIX = "mlflow.sharedViewState."
_KEY = "posebench-"
_OPENED = ("confirm", "grid")
"""The views on which a study's page opens, by what they show: a study has one of them at most."""
_CHARTS = ("loss", "val_loss", "ap", "images_per_s", "samples")
STUDY_GROUP = "(study)"
"""The group in which the study's own run stands; no optimizer and no configuration can be called so."""


@dataclass(frozen=True)
class SavedView:
    """A view of some runs of a study and of the study's own: a group for each value of a tag with the mean of its runs.

    The group with the highest mean of the first metric comes first.
    """

    name: str
    shows: str
    """Value of the tag ``tag`` of the runs that are shown; no two views of a study show the same."""
    metrics: Sequence[str]
    """Columns, by their names in MLflow; the first one orders the runs."""
    parameters: Sequence[str]
    """Further columns."""
    tag: str = "phase"
    group: str = "optimizer"
    """Tag whose values are the groups."""
    charts: Sequence[str] = _CHARTS
    """Metrics and images that have a chart."""


def saved_views(views: Iterable[SavedView]) -> dict[str, str]:
    """Tags for the experiment of a study: a name and a value for each view."""
    return {_tag(view): _document(view, f"tags.{view.tag} LIKE '%{view.shows}%'") for view in views}


def outdated_views(views: Iterable[SavedView]) -> dict[str, str]:
    """The same as earlier versions wrote them: they hid the study's own run."""
    return {_tag(view): _document(view, f"tags.{view.tag} = '{view.shows}'") for view in views}


def study_tags(views: Sequence[SavedView]) -> Mapping[str, str]:
    """Tags of a study's own run that make it part of each of its views.

    MLflow's filters know no "or": the run has all values in one tag, and the views ask for tags that contain theirs.
    """
    groups = dict.fromkeys((view.group for view in views), STUDY_GROUP)
    shown = {view.tag: [each.shows for each in views if each.tag == view.tag] for view in views}
    return groups | {tag: f"(study: {', '.join(values)})" for tag, values in shown.items()}


def page(address: str, experiment_id: str, tags: Iterable[str] = ()) -> str:
    """Address of an experiment's page on a server: its charts by group where ``tags`` (their names) hold such a view.

    Training runs are asked for because MLflow opens on traces of language models otherwise.
    """
    runs = f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    present = {*tags}
    for shows in _OPENED:
        if f"{_TAG_PREFIX}{_KEY}{shows}" in present:
            return f"{runs}&viewStateShareKey={_KEY}{shows}&compareRunsMode=CHART"
    return runs


def artifact_page(experiment_id: str, run_id: str, path: str) -> str:
    """Address of an artifact's page, relative to any page of MLflow's: it leads there on every server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{path}"


def _tag(view: SavedView) -> str:
    return f"{_TAG_PREFIX}{_KEY}{view.shows}"


def _document(view: SavedView, runs: str) -> str:
    """The view as MLflow keeps it; ``runs``: which it shows, in MLflow's language of filters."""
    state: dict[str, Any] = {
        "searchFilter": runs,
        "orderByKey": f"metrics.`{view.metrics[0]}`",
        "orderByAsc": False,
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
