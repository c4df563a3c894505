"""Provide a home folder and user name where the machine has none, as in a container with an unknown user id.

MLflow looks up the home folder on import, and PyTorch the user name; both fail if there is none.
"""

import getpass
import logging
import os
from pathlib import Path

NOWHERE = "/nonexistent"
"""Home of users without one, as on Debian; nothing can be written there, which libraries tolerate."""


def provide_user_environment() -> None:
    """Give this process and its children a home and a user name if the machine knows none."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(NOWHERE)
        os.environ["HOME"] = NOWHERE
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # depends on the Python version
        os.environ["USER"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"
    if not os.access(home, os.W_OK):
        # Without a writable home it uses a temporary folder and logs warnings about that each time.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
