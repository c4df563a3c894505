"""Check that a tracking server answers before MLflow's client is used, which would silently retry for minutes."""

import os
from http import HTTPStatus
from typing import Any

import requests

from bench.storage.addresses import RECORDS
from bench.storage.database_check import NoAnswerError, call_within

ANSWER_S = 5.0
"""Seconds that a server may take for the first answer."""
PROBE_PATH = "/api/2.0/mlflow/experiments/search"
"""Path of MLflow's REST interface that every version answers."""
LOGIN_REQUIRED = {401, 403, 407}
"""HTTP statuses of a server that requires a login; MLflow's client gives a better error for them."""
_OTHER_LOGIN = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
"""Environment variables for logins that only MLflow's client supports; with these, any answer of the server is
accepted."""
_REMEDY = f"Start the server, or set {RECORDS.variable} to another address, {RECORDS.example} for instance."


def check_server(address: str) -> None:
    """Raise SettingsError, within `ANSWER_S` seconds, if no MLflow server answers at an address."""
    try:
        answer = call_within(ANSWER_S, lambda: _ask(address))
    except NoAnswerError as error:
        RECORDS.refuse(address, f"does not answer within {ANSWER_S:.0f} s. {_REMEDY}", cause=error)
    except requests.Timeout as error:
        RECORDS.refuse(address, f"does not answer within {ANSWER_S:.0f} s. {_REMEDY}", cause=error)
    except (requests.RequestException, OSError, ValueError) as error:
        RECORDS.refuse(address, f"cannot be reached ({_reason(error)}). {_REMEDY}", cause=error)
    if answer.status_code in LOGIN_REQUIRED or any(os.environ.get(name) for name in _OTHER_LOGIN):
        return
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        RECORDS.refuse(address, f"cannot be used now (it answers HTTP {answer.status_code} {answer.reason}). {_REMEDY}")
    if not _is_mlflow(answer):
        kind = answer.headers.get("Content-Type", "").partition(";")[0] or "nothing"
        RECORDS.refuse(
            address,
            f"is no MLflow server (asked for its experiments it answers HTTP {answer.status_code}, {kind}). "
            f"Set {RECORDS.variable} to the address of one, or to {RECORDS.example} for instance.",
        )


def _ask(address: str) -> requests.Response:
    """Request one experiment, with the same login as MLflow's client."""
    environ = os.environ
    user, password = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    options: dict[str, Any] = {"verify": environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1")}
    if certificate := environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        options["verify"] = certificate
    if certificate := environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        options["cert"] = certificate
    if user and password:
        options["auth"] = (user, password)
    elif token:
        options["headers"] = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{address.rstrip('/')}{PROBE_PATH}", params={"max_results": "1"}, timeout=ANSWER_S, **options)


def _is_mlflow(answer: requests.Response) -> bool:
    """Return True for a list of experiments, also an empty one, or an error in MLflow's form."""
    try:
        document = answer.json()
    except ValueError:
        return False
    if answer.status_code != requests.codes.ok:
        return isinstance(document, dict) and "error_code" in document
    return document == {} or (isinstance(document, dict) and "experiments" in document)


def _reason(error: BaseException) -> str:
    """Return the system's message about a failed connection, without the libraries' text around it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).partition("\n")[0]
