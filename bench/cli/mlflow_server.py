"""MLflow's server as a child process that never outlives its parent: it ends when its standard input closes.

A pipe closes however its other end dies, also by SIGKILL, and on every system. MLflow alone would leave its web server
behind, which holds the port and 250 MB.
"""

import os
import runpy
import sys
import threading
from contextlib import suppress

import psutil

from bench.storage.masking import mask_errors

GRACE_S = 5.0
"""Seconds for the web server to end by itself before it is killed."""


def _end_with_parent() -> None:
    while os.read(0, 1):  # blocks until the pipe closes; no lock of sys.stdin is held meanwhile
        pass
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=GRACE_S)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    mask_errors()
    sys.argv[0] = "mlflow"
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
