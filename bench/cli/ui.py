"""`posebench ui`: MLflow's own pages over this store."""

import os
import socket
import subprocess
import sys
from typing import Annotated

import typer

from bench.cli.output import log

LOOPBACK = "127.0.0.1"


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's UI on loopback, at the store that studies in this folder write to. Ctrl-C ends it."""
    from bench.settings import DEFAULT_TRACKING, TRACKING_VARIABLE
    from posemodel.errors import SettingsError

    uri = os.environ.get(TRACKING_VARIABLE) or DEFAULT_TRACKING
    if uri.startswith(("http://", "https://")):
        raise SettingsError(f"{TRACKING_VARIABLE}: is the server {uri}; open it in a browser.")
    if uri.startswith("sqlite:///") and not os.path.exists(uri.removeprefix("sqlite:///")):  # noqa: PTH110
        raise SettingsError(f"{uri}: no such file here. Run a study first, or set {TRACKING_VARIABLE}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise SettingsError(f"--port {port}: cannot be used ({error.strerror}); give another one.") from error
    log(f"MLflow at http://{LOOPBACK}:{port} over {uri}")
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    # Its job runners serve the evaluation of language models: six processes that nobody here needs.
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", LOOPBACK, "--port", str(port)]
    command = [sys.executable, *arguments]
    if os.name == "nt":  # there, os.execve would detach from the terminal
        raise typer.Exit(subprocess.call(command, env=environment))
    os.execve(sys.executable, command, environment)  # whoever ends this process ends the server
