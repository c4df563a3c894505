"""MLflow's own web application over one store, with pages of ours beside its own, behind the same checks.

`mlflow ui` starts two processes for it; here it is an object, to be served by the process that asks for it.
"""

import os
from pathlib import Path
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, SERVE_ARTIFACTS_ENV_VAR  # type: ignore[attr-defined]
from mlflow.server import app as flask_app
from mlflow.server.fastapi_app import app
from mlflow.server.handlers import initialize_backend_stores
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

ARTIFACT_ROOT, ARTIFACT_DESTINATION = "mlflow-artifacts:/", "./mlartifacts"
"""MLflow's defaults for what is logged through the server; a study's artifacts stand where its experiment says."""
DRAWN_INTO = b'<div id="root"'
"""In the HTML of MLflow's pages: the script draws all of them into it."""


def mlflow_app(uri: str, prefix: str, pages: ASGIApp, bar: bytes) -> Any:
    """MLflow's application over the store at ``uri``; opening it may take seconds.

    Args:
        uri: Of the store.
        prefix: Path below which ``pages`` answers.
        pages: Gets all requests there, of any method, that MLflow's own middleware lets through: it refuses those that
            come by another host's name, as those of a rebound domain do.
        bar: HTML that stands above each of MLflow's pages, where they are of a known form.
    """
    os.environ[SERVE_ARTIFACTS_ENV_VAR] = "true"
    os.environ[ARTIFACTS_DESTINATION_ENV_VAR] = ARTIFACT_DESTINATION
    initialize_backend_stores(uri, uri, ARTIFACT_ROOT)
    # First: the last of MLflow's routes takes every path.
    app.router.routes[:0] = [Route(prefix, pages), Mount(prefix, pages), *_root(bar)]
    return app


def _root(bar: bytes) -> list[Route]:
    """The route of MLflow's one page, with ``bar``; none where it is of another form than it was."""
    try:
        page = Path(str(flask_app.static_folder), "index.html").read_bytes()
    except OSError:
        return []
    if page.count(DRAWN_INTO) != 1:
        return []
    shown = page.replace(DRAWN_INTO, bar + DRAWN_INTO)

    def answer(_request: object) -> HTMLResponse:
        return HTMLResponse(shown, headers={"Cache-Control": "no-cache"})

    return [Route("/", answer)]
