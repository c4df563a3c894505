"""MLflow's web application over one store, with posebench pages added behind the same security checks.

`mlflow ui` starts two processes for it; here it is an application object that the calling process serves.
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
"""MLflow's default locations of artifacts logged through the server; a study's experiment has its own location."""
PAGE_ROOT = b'<div id="root"'
"""HTML element into which MLflow's script draws all its pages."""


def mlflow_app(uri: str, prefix: str, pages: ASGIApp, bar: bytes) -> Any:
    """Return MLflow's application over a store; opening it may take seconds.

    Args:
        uri: Address of the store.
        prefix: Path below which ``pages`` answers.
        pages: Application for all requests below ``prefix``, of any method, that MLflow's own middleware allows: it
            refuses requests addressed to another host name (DNS rebinding).
        bar: HTML to put above each of MLflow's pages, if they have the known form.
    """
    os.environ[SERVE_ARTIFACTS_ENV_VAR] = "true"
    os.environ[ARTIFACTS_DESTINATION_ENV_VAR] = ARTIFACT_DESTINATION
    initialize_backend_stores(uri, uri, ARTIFACT_ROOT)
    # At the front: the last of MLflow's routes matches every path.
    app.router.routes[:0] = [Route(prefix, pages), Mount(prefix, pages), *_root(bar)]
    return app


def _root(bar: bytes) -> list[Route]:
    """Return the route of MLflow's single page with ``bar`` inserted; none if the page has an unknown form."""
    try:
        page = Path(str(flask_app.static_folder), "index.html").read_bytes()
    except OSError:
        return []
    if page.count(PAGE_ROOT) != 1:
        return []
    page_with_bar = page.replace(PAGE_ROOT, bar + PAGE_ROOT)

    def answer(_request: object) -> HTMLResponse:
        return HTMLResponse(page_with_bar, headers={"Cache-Control": "no-cache"})

    return [Route("/", answer)]
