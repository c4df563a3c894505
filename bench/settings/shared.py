"""Settings that all kinds of study share, and where a study's stores are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.settings.declared import Declaration, Flag
from bench.settings.layers import DEFAULT, Setting
from posemodel.config import Device

STORAGE_VARIABLE = "POSEBENCH_STORAGE"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_STORAGE = "sqlite:///optuna.db"
DEFAULT_TRACKING = "sqlite:///mlflow.db"
DEFAULT_SYNTHETIC_IMAGES = 800
OF_EVERY_KIND = {
    "name": Declaration(
        str,
        None,
        "Name of the study, by which it is continued; without one it is made of kind, preset and data folder.",
        "mine",
    ),
    "data": Declaration(
        Path, None, "Folder in COCO's layout; without one, synthetic people are generated under `data/`.", "data/coco"
    ),
    "synthetic_images": Declaration(
        Annotated[int, Field(ge=3)], DEFAULT_SYNTHETIC_IMAGES, "Images that are generated where no `data` is given."
    ),
    "device": Declaration(Device, "auto", "What the network trains on; auto: a GPU where there is one."),
}
"""Settings of a study file that every kind of study has, and resolves before it is built."""
NETWORK = Flag(
    metavar="NAME",
    help="The network that is trained: rtpose_vgg, openpose_2019, lightweight, lightweight_2, lightweight_3 or small.",
)
"""Beside a field that names one; the names are those of `posemodel.network`, which costs seconds to import."""
WORKERS = Declaration(
    Annotated[int, Field(ge=1)] | Literal["cores"],
    1,
    "Trials that run at once, on one machine; cores: one for each core of a CPU, one on a GPU.",
)
SPACES = Declaration(
    dict[str, dict[str, Any]],
    {},
    "Tuning space of each optimizer, by its name: a range on a log scale is { log = [low, high] }, a choice "
    "{ values = [...] }, anything else one value. Any hyperparameter may be named, in place of `momentum` also its "
    "complement `one_minus_momentum`, in place of `lr` beside it `effective_lr` = lr / (1 - momentum). Of an "
    "optimizer that is not named it is the space that it ships with.",
    flag=Flag(
        ("--space",),
        "NAME:lr=log(A,B),...",
        "Tuning space of an optimizer (without one, the space that it ships with); repeatable.",
        repeated=True,
    ),
)


def store_settings() -> dict[str, Setting]:
    """Where state is kept: the ledger's URL and MLflow's."""
    return {
        "storage": from_variable(STORAGE_VARIABLE, DEFAULT_STORAGE),
        "tracking_uri": from_variable(TRACKING_VARIABLE, DEFAULT_TRACKING),
    }


def from_variable(variable: str, default: str, environ: Mapping[str, str] = os.environ) -> Setting:
    """A setting that only the environment changes."""
    value = environ.get(variable)
    return Setting(value, f"environment {variable}") if value else Setting(default, DEFAULT)
