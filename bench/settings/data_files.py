"""Settings that name the files of a data set one by one, and its category."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from bench.settings.layers import Setting
from posemodel.config import DataFiles, first_problem
from posemodel.errors import SettingsError

CATEGORY = "category"
DATA_PATHS = tuple(name for name in DataFiles.model_fields if name != CATEGORY)
"""Settings that name a file or folder of a data set."""


def absolute_paths(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return those settings that name a data file, with absolute paths, which hold in any worker's folder."""
    named = {name: settings[name] for name in DATA_PATHS if name in settings}
    return {
        name: Setting(Path(setting.value).resolve(), setting.origin)
        for name, setting in named.items()
        if setting.value is not None
    }


def named_files(settings: Mapping[str, Setting]) -> DataFiles:
    """Return the data files and the category that a study's settings name; empty for a kind without such settings.

    SettingsError names an annotation file without image folder, or the reverse.
    """
    paths = {name: setting.value for name, setting in absolute_paths(settings).items()}
    try:
        return DataFiles(**paths, category=settings[CATEGORY].value if CATEGORY in settings else None)
    except ValidationError as error:
        origin = next(iter(absolute_paths(settings).values())).origin
        raise SettingsError(f"{first_problem(error)} (from: {origin}).") from error
