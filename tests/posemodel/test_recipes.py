"""Published trainings: their numbers, what comes before them, and that each of them trains."""

from pathlib import Path

import pytest
import torch

from posemodel.config import GroupSettings
from posemodel.errors import SettingsError
from posemodel.network import NETWORKS
from posemodel.recipes import load_recipe, merge_settings, recipe_names
from posemodel.training.loop import train
from tests.support.long_tests import long


def test_the_recipes_there_are() -> None:
    assert recipe_names() == ["2017", "lightweight", "tensorboy"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("2016", "Did you mean 2017"), ("lightwieght", "Did you mean lightweight"), ("x", "There are: 2017, lightweight")],
)
def test_an_unknown_recipe_is_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"recipe: there is no recipe '{name}'.*{message}"):
        load_recipe(name)


def test_the_2017_recipe_is_the_published_one() -> None:
    recipe = load_recipe("2017")
    settings = recipe.settings(data=Path("coco"))
    assert (settings.network, settings.size, settings.steps, settings.loader.batch_size) == (
        "rtpose_vgg",
        368,
        600_000,
        10,
    )
    assert settings.loss_reduction == "sum"
    assert settings.groups == GroupSettings(later_stage_lr=4, bias_lr=2, bias_weight_decay=False)
    assert (settings.schedule, settings.gamma, settings.warmup) == ("multistep", 0.333, 0)
    assert [round(milestone * 600_000) for milestone in settings.milestones] == [136106 * n for n in (1, 2, 3, 4)]
    assert settings.frozen_backbone_epochs == 0
    optimizer = recipe.make_optimizer([torch.nn.Parameter(torch.zeros(1))])
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (4e-5, 0.9, 5e-4, False)


def test_the_others_by_what_tells_them_apart() -> None:
    tensorboy, lightweight = (load_recipe(name) for name in ("tensorboy", "lightweight"))
    settings = tensorboy.settings(data=Path("coco"))
    assert (settings.loss_reduction, settings.frozen_backbone_epochs, settings.epochs) == ("mean", 5, 75)
    assert (settings.schedule, settings.gamma, settings.plateau.patience, settings.plateau.cooldown) == (
        "plateau",
        0.8,
        5,
        3,
    )
    (group,) = tensorboy.make_optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (group["lr"], group["nesterov"], group["weight_decay"]) == (1.0, True, 0)
    settings = lightweight.settings(data=Path("coco"))
    assert [round(milestone * 280) for milestone in settings.milestones] == [100, 200, 260]
    assert (settings.epochs, settings.loader.batch_size, settings.groups.depthwise_weight_decay) == (280, 80, False)
    assert isinstance(lightweight.make_optimizer([torch.nn.Parameter(torch.zeros(1))]), torch.optim.Adam)


def test_what_is_given_comes_before_the_recipe() -> None:
    recipe = load_recipe("2017")
    settings = recipe.settings(data=Path("coco"), steps=100, loader={"num_workers": 2}, groups={"bias_lr": 1.0})
    assert (settings.loader.batch_size, settings.loader.num_workers) == (10, 2), "nested fields one by one"
    assert (settings.groups.bias_lr, settings.groups.later_stage_lr) == (1, 4)
    assert settings.milestones == recipe.settings(data=Path("coco")).milestones, "a shorter run keeps the shape"
    other = recipe.settings(data=Path("coco"), epochs=3, schedule="cosine")
    assert (other.steps, other.epochs, other.milestones, other.gamma) == (None, 3, (), 0.1)


def test_layers() -> None:
    assert merge_settings({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 3}}, {"a": 2}) == {"a": 2, "b": {"c": 1, "d": 3}}
    assert merge_settings({"steps": 3, "seconds": None}, {"epochs": 2}) == {"epochs": 2}
    assert merge_settings({"epochs": 2}, {"steps": None}) == {"epochs": 2, "steps": None}
    assert merge_settings({"schedule": "step", "gamma": 1}, {"schedule": "step"})["gamma"] == 1


@pytest.mark.parametrize("name", ["lightweight", *map(long, ("2017", "tensorboy"))])
def test_each_recipe_trains(tiny_set: Path, name: str, one_thread: None) -> None:
    recipe = load_recipe(name)
    assert recipe.training["network"] in NETWORKS
    settings = recipe.settings(data=tiny_set, steps=1, size=32, loader={"batch_size": 2}, device="cpu")
    result = train(settings, recipe.make_optimizer)
    assert (result.status, result.step) == ("complete", 1)
    assert result.metrics["lr"] == recipe.hyperparameters["lr"], "the published rate, from the first step on"
