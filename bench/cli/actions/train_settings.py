"""The options of `posebench train` as settings: command line before recipe before default."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from bench.cli.data_options import exif_of, split_val_images
from bench.optimizers.entry import COMPLEMENT, EFFECTIVE_RATE, RATE, WEIGHT_DECAY
from bench.optimizers.space import Value
from bench.optimizers.spaces import parse_value
from bench.settings.dotted import with_dots
from posemodel.config import TrainSettings, in_words
from posemodel.errors import SettingsError
from posemodel.network.weights import load_network
from posemodel.recipes import layered, load_recipe

OWN_OPTIONS = {"lr": "--lr", WEIGHT_DECAY: "--wd"}
"""Hyperparameters that `--option` leaves to other options."""
NESTED = {
    **dict.fromkeys(
        ("batch_size", "num_workers", "pin_memory", "prefetch_factor", "persistent_workers", "start_method"), "loader"
    ),
    **dict.fromkeys(
        ("later_stage_lr", "bias_lr", "bias_weight_decay", "norm_weight_decay", "depthwise_weight_decay"), "groups"
    ),
    **dict.fromkeys(("patience", "cooldown"), "plateau"),
    **dict.fromkeys(("train_annotations", "train_images", "val_annotations"), "files"),
}
"""Options that are fields of a part of `TrainSettings`."""
OF_THE_OPTIMIZER = ("optimizer", "lr", WEIGHT_DECAY, "option")
OUTSIDE = (*OF_THE_OPTIMIZER, "recipe", "threads", "out", "resume", "as_json")
"""Options that are no fields of `TrainSettings`."""


class Resolved(NamedTuple):
    """What a run is made of: its settings, its optimizer, and what of that the run's record holds."""

    settings: TrainSettings
    optimizer: str
    hyperparameters: dict[str, Value]


def resolve(options: Mapping[str, Any], given: set[str]) -> Resolved:
    """The run that the options ask for, ``given`` being those that were typed. Raises SettingsError."""
    recipe = load_recipe(options["recipe"]) if options["recipe"] is not None else None
    typed = _nested({name: value for name, value in options.items() if name in given})
    if options["weights"] is not None and "network" not in given:
        typed["network"] = _network_of(options["weights"])
    layers = [_nested(options), recipe.training if recipe is not None else {}, typed]
    try:
        settings = TrainSettings.model_validate(layered(*layers))
    except ValidationError as error:
        raise SettingsError(f"{in_words(error)}.") from error

    optimizer = with_dots(options["optimizer"])
    hyperparameters: dict[str, Value] = {WEIGHT_DECAY: options[WEIGHT_DECAY]}
    if recipe is not None and ("optimizer" not in given or optimizer == recipe.optimizer):
        optimizer = recipe.optimizer  # another one would not know what to do with this one's numbers
        hyperparameters |= recipe.hyperparameters
    own = _hyperparameters(options["option"] or [])
    replaced = {name.removeprefix(COMPLEMENT) for name in own} | ({RATE} if EFFECTIVE_RATE in own else set())
    hyperparameters = {name: value for name, value in hyperparameters.items() if name not in replaced} | own
    hyperparameters |= {name: options[name] for name in ("lr", WEIGHT_DECAY) if name in given}
    return Resolved(settings, optimizer, hyperparameters)


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the fields of `TrainSettings` that they set."""
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name == "exif":
            values["exif"] = exif_of(value)
        elif name == "val_images":
            asked = split_val_images(value)
            values["val_images"] = asked.get("count")
            values.setdefault("files", {})["val_images"] = asked.get("folder")
        elif name == "milestones":
            values["milestones"] = _numbers(value)
        elif name in NESTED:
            values.setdefault(NESTED[name], {})[name] = value
        elif name not in OUTSIDE:
            values[name] = value
    return values


def _network_of(weights: Any) -> str:
    """The network whose weights a checkpoint holds."""
    return load_network(weights, torch.device("cpu"))[1].network


def _numbers(text: str | None) -> list[float]:
    """Numbers between commas; SettingsError names what is none."""
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise SettingsError(f"--milestones {text}: must be shares of the budget between commas: 0.5,0.75.") from error


def _hyperparameters(pairs: list[str]) -> dict[str, Value]:
    """What `--option NAME=VALUE` gives; SettingsError names the option."""
    options: dict[str, Value] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--option {pair}: must be NAME=VALUE.")
        if name in OWN_OPTIONS:
            raise SettingsError(f"--option {pair}: {name} has an option of its own: give {OWN_OPTIONS[name]} {value}.")
        if name in options:
            raise SettingsError(f"--option {pair}: {name} is given twice.")
        try:
            options[name] = parse_value(value)
        except ValueError as error:
            raise SettingsError(f"--option {pair}: {error}.") from error
    return options
