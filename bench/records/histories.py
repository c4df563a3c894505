"""Read the histories of a metric of many runs at once; MLflow's public client reads one run's with each request."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import mlflow
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.rest_utils import http_request

from bench.records.patient_client import patiently

RUNS_AT_ONCE = 100
"""MLflow's limit for one request to a server."""
_POINTS_AT_ONCE = 25_000
"""A server's limit for one answer, which it does not exceed and does not mention."""
_ENDPOINT = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
"""Used by MLflow's own pages. A server without it is asked for each run."""
_OK = 200

Point = tuple[str, int, float]
"""Run id, step and value."""


def histories(client: mlflow.MlflowClient, run_ids: Sequence[str], metric: str) -> Iterator[Point]:
    """Yield every logged value of a metric of some runs; those of a run in the order of their times.

    Waits for a server that is away as the client does.
    """
    first, size = 0, RUNS_AT_ONCE
    while first < len(run_ids):
        some = run_ids[first : first + size]
        points = patiently(client, partial(_at_once, run_ids=some, metric=metric))
        is_cut_off = points is not None and len(points) >= _POINTS_AT_ONCE
        if is_cut_off and len(some) > 1:
            size = len(some) // 2
            continue
        if points is None or is_cut_off:
            for run_id in some:
                yield from ((run_id, each.step, each.value) for each in client.get_metric_history(run_id, metric))
        else:
            yield from points
            if len(points) < _POINTS_AT_ONCE // 4:  # later runs may have fewer points
                size = min(2 * size, RUNS_AT_ONCE)
        first += len(some)


def _at_once(client: mlflow.MlflowClient, run_ids: Sequence[str], metric: str) -> list[Point] | None:
    """Return the values, cut off at `_POINTS_AT_ONCE`, or None if this version or kind of store cannot give them at
    once."""
    store: Any = getattr(getattr(client, "_tracking_client", None), "store", None)
    if isinstance(store, RestStore):
        return _from_server(store, run_ids, metric)
    if hasattr(store, "get_metric_history_bulk"):
        found = store.get_metric_history_bulk(list(run_ids), metric, _POINTS_AT_ONCE)
        return [(each.run_id, each.step, each.value) for each in found]
    return None


def _from_server(store: RestStore, run_ids: Sequence[str], metric: str) -> list[Point] | None:
    parameters = [("metric_key", metric), *(("run_id", run_id) for run_id in run_ids)]
    answer = http_request(host_creds=store.get_host_creds(), endpoint=_ENDPOINT, method="GET", params=parameters)
    if answer.status_code != _OK:
        return None
    try:
        return [(each["run_id"], int(each["step"]), float(each["value"])) for each in answer.json()["metrics"]]
    except (ValueError, KeyError, TypeError):
        return None
