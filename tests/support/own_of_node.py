"""Says which file a module of one's own is imported from, in a process on a node."""

import importlib
from pathlib import Path

from posemodel.errors import SettingsError


def say_where() -> Path:
    """Stands for what finds a study's data: raises SettingsError with the file of the module `own_of_test`."""
    try:
        raise SettingsError(str(importlib.import_module("own_of_test").__file__))
    except ModuleNotFoundError as error:
        raise SettingsError(f"cannot be loaded here ({type(error).__name__}: {error}).") from error
