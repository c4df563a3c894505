"""Turns options of `posebench train` into settings: command line over recipe, recipe over defaults.

A schedule that the optimizer's method fixes itself is over the recipe's.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from bench.cli.data_options import exif_of, split_val_images
from bench.optimizers import optimizer_entry
from bench.optimizers.entry import COMPLEMENT, EFFECTIVE_RATE, RATE, WEIGHT_DECAY
from bench.optimizers.space import Value
from bench.optimizers.spaces import parse_value
from posemodel.config import TrainSettings, first_problem
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError
from posemodel.network.weights import load_network
from posemodel.recipes import load_recipe, merge_settings

SEPARATE_OPTIONS = {"lr": "--lr", WEIGHT_DECAY: "--wd"}
"""Hyperparameters that have an option of their own, and so are refused in `--option`."""
NESTED = {
    **dict.fromkeys(
        ("batch_size", "num_workers", "pin_memory", "prefetch_factor", "persistent_workers", "start_method"), "loader"
    ),
    **dict.fromkeys(
        ("later_stage_lr", "bias_lr", "bias_weight_decay", "norm_weight_decay", "depthwise_weight_decay"), "groups"
    ),
    **dict.fromkeys(("patience", "cooldown"), "plateau"),
    **dict.fromkeys(
        ("train_annotations", "train_images", "val_annotations", "category", "skeleton_file", "sigmas"), "files"
    ),
}
"""Options that are fields of a nested model of `TrainSettings`, and the field of that model."""
DEFAULT_SCHEDULE = TrainSettings.model_fields["schedule"].default
OPTIMIZER_OPTIONS = ("optimizer", "lr", WEIGHT_DECAY, "option")
OTHER_OPTIONS = (*OPTIMIZER_OPTIONS, "recipe", "threads", "out", "resume", "as_json")
"""Options that are not fields of `TrainSettings`."""


class Resolved(NamedTuple):
    """A training run: its settings, its optimizer and hyperparameters."""

    settings: TrainSettings
    optimizer: str
    hyperparameters: dict[str, Value]


def resolve(options: Mapping[str, Any], given_options: set[str]) -> Resolved:
    """Return the run that the options describe; ``given_options``: names of the options that the user gave.

    Raises SettingsError.
    """
    recipe = load_recipe(options["recipe"]) if options["recipe"] is not None else None
    given_settings = _nested({name: value for name, value in options.items() if name in given_options})
    if options["weights"] is not None and "network" not in given_options:
        given_settings["network"] = _network_of(options["weights"])
    optimizer = with_dots(options["optimizer"])
    hyperparameters: dict[str, Value] = {WEIGHT_DECAY: options[WEIGHT_DECAY]}
    if recipe is not None and ("optimizer" not in given_options or optimizer == recipe.optimizer):
        optimizer = recipe.optimizer  # another optimizer has no use for the recipe's hyperparameters
        hyperparameters |= recipe.hyperparameters
    own = _hyperparameters(options["option"] or [])
    own_schedule = optimizer_entry(optimizer).at(own).schedule
    layers = [
        _nested(options) | {"schedule": DEFAULT_SCHEDULE},
        recipe.training if recipe is not None else {},
        {} if own_schedule is None else {"schedule": own_schedule},
        given_settings,
    ]
    try:
        settings = TrainSettings.model_validate(merge_settings(*layers))
    except ValidationError as error:
        raise SettingsError(f"{first_problem(error)}.") from error

    replaced = {name.removeprefix(COMPLEMENT) for name in own} | ({RATE} if EFFECTIVE_RATE in own else set())
    hyperparameters = {name: value for name, value in hyperparameters.items() if name not in replaced} | own
    hyperparameters |= {name: options[name] for name in ("lr", WEIGHT_DECAY) if name in given_options}
    return Resolved(settings, optimizer, hyperparameters)


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as (nested) fields of `TrainSettings`."""
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name == "exif":
            values["exif"] = exif_of(value)
        elif name == "val_images":
            val_images = split_val_images(value)
            values["val_images"] = val_images.get("count")
            values.setdefault("files", {})["val_images"] = val_images.get("folder")
        elif name == "milestones":
            values["milestones"] = _numbers(value)
        elif name in NESTED:
            values.setdefault(NESTED[name], {})[name] = value
        elif name not in OTHER_OPTIONS:
            values[name] = value
    return values


def _network_of(weights: Any) -> str:
    """Return the name of the network whose weights a checkpoint holds."""
    return load_network(weights, torch.device("cpu"))[1].network


def _numbers(text: str | None) -> list[float]:
    """Parse `--milestones`, numbers separated by commas; SettingsError if one is not a number."""
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise SettingsError(
            f"--milestones {text}: must be shares of the training, separated by commas, as in 0.5,0.75."
        ) from error


def _hyperparameters(pairs: list[str]) -> dict[str, Value]:
    """Parse `--option NAME=VALUE`; SettingsError names the invalid option."""
    options: dict[str, Value] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--option {pair}: must be NAME=VALUE.")
        if name in SEPARATE_OPTIONS:
            raise SettingsError(f"--option {pair}: {name} has its own option: give {SEPARATE_OPTIONS[name]} {value}.")
        if name in options:
            raise SettingsError(f"--option {pair}: {name} is given twice.")
        try:
            options[name] = parse_value(value)
        except ValueError as error:
            raise SettingsError(f"--option {pair}: {error}.") from error
    return options
