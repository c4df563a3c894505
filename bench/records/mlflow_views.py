"""What MLflow's pages show of a study at first sight: saved views by optimizer, and the addresses that open them.

MLflow keeps the saved views of an experiment (the button "Views" on its page) as tags of the experiment. The format is
that of MLflow's own "Save as new view" (3.17). A version that does not know it shows its plain list of runs.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_TAG_PREFIX = "mlflow.sharedViewState."
_KEY = "posebench-"
_CONFIRM = f"{_KEY}confirm"
_CHARTS = ("loss", "val_loss", "ap", "images_per_s", "samples")


@dataclass(frozen=True)
class SavedView:
    """A view of the runs of one phase: a group for each optimizer with the mean of its runs, best AP first."""

    name: str
    phase: str
    metrics: Sequence[str]
    """Columns, by their names in MLflow."""
    parameters: Sequence[str]
    """Further columns."""


def saved_views(views: Iterable[SavedView]) -> dict[str, str]:
    """Tags for the experiment of a study: a name and a value for each view."""
    return {f"{_TAG_PREFIX}{_KEY}{view.phase}": json.dumps(_document(view)) for view in views}


def page(address: str, experiment_id: str, tags: Sequence[str] = ()) -> str:
    """Address of an experiment's page on a server: its charts by optimizer where ``tags`` (their names) hold that view.

    Training runs are asked for because MLflow opens on traces of language models otherwise.
    """
    runs = f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    return f"{runs}&viewStateShareKey={_CONFIRM}&compareRunsMode=CHART" if _TAG_PREFIX + _CONFIRM in tags else runs


def _document(view: SavedView) -> dict[str, Any]:
    state = {
        "searchFilter": f"tags.phase = '{view.phase}'",
        "orderByKey": "metrics.`final.ap`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"metrics.`{m}`" for m in view.metrics), *(f"params.`{p}`" for p in view.parameters)],
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "chartsSearchFilter": f"^({'|'.join(_CHARTS)})$",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "optimizer"}]},
    }
    return {"name": view.name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
