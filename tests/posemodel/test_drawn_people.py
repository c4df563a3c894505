"""What is drawn looks as it did: people and scenes against pictures that were looked at and kept.

After a wanted change, `--keep` writes them anew: look at them before they are committed. What is annotated is kept too.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posemodel.synthetic import render_image
from posemodel.synthetic.appearance import Appearance
from posemodel.synthetic.canvas import SUPERSAMPLING, Canvas, Light
from posemodel.synthetic.figure import sample_pose, turn
from posemodel.synthetic.person import Person

KEPT = Path(__file__).with_name("drawn")
PEOPLE, COLUMNS = 32, 8
WIDTH, HEIGHT, STATURE = 128, 180, 160.0
SCENES = 16
ROUND = range(-165, 195, 30)
"""Headings in degrees; 0 faces the viewer."""
TILE = 40
ANNOTATED = (*range(22, 46), 277)
"""Scenes whose annotations are kept: some have a crowd, a person too small for keypoints, people cut by the border;
in the last, others hide somebody wholly."""
NEAR = 2
"""Levels by which a pixel may differ: what another machine's rounding may do."""


def people() -> np.ndarray:
    """Many people, without what a camera adds."""
    return _sheet([_person(index) for index in range(PEOPLE)])


def _person(index: int) -> np.ndarray:
    rng = np.random.default_rng([17, index])
    towards = np.array([0.5 - index % 2, -0.6, 0.7])
    canvas = Canvas.blank(WIDTH, HEIGHT, Light(towards / np.linalg.norm(towards), 1.0))
    canvas.pixels[..., :3] = 127
    Person.sample(rng, STATURE, (WIDTH / 2, HEIGHT - 10)).draw(canvas, 1)
    return cv2.resize(canvas.pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[..., :3]


def scenes() -> np.ndarray:
    """Whole pictures."""
    return _sheet([render_image(np.random.default_rng([19, index]), size=(160, 120))[0] for index in range(SCENES)])


def seated() -> np.ndarray:
    """A picture of somebody who sits with the back to the viewer, behind the rest of a chair."""
    return render_image(np.random.default_rng([19, 59]), size=(160, 120))[0]


def turned() -> np.ndarray:
    """Heads of every kind, and hips of trousers and of a skirt, from all sides: each detail has angles that hide it."""
    heads = [
        _turned(heading, "skull", head=head) for head in ("short", "long", "tail", "bald", "cap") for heading in ROUND
    ]
    hips = [_turned(heading, "pelvis", skirt=skirt, tucked=True) for skirt in (False, True) for heading in ROUND]
    return _sheet(heads + hips, len(ROUND))


def _turned(heading: int, centre: str, **look: Any) -> np.ndarray:
    """What of a person is around a point of the body; the rest is beyond the picture's border."""
    rng = np.random.default_rng(31)
    sampled = Appearance.sample(rng)
    pose, view = sample_pose(rng, sampled.build), np.diag([1.0, -1.0, 1.0]) @ turn(math.radians(heading))
    person = Person(replace(sampled, **look), pose, view, 200.0, (0.0, 0.0))
    person.move(*(TILE / 2 - person.at[centre]))
    canvas = Canvas.blank(TILE, TILE, Light(np.array([0.0, -0.6, 0.8]), 1.0))
    canvas.pixels[..., :3] = 127
    person.draw(canvas, 1)
    return cv2.resize(canvas.pixels, (TILE, TILE), interpolation=cv2.INTER_AREA)[..., :3]


def _sheet(pictures: list[np.ndarray], columns: int = COLUMNS) -> np.ndarray:
    rows = [np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    return np.vstack(rows)


SHEETS = {"people": people, "scenes": scenes, "seated": seated, "turned": turned}


@pytest.mark.parametrize("name", SHEETS)
def test_what_is_drawn_looks_as_it_was_kept(name: str, pytestconfig: pytest.Config) -> None:
    file, drawn = KEPT / f"{name}.png", SHEETS[name]()
    if pytestconfig.getoption("--keep"):
        KEPT.mkdir(exist_ok=True)
        cv2.imwrite(str(file), drawn)
    kept = cv2.imread(str(file))
    assert drawn.shape == kept.shape
    off = np.abs(drawn.astype(int) - kept).max(axis=2)
    assert off.max() <= NEAR, f"{(off > NEAR).sum()} pixels differ, around {np.argwhere(off > NEAR).mean(axis=0)}"


def annotated() -> list[list[dict[str, Any]]]:
    """Boxes, areas and keypoints of scenes; how closely polygons follow the masks is tested in test_synthetic.py."""
    every = [render_image(np.random.default_rng([23, index]), size=(160, 120))[1] for index in ANNOTATED]
    fields = ("iscrowd", "bbox", "area", "num_keypoints", "keypoints")
    return [[{field: person[field] for field in fields} for person in scene] for scene in every]


def test_what_is_annotated_is_as_it_was_kept(pytestconfig: pytest.Config) -> None:
    """The nearest is last, and the crowd after all others: an annotation that is not made is missing in its place."""
    file, found = KEPT / "annotations.json", annotated()
    if pytestconfig.getoption("--keep"):
        scenes = (json.dumps(scene, separators=(",", ":")) for scene in found)
        file.write_text("[" + ",\n".join(scenes) + "]\n")
    kept = json.loads(file.read_text())
    assert [len(scene) for scene in found] == [len(scene) for scene in kept]
    for number, (scene, was) in enumerate(zip(found, kept, strict=True)):
        for person, other in zip(scene, was, strict=True):
            assert (person["iscrowd"], person["num_keypoints"]) == (other["iscrowd"], other["num_keypoints"]), number
            assert person["bbox"] == pytest.approx(other["bbox"], abs=1), number
            assert person["area"] == pytest.approx(other["area"], rel=0.01, abs=1), number
            assert person["keypoints"][2::3] == other["keypoints"][2::3], number
            assert person["keypoints"] == pytest.approx(other["keypoints"], abs=0.1), number


@pytest.mark.parametrize("corner", [(0, 0), (0, 30), (30, 0), (30, 30)])
def test_whom_the_border_cuts_looks_as_in_a_larger_picture(corner: tuple[int, int]) -> None:
    """The head lies on a corner; what is beyond the border is lost, and nothing else."""
    drawn = []
    for margin in (0, 100):
        person = Person.sample(np.random.default_rng(3), 120.0, (0.0, 0.0))
        person.move(*(np.array(corner) + margin - person.at["skull"]))
        canvas = Canvas.blank(30 + 2 * margin, 30 + 2 * margin, Light(np.array([0.0, -0.6, 0.8]), 1.0))
        person.draw(canvas, 1)
        edge = margin * SUPERSAMPLING
        drawn.append(canvas.pixels[edge : edge + 30 * SUPERSAMPLING, edge : edge + 30 * SUPERSAMPLING])
    assert (drawn[0] != 0).any()
    off = np.abs(drawn[0].astype(int) - drawn[1]).max(axis=2) > NEAR
    assert off.mean() < 0.01, "but for rounding at outlines"
