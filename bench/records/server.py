"""Whether a tracking server answers, asked before anything else: MLflow's client tries for minutes, in silence."""

import os
from http import HTTPStatus
from typing import Any

import requests

from bench.storage.addresses import RECORDS
from bench.storage.database_check import NoAnswerError, within

ANSWER_S = 5.0
"""How long a server may take for the first answer."""
QUESTION = "/api/2.0/mlflow/experiments/search"
"""Of MLflow's REST interface, what every version answers."""
LOCKED = (401, 403, 407)
"""Answers of a server that wants to know who asks: MLflow's client says more of that."""
_OTHER_LOGIN = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
"""Variables of ways to log in that only MLflow's client knows: any answer is good then."""
_REMEDY = f"Start the server, or set {RECORDS.variable} to another address, {RECORDS.example} for instance."


def check_server(address: str) -> None:
    """SettingsError, after `ANSWER_S` seconds at most, where no MLflow server answers at an address."""
    try:
        answer = within(ANSWER_S, lambda: _ask(address))
    except NoAnswerError as error:
        RECORDS.refuse(address, f"does not answer within {ANSWER_S:.0f} s. {_REMEDY}", cause=error)
    except requests.Timeout as error:
        RECORDS.refuse(address, f"does not answer within {ANSWER_S:.0f} s. {_REMEDY}", cause=error)
    except (requests.RequestException, OSError, ValueError) as error:
        RECORDS.refuse(address, f"cannot be reached ({_reason(error)}). {_REMEDY}", cause=error)
    if answer.status_code in LOCKED or any(os.environ.get(name) for name in _OTHER_LOGIN):
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
    """Ask for one experiment, in the name of whom MLflow's client would."""
    environ = os.environ
    user, password = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    how: dict[str, Any] = {"verify": environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1")}
    if certificate := environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        how["verify"] = certificate
    if certificate := environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        how["cert"] = certificate
    if user and password:
        how["auth"] = (user, password)
    elif token:
        how["headers"] = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{address.rstrip('/')}{QUESTION}", params={"max_results": "1"}, timeout=ANSWER_S, **how)


def _is_mlflow(answer: requests.Response) -> bool:
    """Whether it is a page of experiments, empty or not, or an error in MLflow's form."""
    try:
        document = answer.json()
    except ValueError:
        return False
    if answer.status_code != requests.codes.ok:
        return isinstance(document, dict) and "error_code" in document
    return document == {} or (isinstance(document, dict) and "experiments" in document)


def _reason(error: BaseException) -> str:
    """What the system said of a failed connection, without the libraries' words around it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror and not isinstance(found, requests.RequestException):
            return found.strerror
        found = found.__cause__ or found.__context__
    return str(error).partition("\n")[0]
