"""Stand-ins for a user that the machine does not know: in a container with an id of its own, or without a home.

MLflow asks for the home when it is imported and PyTorch for the user's name, and both end where there is none.
"""

import getpass
import logging
import os
from pathlib import Path

NOWHERE = "/nonexistent"
"""The home of users that have none, on Debian: nothing can be written there, which libraries bear."""


def stand_in() -> None:
    """Give this process, and those that it starts, a home and a user's name where the machine knows none."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(NOWHERE)
        os.environ["HOME"] = NOWHERE
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # by Python's version
        os.environ["USER"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"
    if not os.access(home, os.W_OK):
        # It uses a temporary folder then, removes it at the end, and says both each time.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
