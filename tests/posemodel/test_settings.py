"""Settings of a training run: the switch of the augmentation, and descriptions of all fields."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.trials.identity import digest, identifying
from posemodel.config import (
    AugmentSettings,
    DataFiles,
    GroupSettings,
    InputSettings,
    LoaderSettings,
    PlateauSettings,
    TrainSettings,
)
from posemodel.recipes import load_recipe, merge_settings


def settings(**given: Any) -> TrainSettings:
    return TrainSettings(data="people", steps=1, **given)


def identity(run: TrainSettings) -> str:
    return digest(identifying(run))


@pytest.mark.parametrize("switch", [False, True])
def test_augment_may_be_a_switch(switch: bool) -> None:
    short, long = settings(augment=switch), settings(augment={"enabled": switch})
    assert short == long
    assert short.augment == AugmentSettings(enabled=switch)
    assert short.model_dump() == long.model_dump()
    assert short.model_dump(mode="json") == long.model_dump(mode="json")
    assert short.model_dump(exclude_unset=True) == long.model_dump(exclude_unset=True)
    assert identity(short) == identity(long) == identity(settings(augment=AugmentSettings(enabled=switch)))


def test_a_folder_stands_beside_files_and_the_first_file_where_there_is_none() -> None:
    val = {"val_annotations": "a/val.json", "val_images": "a/val"}
    named = {"train_annotations": "a/train.json", "train_images": "a/train", **val}
    assert settings(files=named).data == Path("people")
    assert TrainSettings(steps=1, files=named).data == Path("a/train.json")
    assert TrainSettings(steps=1, files=DataFiles(**val)).data == Path("a/val.json")
    with pytest.raises(ValidationError, match="data"):
        TrainSettings(steps=1, files={})
    same = settings(files=named)
    assert TrainSettings.model_validate(same) == same


def test_augment_true_is_the_default() -> None:
    assert settings(augment=True) == settings()
    assert identity(settings(augment=True)) == identity(settings())


def test_a_json_document_may_hold_the_switch() -> None:
    document = '{"data": "people", "steps": 1, "augment": false}'
    assert TrainSettings.model_validate_json(document) == settings(augment=False)


@pytest.mark.parametrize("value", [0, 1, "false", None, [], {"enable": True}])
def test_nothing_else_is_a_switch(value: object) -> None:
    with pytest.raises(ValidationError, match="augment"):
        settings(augment=value)


def test_the_switch_keeps_a_recipe_s_augmentation() -> None:
    recipe = load_recipe("2017")
    augment = recipe.settings(data="coco").augment
    assert recipe.settings(data="coco", augment=True).augment == augment
    assert recipe.settings(data="coco", augment=False).augment == augment.model_copy(update={"enabled": False})
    assert merge_settings({"augment": False}, {"augment": {"flip": 0.0}}) == {
        "augment": {"enabled": False, "flip": 0.0}
    }


@pytest.mark.parametrize(
    "model",
    [AugmentSettings, DataFiles, GroupSettings, InputSettings, LoaderSettings, PlateauSettings, TrainSettings],
)
def test_every_field_is_described_in_a_sentence(model: type) -> None:
    for name, field in model.model_fields.items():
        assert (field.description or "").strip().endswith("."), name
        assert field.description[0].isupper() or field.description.startswith("VGG19"), name
