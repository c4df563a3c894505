"""Shares of data sets whose answers are known by hand, of synthetic people and of real ones."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posemodel.data.check import check
from posemodel.data.stats import VIEWS, folder_stats, join, share, tally
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS
from posemodel.synthetic import generate
from tests.support.coco_builder import CocoBuilder, standing_keypoints
from tests.support.keypoint_sets import write_set

WIDTH, HEIGHT = 100, 80
BOX = (20.0, 10.0, 40.0, 60.0)
"""Inside the image; three quarters of its height."""


def place(name: str) -> int:
    return COCO_KEYPOINTS.index(name)


def changed(points: list[float], **visibilities: int) -> list[float]:
    """Set the visibility of some keypoints; 0 clears them."""
    rows = np.array(points, float).reshape(17, 3)
    for name, value in visibilities.items():
        rows[place(name)] = (*rows[place(name), :2], value) if value else 0
    return rows.ravel().tolist()


def moved(points: list[float], matrix: list[list[float]], centre: tuple[float, float] = (50, 40)) -> list[float]:
    """Apply a linear map around a point."""
    rows = np.array(points, float).reshape(17, 3)
    rows[:, :2] = (rows[:, :2] - centre) @ np.array(matrix).T + centre
    return rows.ravel().tolist()


def document(people: list[dict[str, Any]], images: int = 1) -> dict[str, Any]:
    defaults = {"image_id": 0, "category_id": 1, "iscrowd": 0, "bbox": list(BOX), "area": 1.0, "segmentation": []}
    return {
        "images": [{"id": n, "width": WIDTH, "height": HEIGHT, "file_name": f"{n}.jpg"} for n in range(images)],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": number, **defaults, **entry} for number, entry in enumerate(people)],
    }


STANDING = standing_keypoints(*BOX)


def test_a_data_set_made_by_hand_has_the_shares_that_were_put_in() -> None:
    people = [{"keypoints": STANDING, "image_id": image} for image in (0, 0, 0, 1)]
    people[0]["keypoints"] = changed(STANDING, left_wrist=1, right_wrist=1, nose=0)
    people[3]["bbox"] = [20.0, 40.0, 40.0, 40.0]  # to the lower border: half of the height
    people[3]["keypoints"] = changed(STANDING, left_ankle=0, right_ankle=0, left_knee=1)
    people.append({"keypoints": [0] * 51, "image_id": 1})
    people.append(
        {"keypoints": [0] * 51, "image_id": 1, "iscrowd": 1, "segmentation": {"counts": [], "size": [80, 100]}}
    )
    people.append({"keypoints": [0] * 51, "image_id": 1, "iscrowd": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]})
    people.append({"image_id": 2, "category_id": 2})
    found = tally(document(people, images=3)).as_document()
    assert (found["images"], found["people"], found["unlabelled"]) == (3, 4, 1)
    assert (found["crowds"], found["crowds_rle"]) == (2, 1)
    assert found["people_per_image"] == {"0": 1, "1": 1, "3": 1}
    assert found["share_images_with_3_or_more"] == pytest.approx(1 / 3)
    assert found["joints"] == {"visible": 4 * 17 - 6, "occluded": 3, "unlabelled": 3}
    assert found["share_joints_occluded"] == pytest.approx(3 / 65)
    assert found["parts"]["left_wrist"] == {"visible": 3, "occluded": 1, "unlabelled": 0}
    assert found["parts"]["nose"] == {"visible": 3, "occluded": 0, "unlabelled": 1}
    assert (found["cut_by_border"], found["share_cut_by_border"]) == (1, 0.25)
    assert found["height_share"]["min"] == 0.5
    assert found["height_share"]["p50"] == found["height_share"]["max"] == 0.75
    assert found["height_histogram"] == [0] * 10 + [1] + [0] * 4 + [3] + [0] * 4
    assert found["views"] == {"front": 4, "back": 0, "side": 0, "unknown": 0}
    assert found["image_sizes"] == {"100x80": 3}


@pytest.mark.parametrize(
    ("box", "points", "cut"),
    [
        ([0, 10, 40, 60], changed(STANDING, left_elbow=0), True),
        ([60, 10, 40, 60], changed(STANDING, left_elbow=0), True),
        ([20, 0.9, 40, 60], changed(STANDING, left_elbow=0), True),
        ([20, 10, 40, 69.1], changed(STANDING, left_elbow=0), True),
        ([65, 10, 35, 20], changed(STANDING, left_elbow=0), True),
        ([45, 10, 20, 60], changed(STANDING, left_elbow=0), False),
        ([20, 10, 40, 60], changed(STANDING, left_elbow=0), False),  # the border is far
        ([0, 10, 40, 60], STANDING, False),  # stands at the border, all of them inside
        ([0, 10, 40, 60], changed(STANDING, left_ear=0, nose=0), False),  # a head that is turned away
    ],
)
def test_cut_by_the_border(box: list[float], points: list[float], cut: bool) -> None:
    assert tally(document([{"keypoints": points, "bbox": box}])).cut.tolist() == [cut]


@pytest.mark.parametrize(
    ("points", "view"),
    [
        (STANDING, "front"),
        (moved(STANDING, [[-1, 0], [0, 1]]), "back"),
        (moved(STANDING, [[0.2, 0], [0, 1]]), "side"),
        (moved(STANDING, [[0, -1], [1, 0]]), "front"),  # lies on one side
        (moved(STANDING, [[-1, 0], [0, -1]]), "front"),  # stands on the head
        (moved(STANDING, [[1, 0], [0, -1]]), "back"),  # on the head, turned away
        (changed(STANDING, left_hip=0), "unknown"),
        (changed(STANDING, right_shoulder=0), "unknown"),
        (moved(STANDING, [[1, 0], [0, 0]]), "unknown"),  # no trunk to go by
    ],
)
def test_views_follow_from_the_order_of_the_shoulders(points: list[float], view: str) -> None:
    assert [VIEWS[index] for index in tally(document([{"keypoints": points}])).views] == [view]


@given(st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 2), min_size=17, max_size=17)), max_size=12))
def test_counts_add_up(people: list[tuple[int, list[int]]]) -> None:
    entries = []
    for image, visibilities in people:
        rows = np.array(STANDING, float).reshape(17, 3)
        rows[:, 2] = visibilities
        entries.append({"image_id": image, "keypoints": rows.ravel().tolist()})
    counted = tally(document(entries, images=5))
    found = counted.as_document()
    assert found["people"] + found["unlabelled"] == len(people)
    assert sum(found["people_per_image"].values()) == 5
    assert sum(int(n) * images for n, images in found["people_per_image"].items()) == found["people"]
    assert sum(found["joints"].values()) == 17 * found["people"]
    assert sum(found["views"].values()) == sum(found["height_histogram"]) == found["people"]
    twice = join([counted, counted]).as_document()
    assert twice["images"] == 10
    assert twice["people"] == 2 * found["people"]
    assert twice["share_joints_occluded"] == found["share_joints_occluded"]


def test_a_split_without_people_has_no_shares_of_them() -> None:
    found = tally(document([], images=2)).as_document()
    assert found["people"] == 0
    assert found["height_share"] is found["share_joints_occluded"] is found["share_cut_by_border"] is None
    assert found["people_per_image"] == {"0": 2}
    assert share(0, 0) is None


def test_synthetic_people_by_split(tmp_path) -> None:
    generate(tmp_path / "set", images=20, seed=2, size=(160, 120))
    found = folder_stats(tmp_path / "set")
    assert {name: len(split.sizes) for name, split in found.items()} == {"select": 2, "train": 16, "val": 2}
    total = join(list(found.values())).as_document()
    assert total["image_sizes"] == {"160x120": 20}
    assert "0" not in total["people_per_image"] or total["unlabelled"]
    assert total["views"]["front"]


def test_real_people(coco_mini) -> None:
    found = {name: split.as_document() for name, split in folder_stats(coco_mini).items()}
    counted = check(coco_mini).splits
    for name, counts in counted.items():
        assert {key: found[name][key] for key in counts} == counts
    train = found["train"]
    assert (train["images"], train["people"], train["unlabelled"], train["crowds"]) == (50, 66, 60, 5)
    assert train["crowds_rle"] == 5
    assert train["views"]["front"] > train["views"]["back"] > 0


def test_faults_are_errors_or_left_out(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=3)
    bad = coco_builder.person("train", 1, keypoints=[1.0, 2.0, 2])
    folder = coco_builder.write()
    with pytest.raises(DataError, match=str(bad["id"])):
        folder_stats(folder)
    heard = []
    found = folder_stats(folder, skip_bad=True, on_left_out=lambda file, left_out: heard.append((file, bool(left_out))))
    assert len(found["train"].sizes) == 2
    assert heard == [(coco_builder.file("train"), True)]
    with pytest.raises(DataError, match="no such folder"):
        folder_stats(folder / "nowhere")


def test_other_keypoints_are_counted_by_their_names_and_have_no_view() -> None:
    thing = document([{"keypoints": [30, 20, 2, 40, 30, 1, 0, 0, 0]}, {"keypoints": [30, 20, 2, 0, 0, 0, 0, 0, 0]}])
    thing["categories"] = [{"id": 1, "name": "hand", "keypoints": ["wrist", "thumb", "nose"]}]
    counted = tally(thing)
    assert counted.parts == [("wrist", [0, 0, 2]), ("thumb", [1, 1, 0]), ("nose", [2, 0, 0])]
    assert (counted.views == VIEWS.index("unknown")).all()
    assert counted.as_document()["parts"]["thumb"] == {"visible": 0, "occluded": 1, "unlabelled": 1}
    assert join([counted, counted]).keypoints == ("wrist", "thumb", "nose")


def test_splits_may_list_their_keypoints_in_another_order_or_not_at_all(tmp_path) -> None:
    builder = write_set(tmp_path, ["wrist", "thumb", "nose"])
    for entry in builder.split("train")["annotations"]:
        entry |= {"keypoints": [*entry["keypoints"][:6], 0, 0, 0], "num_keypoints": 2}
    plain = folder_stats(builder.write())
    assert plain["train"].joints.tolist() == [[0, 0, 9], [0, 0, 9], [9, 0, 0]]
    category = builder.split("train")["categories"][0]
    category["keypoints"] = ["thumb", "nose", "Wrist"]
    found = folder_stats(builder.write())
    assert found["train"].keypoints == found["val"].keypoints == ("thumb", "nose", "Wrist")
    category["keypoints"] = ["wrist", "thumb", "nose"]
    listed = builder.split("val")["categories"][0]
    listed["keypoints"] = ["nose", "thumb", "wrist"]
    for entry in builder.split("val")["annotations"]:
        entry |= {"keypoints": [*entry["keypoints"][:6], 0, 0, 0], "num_keypoints": 2}
    total = join(list(folder_stats(builder.write()).values()))
    assert dict(total.parts) == {"wrist": [9, 0, 9], "thumb": [0, 0, 18], "nose": [9, 0, 9]}
    del listed["keypoints"]
    assert folder_stats(builder.write())["val"].joints.tolist() == [[0, 0, 9], [0, 0, 9], [9, 0, 0]]
    listed["keypoints"] = ["nose", "thumb", "palm"]
    with pytest.raises(DataError, match=r"val2017\.json: its keypoints are not those needed: it has 3 \(nose"):
        folder_stats(builder.write())
