"""The files of a data set that settings name outright."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from bench.settings.layers import Setting
from posemodel.config import DataFiles, in_words
from posemodel.errors import SettingsError


def absolute_paths(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Files that are named outright, by paths that hold wherever a worker runs; of the settings those that name any."""
    given = {name: settings[name] for name in DataFiles.model_fields if name in settings}
    return {
        name: Setting(Path(setting.value).resolve(), setting.origin)
        for name, setting in given.items()
        if setting.value is not None
    }


def named_files(settings: Mapping[str, Setting]) -> DataFiles:
    """The files that a study's settings name outright; none of a kind of study that has no such settings."""
    paths = {name: setting.value for name, setting in absolute_paths(settings).items()}
    try:
        return DataFiles(**paths)
    except ValidationError as error:
        origin = next(iter(absolute_paths(settings).values())).origin
        raise SettingsError(f"{in_words(error)} (from: {origin}).") from error
