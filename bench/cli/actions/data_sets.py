"""The data set that a command's options name."""

from collections.abc import Mapping
from pathlib import Path

import typer
from pydantic import ValidationError

from posemodel.config import DataFiles, in_words
from posemodel.data.layout import DataSet
from posemodel.errors import SettingsError


def data_set(data: Path | None, files: Mapping[str, Path | None], *, option: str = "--data") -> DataSet:
    """The data set that a folder and named files stand for; BadParameter where neither is given."""
    try:
        named = DataFiles.model_validate(files)
    except ValidationError as error:
        raise SettingsError(f"{in_words(error)}.") from error
    if data is None and named.first_annotations is None:
        raise typer.BadParameter(
            "give the folder of a data set, or --train-annotations FILE with --train-images DIR", param_hint=option
        )
    return DataSet.of(data, named)
