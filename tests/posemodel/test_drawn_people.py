"""What is drawn looks as it did: people and scenes against pictures that were looked at and kept.

After a wanted change, `--keep` writes them anew: look at them before they are committed.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from posemodel.synthetic import render_image
from posemodel.synthetic.canvas import Canvas, Light
from posemodel.synthetic.person import Person

KEPT = Path(__file__).with_name("drawn")
PEOPLE, COLUMNS = 32, 8
WIDTH, HEIGHT, STATURE = 128, 180, 160.0
SCENES = 16
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


def _sheet(pictures: list[np.ndarray]) -> np.ndarray:
    rows = [np.hstack(pictures[start : start + COLUMNS]) for start in range(0, len(pictures), COLUMNS)]
    return np.vstack(rows)


SHEETS = {"people": people, "scenes": scenes}


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
