"""`posebench ui`: MLflow's own pages over this store, and an index of this folder's studies with their reports."""

import os
import signal
import socket
import subprocess
import sys
from typing import Annotated, Any

import typer

from bench.cli.output import log
from bench.cli.pages import LOOPBACK, PREFIX
from bench.records.store_check import check_tracking
from bench.settings.shared import DEFAULT_TRACKING, TRACKING_VARIABLE
from bench.storage.addresses import RECORDS, is_server
from bench.storage.masking import masked
from bench.storage.sqlite_files import sqlite_file
from posemodel.errors import SettingsError


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 5000,
) -> None:
    """Serve this folder's studies on loopback: their reports, and MLflow's pages on all runs. Ctrl-C ends it."""
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
    address = f"http://{LOOPBACK}:{port}"
    log(f"MLflow at {address} over {masked(uri)}, the studies at {address}{PREFIX}/ (starting; Ctrl-C ends both)")
    # The store's address stays in the environment: it may hold a password, and everybody here can read arguments.
    raise typer.Exit(_serve([sys.executable, "-P", "-W", "ignore", "-m", "bench.cli.mlflow_server", str(port)]))


def _serve(command: list[str]) -> int:
    """Run the server until it ends (its exit code) or we are told to (0); it ends with us, whatever happens to us."""
    # The job runners serve the evaluation of language models: six processes that nobody here needs.
    off = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # A group of its own: Ctrl-C reaches us alone, and the server ends in good order, without tracebacks.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    signal.signal(signal.SIGTERM, _interrupt)
    with subprocess.Popen(command, env={**os.environ, **off}, stdin=subprocess.PIPE, **apart) as server:
        assert server.stdin is not None
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.stdin.close()
            server.wait()
            return 0


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
