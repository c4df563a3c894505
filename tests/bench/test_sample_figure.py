"""The figure of a sample for skeletons of few and many parts, with and without limbs."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bench.report import sample_figure
from posemodel.skeleton import COCO_PERSON, Skeleton


def chain(points: int, limbs: int) -> Skeleton:
    names = tuple(f"point_{number}" for number in range(points))
    return Skeleton("hand", names, tuple((a, a + 1) for a in range(limbs)), (0.05,) * points)


def drawn(skeleton: Skeleton, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Draw a sample; return the titles of its panels."""
    titles: list[str] = []

    def look(figure: Any, at: Path) -> None:
        titles.extend(axis.get_title() for axis in figure.axes if axis.get_title())
        figure.savefig(at, dpi=20)
        plt.close(figure)

    monkeypatch.setattr(sample_figure, "save", look)
    people = np.ones((1, skeleton.num_parts, 3)) * 20
    maps = np.zeros((skeleton.num_heatmaps, 8, 8)), np.zeros((skeleton.num_pafs, 8, 8))
    image, mask = np.zeros((64, 64, 3), np.uint8), np.ones((8, 8), np.uint8)
    sample_figure.draw_sample(image, people, mask, *maps, path, title="one", skeleton=skeleton)
    assert path.is_file()
    return titles


def test_every_part_of_a_small_skeleton_has_a_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = drawn(chain(3, 2), tmp_path / "sample.png", monkeypatch)
    assert titles[0] == "Input, 64 pixels: 1 of hand"
    assert "the highest of the 3 parts" in titles[1]
    assert {"point 0", "point 1", "point 2", "background", "field direction"} <= {*titles}
    assert any("each of the 2 limbs" in title for title in titles)


def test_without_limbs_there_is_no_panel_of_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = drawn(chain(1, 0), tmp_path / "sample.png", monkeypatch)
    assert titles[1:] == ["Heatmaps, 8 cells: the only part", "point 0", "background"]


def test_of_many_parts_the_first_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = drawn(chain(133, 132), tmp_path / "sample.png", monkeypatch)
    single = [title for title in titles if title.startswith("point ")]
    assert single == [f"point {number}" for number in range(38)]
    assert {"background", "field direction"} <= {*titles}
    assert titles[1] == "Heatmaps, 8 cells: the highest of the 133 parts; below, the first 38"


def test_coco_s_people_fill_two_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = drawn(COCO_PERSON, tmp_path / "sample.png", monkeypatch)
    assert len(titles) == 3 + 20
    assert titles[0] == "Input, 64 pixels: 1 person"
