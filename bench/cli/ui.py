"""`posebench ui`: serve MLflow's pages, and an index of this folder's studies with their reports."""

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
from bench.settings.shared_settings import DEFAULT_TRACKING, TRACKING_VARIABLE
from bench.storage.addresses import RECORDS, is_server
from bench.storage.masking import masked
from bench.storage.sqlite_files import sqlite_file
from posemodel.errors import SettingsError


def ui(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port to serve on, on this machine only.")
    ] = 5000,
) -> None:
    """Show this folder's reports and MLflow's pages in a browser.

    Serves them on this machine only (127.0.0.1) and prints the address. Ctrl-C ends it.
    """
    uri = os.environ.get(TRACKING_VARIABLE) or DEFAULT_TRACKING
    if is_server(uri):
        raise SettingsError(f"{TRACKING_VARIABLE}: is the server {masked(uri)}; open that in a browser instead.")
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
    # The store's address is passed by the environment: it may hold a password, and other users can read arguments.
    raise typer.Exit(_serve([sys.executable, "-P", "-W", "ignore", "-m", "bench.cli.mlflow_server", str(port)]))


def _serve(command: list[str]) -> int:
    """Run the server until it ends (returns its exit code) or a signal stops it (returns 0); it never outlives us."""
    # MLflow's job runners serve the evaluation of language models: six processes that are not needed here.
    features_off = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    # A process group of its own: Ctrl-C reaches only us, and the server ends without tracebacks.
    own_group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    signal.signal(signal.SIGTERM, _interrupt)
    with subprocess.Popen(command, env={**os.environ, **features_off}, stdin=subprocess.PIPE, **own_group) as server:
        assert server.stdin is not None
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.stdin.close()
            server.wait()
            return 0


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
