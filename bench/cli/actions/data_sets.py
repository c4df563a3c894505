"""Resolves a command's data options to a data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from posemodel.config import DataFiles, first_problem
from posemodel.data.layout import DataSet
from posemodel.errors import SettingsError


def data_set(data: Path | None, files: Mapping[str, Any], *, option: str = "--data") -> DataSet:
    """Return the data set of a folder and fields of ``DataFiles``; BadParameter if neither folder nor files are given.

    ``option``: name of the folder's option or argument, for the error.
    """
    try:
        named = DataFiles.model_validate(files)
    except ValidationError as error:
        raise SettingsError(f"{first_problem(error)}.") from error
    if data is None and named.first_annotations is None:
        raise typer.BadParameter(
            "give the folder of a data set, or --train-annotations FILE with --train-images DIR", param_hint=option
        )
    return DataSet.of(data, named)
