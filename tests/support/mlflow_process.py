"""MLflow's tracking server in one process, which `tests.support.commands` forks: no library is imported again.

It is the application that `mlflow server --serve-artifacts` serves, by the same uvicorn.
"""

import os
import sys


def main() -> None:
    """Serve the database that the first argument names, with artifacts in the second one, on the third one's port."""
    import uvicorn
    from mlflow.server import (
        ARTIFACT_ROOT_ENV_VAR,
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
    )
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    backend, artifacts, port = sys.argv[1:]
    root = "mlflow-artifacts:/"
    os.environ |= {
        BACKEND_STORE_URI_ENV_VAR: backend,
        SERVE_ARTIFACTS_ENV_VAR: "true",
        ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        ARTIFACT_ROOT_ENV_VAR: root,
    }
    initialize_backend_stores(backend, backend, root)
    uvicorn.run(app, host="127.0.0.1", port=int(port))
