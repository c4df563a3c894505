"""Speed comparisons of a generated skeleton with many parts."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.speed import decode, index, sample
from bench.speed.everything import Request
from bench.speed.parts import chain, max_ratio, with_chains
from posemodel.data.open_split import open_split
from tests.support.long_tests import long


def test_a_chain_has_a_limb_from_each_part_to_the_next() -> None:
    skeleton = chain(133)
    assert (skeleton.num_keypoints, skeleton.num_parts, skeleton.num_limbs) == (133, 133, 132)
    assert (chain(1).num_parts, chain(1).num_limbs) == (1, 0)


def test_chains_fill_the_boxes_of_people() -> None:
    people = np.zeros((2, 4, 3), np.float32)
    people[0, :3] = (10, 20, 2), (30, 25, 1), (15, 60, 2)
    chains = with_chains(people, 40)
    assert chains.shape == (2, 40, 3)
    assert chains[0, :, :2].min(axis=0).tolist() == [10, 20]
    assert chains[0, :, 0].max() == pytest.approx(30, abs=2)
    assert chains[0, :, 1].max() == 60
    assert (chains[0, :, 2] == 2).all()
    assert len(np.unique(chains[0, :, :2], axis=0)) == 40
    assert not chains[1].any()


def test_costs_may_grow_with_the_number_of_parts() -> None:
    assert max_ratio(133, 19) == 7
    assert max_ratio(3, 18) == 1


def test_decoding_and_targets_of_many_parts_are_compared(tiny_set: Path) -> None:
    row = decode.measure(tiny_set, parts=40, repeats=3)[-1]
    assert (row.name, row.yardstick) == ("decode 40 parts", "decode 18 parts")
    assert (row.facts["parts"], row.facts["limbs"], row.max_ratio) == (40, 39, 40 / 18)
    assert row.facts["found"] >= row.facts["people"] > 0
    targets = sample.measure(tiny_set, parts=40, repeats=3)[-1]
    assert (targets.name, targets.yardstick) == ("targets of 40 parts", "targets of 18 parts")
    json.dumps([row.as_row(), targets.as_row()], allow_nan=False)


def test_chains_are_decoded(tiny_set: Path) -> None:
    """What is timed is work that succeeds."""
    split = open_split(tiny_set, "train").labelled_only()
    people = with_chains(split.people(0), 20) * (3, 3, 1)
    scene = decode._scene(people.astype(np.float32), 0, chain(20))
    found = decode._decoding(scene)()
    assert len(found.people) == len(people)
    assert ((found.people[..., 2] > 0).sum(axis=1) == 20).all()


def test_annotations_of_many_keypoints_are_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SCENES", 4)
    file, written = index.write_annotations(tmp_path, images=20, people=12, parts=40)
    document = json.loads(file.read_text())
    (category,) = document["categories"]
    assert (category["name"], len(category["keypoints"]), category["skeleton"][:2]) == ("chain", 40, [[1, 2], [2, 3]])
    assert written == len(document["annotations"])
    assert {len(each["keypoints"]) for each in document["annotations"]} == {120}
    split = open_split(tmp_path, "train", look_at_images=False)
    assert split.skeleton.keypoints == chain(40).keypoints
    assert split.skeleton.limbs == chain(40).limbs
    assert split.truth.keypoints.shape[1:] == (40, 3)


@pytest.mark.parametrize("images", [300, long(1500)])
def test_the_limits_of_an_index_are_those_of_coco_for_each_keypoint(
    monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    monkeypatch.setattr(index, "SCENES", 4)
    monkeypatch.setattr(index, "_in_new_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(index, "_worker_pss", lambda *_: None)
    first, cached = index.measure(images=images, people=images - 20, parts=34, repeats=3)
    assert (first.facts["keypoints"], cached.facts["asked_resident_mb"]) == (34, 2 * index.MAX_RESIDENT_MB)
    assert first.max_ratio == index.MAX_FIRST_RATIO
    json.dumps([first.as_row(), cached.as_row()], allow_nan=False)


def test_parts_are_part_of_a_request() -> None:
    request = Request(None, None, 3, parts=133)  # type: ignore[arg-type]
    assert request.parts == 133
