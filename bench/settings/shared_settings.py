"""Settings shared by several kinds of study, and the addresses of the stores (Optuna's ledger, MLflow)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.settings.declarations import Declaration, Flag
from bench.settings.layers import DEFAULT, Setting
from posemodel.config import Device

STORAGE_VARIABLE = "POSEBENCH_STORAGE"
CHECKPOINT_EVERY_VARIABLE = "POSEBENCH_CHECKPOINT_EVERY"
"""Environment variable: time between two checkpoints of a trial that is not interrupted, as `90s`, `10m` or `2h`."""
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_STORAGE = "sqlite:///optuna.db"
DEFAULT_TRACKING = "sqlite:///mlflow.db"
DEFAULT_SYNTHETIC_IMAGES = 800
SHARED_SETTINGS = {
    "name": Declaration(
        str,
        None,
        "Name of the study; the same name continues it. Without one, it is made from kind, preset and data folder.",
        "mine",
    ),
    "data": Declaration(
        Path,
        None,
        "Data set folder in COCO's layout; without one, synthetic images are generated under `data/`.",
        "data/coco",
    ),
    "synthetic_images": Declaration(
        Annotated[int, Field(ge=3)],
        DEFAULT_SYNTHETIC_IMAGES,
        "Number of synthetic images to generate if no `data` is given.",
    ),
    "device": Declaration(Device, "auto", "Device to train on; auto: a GPU if there is one, else the CPU."),
}
"""Study-file settings of every kind of study, resolved before its specification is built."""
NETWORK_FLAG = Flag(
    metavar="NAME",
    help="Name of the network: rtpose_vgg, openpose_2019, lightweight, lightweight_2, lightweight_3, small, or a class "
    "by its path, my_package:MyNet.",
)
"""Flag of a field that names a network; the names are copied because `posemodel.network` takes seconds to import."""
WORKLOAD_FLAG = Flag(
    ("--workload",),
    "MODULE:CLASS",
    "Train your own workload (docs/guide/own-workload.md) instead of a pose network.",
)
"""Flag of the table `workload`: the name alone; its settings are given by `--workload-setting`."""
WORKERS_SETTING = Declaration(
    Annotated[int, Field(ge=0)] | Literal["auto", "cores"],
    "auto",
    "Number of trials to run at once on this machine; auto: one per visible GPU, else one; cores: one per CPU core, or "
    "one per GPU; 0: none, `posebench worker` runs them elsewhere.",
)
GPUS_SETTING = Declaration(
    tuple[Annotated[int, Field(ge=0)] | str, ...],
    None,
    "GPUs to use, by their index among the visible ones or by their UUID; without it, all visible ones.",
    (0, 2),
    flag=Flag(metavar="INDEX|UUID,..."),
)
TRIALS_PER_GPU_SETTING = Declaration(
    Annotated[int, Field(ge=1)],
    1,
    "Number of trials that may run at once on one GPU; they share its memory and its speed.",
)
CHECKPOINTS_SETTING = Declaration(
    str,
    None,
    "Folder or URL, shared by all workers, where interrupted trials keep their state, so that they go on elsewhere.",
    "/shared/checkpoints",
    flag=Flag(metavar="URL_OR_DIR"),
)
ENGINE_SETTING = Declaration(
    Literal["local", "ray"],
    "local",
    "Where trials run; local: in processes of this machine; ray: on the nodes of a Ray cluster, `workers` then being "
    "the most at once.",
)
RAY_ADDRESS_SETTING = Declaration(
    str,
    None,
    "Address of the Ray cluster's head; without one, that of RAY_ADDRESS, else a cluster that runs on this machine, "
    "else one that is started here.",
    "10.0.0.1:6379",
    flag=Flag(metavar="HOST:PORT"),
)
PLACE_SETTINGS = {
    "workers": WORKERS_SETTING,
    "gpus": GPUS_SETTING,
    "trials_per_gpu": TRIALS_PER_GPU_SETTING,
    "checkpoints": CHECKPOINTS_SETTING,
    "engine": ENGINE_SETTING,
    "ray_address": RAY_ADDRESS_SETTING,
}
"""Settings of where and how many trials run, which are never part of a study."""
SPACES_SETTING = Declaration(
    dict[str, dict[str, Any]],
    {},
    "Search space of each optimizer, by its name: { log = [low, high] } is a range on a log scale, { values = [...] } "
    "a choice, anything else a fixed value. Any hyperparameter can be named; `one_minus_momentum` can replace "
    "`momentum`, and with it `effective_lr` = lr / (1 - momentum) can replace `lr`. Optimizers that are not named use "
    "the space that they ship with.",
    flag=Flag(
        ("--space",),
        "NAME:lr=log(A,B),...",
        "Search space of one optimizer (default: the space that it ships with); repeatable.",
        repeated=True,
    ),
)


def store_settings() -> dict[str, Setting]:
    """Return the addresses of both stores: `storage` (Optuna's ledger) and `tracking_uri` (MLflow)."""
    return {
        "storage": from_variable(STORAGE_VARIABLE, DEFAULT_STORAGE),
        "tracking_uri": from_variable(TRACKING_VARIABLE, DEFAULT_TRACKING),
    }


def from_variable(variable: str, default: str, environ: Mapping[str, str] = os.environ) -> Setting:
    """Return a setting that only an environment variable can change."""
    value = environ.get(variable)
    return Setting(value, f"environment {variable}") if value else Setting(default, DEFAULT)
