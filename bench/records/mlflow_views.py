"""What MLflow's pages show of a study at first sight: saved views by optimizer, and the addresses that open them.

MLflow keeps the saved views of an experiment (the button "Views" on its page) as tags of the experiment. The format is
that of MLflow's own "Save as new view" (3.17). A version that does not know it shows its plain list of runs.
"""

import json
from collections.abc import Sequence
from typing import Any

_TAG_PREFIX = "mlflow.sharedViewState."
_CONFIRM, _TUNE, _SEARCH = "posebench-confirm", "posebench-tune", "posebench-search"
_CHARTS = ("loss", "val_loss", "ap", "images_per_s", "samples")


def saved_views(kind: str) -> dict[str, str]:
    """Tags for the experiment of a study of this kind: a name and a value for each view."""
    views = {
        "optimizers": {
            _CONFIRM: _view(
                "Confirm runs by optimizer", "confirm", ("final.ap", "final.images_per_s"), ("seed", "hp.lr")
            ),
            _TUNE: _view("Tune runs by optimizer", "tune", ("final.ap",), ("hp.lr", "status")),
        },
        "joint": {
            _CONFIRM: _view(
                "Picks on fresh seeds", "confirm", ("final.ap", "final.images_per_s"), ("seed", "hp.lr", "batch_size")
            ),
            _SEARCH: _view(
                "Search trials by optimizer",
                "search",
                ("final.ap", "final.images_per_s"),
                ("hp.lr", "batch_size", "num_workers"),
            ),
        },
    }.get(kind, {})
    return {_TAG_PREFIX + key: json.dumps(view) for key, view in views.items()}


def page(address: str, experiment_id: str, tags: Sequence[str] = ()) -> str:
    """Address of an experiment's page on a server: its charts by optimizer where ``tags`` (their names) hold that view.

    Training runs are asked for because MLflow opens on traces of language models otherwise.
    """
    runs = f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    return f"{runs}&viewStateShareKey={_CONFIRM}&compareRunsMode=CHART" if _TAG_PREFIX + _CONFIRM in tags else runs


def _view(name: str, phase: str, metrics: Sequence[str], parameters: Sequence[str]) -> dict[str, Any]:
    """Runs of one phase, a group for each optimizer with the mean of its runs, best first."""
    state = {
        "searchFilter": f"tags.phase = '{phase}'",
        "orderByKey": "metrics.`final.ap`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"metrics.`{m}`" for m in metrics), *(f"params.`{p}`" for p in parameters)],
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "chartsSearchFilter": f"^({'|'.join(_CHARTS)})$",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "optimizer"}]},
    }
    return {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
