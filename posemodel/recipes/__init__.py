"""Published trainings by name: `NAME.toml` beside this file holds one, with its numbers' sources and what differs here.

    recipe = load_recipe("2017")
    train(recipe.settings(data="coco"), recipe.make_optimizer)

A file has the fields of `TrainSettings`, and a table `optimizer` with a name and hyperparameters. Milestones are in the
unit of the recipe's own budget (steps or epochs) and become shares of it: a shorter run keeps the shape.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import optim

from posemodel.config import TrainSettings
from posemodel.errors import SettingsError, nearest
from posemodel.training.parameter_groups import Parameters

_FOLDER = Path(__file__).parent
_BUDGETS = ("steps", "epochs", "seconds")
_OF_A_SCHEDULE = ("milestones", "gamma", "plateau")
"""What means nothing to another schedule."""


@dataclass(frozen=True)
class Recipe:
    """A published training: what is trained how, and with which optimizer."""

    name: str
    optimizer: str
    """sgd (with momentum), nesterov or adam: names that `posebench train --optimizer` knows too."""
    hyperparameters: Mapping[str, Any]
    training: Mapping[str, Any]
    """Fields of `TrainSettings`, nested as these are."""

    def settings(self, **given: Any) -> TrainSettings:
        """The settings of a run; ``given`` (``data`` at least) comes before the recipe, nested fields one by one."""
        return TrainSettings.model_validate(layered(self.training, given))

    def make_optimizer(self, parameters: Parameters) -> optim.Optimizer:
        """The recipe's optimizer in PyTorch's own implementation."""
        if self.optimizer == "adam":
            return optim.Adam(parameters, **self.hyperparameters)
        return optim.SGD(parameters, nesterov=self.optimizer == "nesterov", **self.hyperparameters)


def recipe_names() -> list[str]:
    """All there are, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """A recipe by name; SettingsError names the nearest."""
    names = recipe_names()
    if name not in names:
        raise SettingsError(
            f"recipe: there is no recipe {name!r}.{nearest(name, names)} There are: {', '.join(names)}."
        )
    training = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    optimizer = training.pop("optimizer")
    if "milestones" in training:
        budget = next(training[unit] for unit in _BUDGETS if unit in training)
        training["milestones"] = [milestone / budget for milestone in training["milestones"]]
    return Recipe(name, optimizer.pop("name"), optimizer, training)


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings of which a later layer's come before an earlier's.

    A budget takes the place of any other one, and another schedule that of all that belonged to the one before.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        if any(layer.get(unit) is not None for unit in _BUDGETS):
            values = {name: value for name, value in values.items() if name not in _BUDGETS}
        if "schedule" in layer and layer["schedule"] != values.get("schedule"):
            values = {name: value for name, value in values.items() if name not in _OF_A_SCHEDULE}
        for name, value in layer.items():
            nested = isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
            values[name] = layered(values[name], value) if nested else value
    return values
