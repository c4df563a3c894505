"""An MLflow client whose calls are repeated while the server is away."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import mlflow

from bench.storage.addresses import RECORDS
from bench.storage.patience import Patience
from bench.storage.sqlite_files import sqlite_file

_TALKATIVE = ("mlflow.store.db.utils", "urllib3.connectionpool")
"""Loggers that print each failed attempt; the error is raised, too, and `Patience` says that the server is away."""

_Result = TypeVar("_Result")


def patient(uri: str, open_client: Callable[[], mlflow.MlflowClient]) -> mlflow.MlflowClient:
    """Open a client whose calls, and its opening, wait for a server that is away (`Patience`, ServerAwayError).

    A call whose answer was lost is repeated: a second `create_run` then leaves the first run open
    (`Tracker.abandon`). An SQLite file has no server: its client is returned as it is.
    """
    if sqlite_file(uri) is not None:
        return open_client()
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    patience = Patience(RECORDS, uri)
    return cast("mlflow.MlflowClient", _PatientClient(patience(open_client), patience))


def impatient(client: mlflow.MlflowClient) -> mlflow.MlflowClient:
    """Return the client whose calls raise the error of a server that is away at once."""
    return client.client if isinstance(client, _PatientClient) else client


def patiently(client: mlflow.MlflowClient, call: Callable[[mlflow.MlflowClient], _Result]) -> _Result:
    """Return the result of a function that uses parts of MLflow's client, called as one method of ``client`` is."""
    return client.call(partial(call, client.client)) if isinstance(client, _PatientClient) else call(client)


class _PatientClient:
    """Stands for an MlflowClient: has its methods, each of which is called with patience."""

    def __init__(self, client: mlflow.MlflowClient, patience: Patience) -> None:
        self.client, self._patience = client, patience

    def __getattr__(self, name: str) -> Any:
        """Return a method of the client, made patient; another attribute as it is."""
        attribute = getattr(self.client, name)
        return partial(self._call, attribute) if callable(attribute) else attribute

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Call a function with patience."""
        return self._patience(function)

    def _call(self, method: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        return self._patience(partial(method, *arguments, **keywords))
