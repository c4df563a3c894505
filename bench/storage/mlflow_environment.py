"""Turn off MLflow's telemetry, progress bars and routine log lines, unless environment variables say otherwise.

MLflow's client repeats a request once, and immediately, and waits a minute for an answer: a study waits for a server
that is away by itself (`bench.storage.patience`). Import this module before MLflow, which reads the variables on
import. It also provides a home and a user name.
"""

import os

from bench.storage.user_environment import provide_user_environment

provide_user_environment()
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
