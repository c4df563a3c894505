"""Substitute areas of people change AP only slightly: twenty seeds of perturbed people."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.posemodel.test_stand_in_areas import differences, synthetic

SHARD = "real"
COVERS = ("posemodel/scoring/figures.py", "posemodel/data/**/*.py", "tests/posemodel/test_stand_in_areas.py")
SEEDS = range(20)
LOST = {"mask": {}, "box": {"segmentation": []}, "joints": {"segmentation": [], "bbox": [0, 0, 0, 0]}}

__all__ = ["synthetic"]


@pytest.mark.parametrize("folder", ["coco_mini", "synthetic"])
def test_ap_with_areas_that_stand_in(request: pytest.FixtureRequest, figures: dict[str, Any], folder: str) -> None:
    data: Path = request.getfixturevalue(folder)
    for stand_in, lost in LOST.items():
        found = differences(data, lambda person, lost=lost: person.update(area=0, **lost), SEEDS, stand_in)
        figures[f"AP with areas of the {stand_in}, minus annotated: mean"] = round(float(np.mean(found)), 4)
        figures[f"AP with areas of the {stand_in}, minus annotated: largest"] = round(float(np.max(np.abs(found))), 4)
        if stand_in == "mask":
            assert abs(np.mean(found)) < 0.01
