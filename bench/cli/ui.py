"""`posebench ui`: MLflow's own pages over this store."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Annotated, Any

import typer

from bench.cli.output import log
from bench.records.mlflow_views import page
from bench.records.store_check import check_tracking
from bench.settings.shared import DEFAULT_TRACKING, TRACKING_VARIABLE
from bench.storage.addresses import RECORDS, is_server
from bench.storage.masking import masked
from bench.storage.sqlite_files import sqlite_file
from posemodel.errors import SettingsError

LOOPBACK = "127.0.0.1"
POLL_S = 0.3
STUDIES_NAMED = 10
"""Of more, the newest."""


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's UI on loopback, at the store that studies in this folder write to. Ctrl-C ends it."""
    uri = os.environ.get(TRACKING_VARIABLE) or DEFAULT_TRACKING
    if is_server(uri):
        raise SettingsError(f"{TRACKING_VARIABLE}: is the server {masked(uri)}; open it in a browser.")
    check_tracking(uri, write=False)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        RECORDS.refuse(uri, f"no such file here. Run a study first, or set {TRACKING_VARIABLE}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise SettingsError(f"--port {port}: cannot be used ({error.strerror}); give another one.") from error
    log(f"MLflow at http://{LOOPBACK}:{port} over {masked(uri)} (starting, 10 to 30 s; Ctrl-C ends it)")
    # Not as an argument: everybody on the machine can read those, and the address may hold a password.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    raise typer.Exit(_serve(["ui", "--host", LOOPBACK, "--port", str(port)], port))


def _serve(arguments: list[str], port: int) -> int:
    """Run MLflow until it ends (its exit code) or we are told to (0); it ends with us, whatever happens to us."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    # Its job runners serve the evaluation of language models: six processes that nobody here needs.
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # One person looks at it: one process of 250 MB instead of four and their parent, and a line for each fault only.
    environment.setdefault("MLFLOW_WORKERS", "1")
    environment.setdefault("MLFLOW_UVICORN_OPTS", "--log-level warning --no-access-log")
    # A group of its own: Ctrl-C reaches us alone, and the server ends in good order, without tracebacks.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    command = [sys.executable, "-P", "-m", "bench.cli.mlflow_server", *arguments]
    signal.signal(signal.SIGTERM, _interrupt)
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, **apart) as server:
        assert server.stdin is not None
        try:
            _name_studies(server, f"http://{LOOPBACK}:{port}")
            return server.wait()
        except KeyboardInterrupt:
            server.stdin.close()
            server.wait()
            return 0


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _name_studies(server: "subprocess.Popen[bytes]", address: str) -> None:
    """Wait until the server answers, then print the page of each study; nothing if it ends instead."""
    while server.poll() is None:
        try:
            experiments = _experiments(address)
        except (OSError, ValueError):  # not up yet
            time.sleep(POLL_S)
            continue
        for experiment in experiments:
            tags = [tag["key"] for tag in experiment.get("tags", ())]
            log(f"{experiment['name']}: {page(address, experiment['experiment_id'], tags)}")
        return


def _experiments(address: str) -> list[dict[str, Any]]:
    """The newest studies' experiments, as MLflow's REST interface gives them."""
    question = {"max_results": STUDIES_NAMED + 1, "order_by": ["creation_time DESC"]}
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/experiments/search",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer).get("experiments", [])
    return [experiment for experiment in found if experiment["name"] != "Default"][:STUDIES_NAMED]
