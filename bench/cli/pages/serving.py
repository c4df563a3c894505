"""Server of `posebench ui`: MLflow's application and the study pages on one port of this machine."""

import threading
import time

import uvicorn

from bench.cli.actions.stores import study_paths
from bench.cli.output import log
from bench.cli.pages import LOOPBACK, PREFIX
from bench.cli.pages.application import StudyPages
from bench.cli.pages.rendering import mlflow_bar
from bench.records.mlflow_app import mlflow_app

POLL_S = 0.1
"""Seconds between checks whether the server answers."""
STUDIES_NAMED = 10
"""Maximum number of studies whose addresses are logged, the newest first."""


def make_server(port: int) -> uvicorn.Server:
    """Return the server for the stores that the environment names; once it runs, it logs the studies' addresses."""
    paths = study_paths()
    pages = StudyPages(paths)
    application = mlflow_app(paths.tracking_uri, PREFIX, pages, mlflow_bar(f"{PREFIX}/"))
    server = uvicorn.Server(uvicorn.Config(application, LOOPBACK, port, log_level="warning", access_log=False))
    threading.Thread(target=_log_addresses, args=(server, pages, f"http://{LOOPBACK}:{port}"), daemon=True).start()
    return server


def _log_addresses(server: uvicorn.Server, pages: StudyPages, address: str) -> None:
    """Log the addresses of the newest studies once the server answers."""
    while not server.started:
        time.sleep(POLL_S)
    for study, page, runs in pages.newest(STUDIES_NAMED):
        log(f"{study}: {address}{page}")
        log(f"  its runs in MLflow: {address}{runs}")
