from pathlib import Path

import numpy as np
import pytest

from posemodel.config import InputSettings
from posemodel.data.open_split import open_split
from posemodel.scoring.oracle import ceiling_scores, connected_fragments, oracle_scores
from posemodel.skeleton import COCO_PERSON
from tests.support.coco_builder import CocoBuilder


def test_real_images_reach_the_goals_and_stay_below_the_ceiling(coco_mini: Path) -> None:
    split = open_split(coco_mini, "train")
    ceiling = ceiling_scores(split)
    at_368 = oracle_scores(split, InputSettings(size=368, stride=8))
    at_656 = oracle_scores(split, InputSettings(size=656, stride=8))
    assert None not in (ceiling.ap, at_368.ap, at_656.ap)
    assert ceiling.ap == pytest.approx(0.88, abs=0.005), "0.877 to 0.883, by the order of equally scored fragments"
    assert 0.82 <= at_368.ap <= ceiling.ap
    assert 0.85 <= at_656.ap <= ceiling.ap
    assert (at_368.images, at_368.people) == (50, 66)


def test_complete_people_have_a_ceiling_of_one(coco_builder: CocoBuilder) -> None:
    coco_builder.image("val", 1, 320, 240)
    coco_builder.person("val", 1, box=(20, 10, 120, 200))
    coco_builder.person("val", 1, box=(180, 20, 120, 190))
    split = open_split(coco_builder.write(), "val")
    assert ceiling_scores(split).ap == pytest.approx(1)
    assert oracle_scores(split, InputSettings(size=320, stride=8)).ap == pytest.approx(1)


def test_only_the_images_of_a_choice_are_scored(coco_builder: CocoBuilder) -> None:
    for image_id in (3, 5, 8):
        coco_builder.image("val", image_id, 320, 240)
        coco_builder.person("val", image_id, box=(20, 10, 120, 200))
    split = open_split(coco_builder.write(), "val")
    scores = oracle_scores(split.subset([2, 0]), InputSettings(size=320, stride=8))
    assert (scores.images, scores.people) == (2, 2)
    assert scores.ar == pytest.approx(1), "nobody is missed in the image that was not chosen"


def test_fragments_partition_the_labelled_parts() -> None:
    person = np.ones((18, 3))
    for name in ("neck", "left_shoulder", "right_knee"):
        person[COCO_PERSON.parts.index(name)] = 0
    fragments = [tuple(np.flatnonzero(piece[:, 2])) for piece in connected_fragments(person, COCO_PERSON)]
    names = sorted(sorted(COCO_PERSON.parts[part] for part in piece) for piece in fragments)
    assert ["right_ankle"] in names
    assert ["left_elbow", "left_wrist"] in names
    assert ["left_ankle", "left_hip", "left_knee"] in names
    assert sorted(part for piece in fragments for part in piece) == np.flatnonzero(person[:, 2]).tolist()


def test_one_whole_person_is_one_fragment_and_nobody_is_none() -> None:
    assert len(list(connected_fragments(np.ones((18, 3)), COCO_PERSON))) == 1
    assert list(connected_fragments(np.zeros((18, 3)), COCO_PERSON)) == []
