"""Published training recipes by name; each is a file `NAME.toml` in this folder that cites the source of its numbers.

In: a recipe's name and a user's own settings. Out: `TrainSettings` and an optimizer. Nothing is trained here. A file
has the fields of `TrainSettings` and a table `optimizer` with a name and hyperparameters; its comments say where this
project differs from the source. Milestones are in the unit of the recipe's own budget (steps or epochs) and are
converted to shares of it, so that a shorter run keeps the shape of the schedule.

Example:
    recipe = load_recipe("2017")
    train(recipe.settings(data="coco"), recipe.make_optimizer)
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import optim

from posemodel.config import TrainSettings, augment_table
from posemodel.errors import SettingsError, did_you_mean
from posemodel.training.parameter_groups import Parameters

_FOLDER = Path(__file__).parent
_BUDGETS = ("steps", "epochs", "seconds")
_SCHEDULE_SETTINGS = ("milestones", "gamma", "plateau")
"""Settings that only some schedules use."""


@dataclass(frozen=True)
class Recipe:
    """A published training: its settings and its optimizer.

    Example:
        recipe = load_recipe("lightweight")
        settings = recipe.settings(data="coco", epochs=10, loader={"num_workers": 4})
        result = train(settings, recipe.make_optimizer)
    """

    name: str
    """Name of the recipe, and of its file without `.toml`."""
    optimizer: str
    """Optimizer: sgd (with momentum), nesterov or adam, as in `posebench train --optimizer`."""
    hyperparameters: Mapping[str, Any]
    """Keyword arguments of the optimizer's PyTorch class."""
    training: Mapping[str, Any]
    """Fields of `TrainSettings`, nested in the same way."""

    def settings(self, **overrides: Any) -> TrainSettings:
        """Return a run's settings; ``overrides`` (at least ``data``) replace the recipe's, nested fields one by one."""
        return TrainSettings.model_validate(merge_settings(self.training, overrides))

    def make_optimizer(self, parameters: Parameters) -> optim.Optimizer:
        """Build the recipe's optimizer, in PyTorch's implementation, for these parameters or parameter groups."""
        if self.optimizer == "adam":
            return optim.Adam(parameters, **self.hyperparameters)
        return optim.SGD(parameters, nesterov=self.optimizer == "nesterov", **self.hyperparameters)


def recipe_names() -> list[str]:
    """Return the names of all recipes, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Example:
        load_recipe("2017").settings(data="coco").steps  # 600000

    Raises:
        SettingsError: There is no such recipe; the message suggests the most similar name.
    """
    names = recipe_names()
    if name not in names:
        raise SettingsError(
            f"recipe: there is no recipe {name!r}.{did_you_mean(name, names)} There are: {', '.join(names)}."
        )
    training = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    optimizer = training.pop("optimizer")
    if "milestones" in training:
        budget = next(training[unit] for unit in _BUDGETS if unit in training)
        training["milestones"] = [milestone / budget for milestone in training["milestones"]]
    return Recipe(name, optimizer.pop("name"), optimizer, training)


def merge_settings(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested settings; a later layer replaces the values of earlier ones, nested fields one by one.

    A budget (steps, epochs, seconds) replaces any other, and another schedule removes the settings of the earlier one.
    ``augment`` may be a bare true or false: it changes ``enabled`` alone.

    Example:
        merge_settings({"steps": 3, "loader": {"batch_size": 8}}, {"epochs": 2, "loader": {"num_workers": 4}})
        # {"epochs": 2, "loader": {"batch_size": 8, "num_workers": 4}}
    """
    values: dict[str, Any] = {}
    for layer in layers:
        if any(layer.get(unit) is not None for unit in _BUDGETS):
            values = {name: value for name, value in values.items() if name not in _BUDGETS}
        if "schedule" in layer and layer["schedule"] != values.get("schedule"):
            values = {name: value for name, value in values.items() if name not in _SCHEDULE_SETTINGS}
        for name, value in layer.items():
            setting = augment_table(value) if name == "augment" else value
            nested = isinstance(setting, Mapping) and isinstance(values.get(name), Mapping)
            values[name] = merge_settings(values[name], setting) if nested else setting
    return values
