"""Skeletons of data sets: COCO's person, limbs from files, what is derived and said, and what users choose."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posemodel.config import DataFiles
from posemodel.data.annotations.skeletons import (
    NO_CHOICE,
    SkeletonChoice,
    _one_sided,
    build_skeleton,
    read_choice,
    with_chosen_sigmas,
)
from posemodel.data.annotations.spanning_limbs import Distances
from posemodel.data.layout import DataSet, fingerprint
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, COCO_SKELETON
from tests.support.coco_builder import CocoBuilder

HAND = ("wrist", "thumb", "index", "middle")
OBJECTS = np.array([[[0, 0, 2], [10, 0, 2], [19, 0, 2], [40, 0, 2]]], np.float32)


def hand(pairs: Any = None, choice: SkeletonChoice = NO_CHOICE) -> Any:
    return build_skeleton("hand", HAND, pairs, OBJECTS, choice)


def test_coco_keypoints_are_coco_person_whatever_limbs_the_file_has() -> None:
    names = [name.replace("_", " ").title() for name in COCO_KEYPOINTS]
    for pairs in (None, COCO_SKELETON, [[1, 2]]):
        assert build_skeleton("human", names, pairs, np.zeros((0, 17, 3))) is COCO_PERSON
    assert build_skeleton("human", COCO_KEYPOINTS, choice=SkeletonChoice(category="human")) is COCO_PERSON


def test_what_is_chosen_for_coco_person_changes_nothing_else() -> None:
    sigmas = tuple(np.linspace(0.1, 0.2, 17).tolist())
    chosen = build_skeleton("person", COCO_KEYPOINTS, choice=SkeletonChoice(sigmas=sigmas, mirror=()))
    assert (chosen.sigmas, chosen.flips) == (sigmas, False)
    assert (chosen.limbs, chosen.parts) == (COCO_PERSON.limbs, COCO_PERSON.parts)
    one = build_skeleton("person", COCO_KEYPOINTS, choice=SkeletonChoice(sigma_of=(("Nose", 0.5),)))
    assert one.sigmas == (0.5, *COCO_PERSON.sigmas[1:])
    star = SkeletonChoice(limbs=tuple(("neck", name) for name in COCO_KEYPOINTS))
    drawn = build_skeleton("person", COCO_KEYPOINTS, choice=star)
    assert (drawn.derived, drawn.num_limbs, drawn.num_parts) == (COCO_PERSON.derived, 17, 18)


@pytest.mark.parametrize(
    ("pairs", "limbs", "remark"),
    [
        ([[1, 2], [1, 3], [1, 4]], ((0, 1), (0, 2), (0, 3)), ""),
        ([[0, 1], [0, 2], [0, 3]], ((0, 1), (0, 2), (0, 3)), "counts keypoints from 0"),
        ([[0, 1], [1, 2], [1, 3], [1, 4]], ((0, 1), (0, 2), (0, 3)), "1 of the 4 entries"),
        ([["wrist", "thumb"], ["wrist", "Index"], ["wrist", "middle"]], ((0, 1), (0, 2), (0, 3)), ""),
        ([[1, 2], [2, 1], [2, 2], [1, 3], [1, 4], [9, 1]], ((0, 1), (0, 2), (0, 3)), "3 of the 6 entries"),
        ([[0, 0], [1, 2], [1, 3], [2, 2], [0, 0], [1, 4]], ((0, 1), (0, 2), (0, 3)), "3 of the 6 entries"),
        (
            [[1, 2], [2, 3], [1, 3]],
            ((0, 1), (1, 2), (0, 2), (2, 3)),
            "neither 0 nor 4: its numbers are taken",
        ),
        ([[1, 2], "x", [1], [1, 3], [1.0, 4], [None, 2]], ((0, 1), (0, 2), (0, 3)), "3 of the 6 entries"),
    ],
)
def test_limbs_of_files(pairs: Any, limbs: Any, remark: str) -> None:
    skeleton = hand(pairs)
    assert skeleton.limbs == limbs
    assert remark in " ".join(each for each in skeleton.remarks if each.startswith("limbs"))


def test_limbs_that_name_points_beyond_the_keypoints_belong_to_others() -> None:
    """CrowdPose lists 14 points with the pairs of COCO's 17, of which some fit by chance."""
    skeleton = hand([[16, 14], [15, 13], [1, 4], [2, 3]])
    assert len(skeleton.limbs) == 3
    assert "2 of the 4 entries" in skeleton.remarks[0] and "is not used" in skeleton.remarks[0]
    assert "0 given" in skeleton.remarks[1]


@pytest.mark.parametrize("pairs", [None, [], "1-2", {"a": 1}, 7])
def test_limbs_that_a_file_lacks_are_derived(pairs: Any) -> None:
    skeleton = hand(pairs)
    assert skeleton.limbs == ((1, 2), (0, 1), (2, 3))
    said = " ".join(skeleton.remarks)
    assert "limbs: 0 given; 3 added by a minimum spanning tree" in said
    assert ("no list of pairs" in said) is (pairs not in (None, []))


def test_limbs_that_leave_parts_unconnected_are_completed() -> None:
    skeleton = hand([[1, 4]])
    assert skeleton.limbs == ((0, 3), (1, 2), (0, 1))
    assert any("limbs: 1 given; 2 added" in remark for remark in skeleton.remarks)


def test_one_keypoint_has_no_limbs() -> None:
    skeleton = build_skeleton("cell", ["centre"], None, np.array([[[5, 5, 2]]]))
    assert (skeleton.limbs, skeleton.num_pafs) == ((), 0)
    assert not any(remark.startswith("limbs") for remark in skeleton.remarks)


def test_sigmas_are_cocos_by_name_and_else_one_published_default() -> None:
    skeleton = build_skeleton("dog", ["Left Eye", "right-eye", "nose", "tail"])
    assert skeleton.sigmas == (*COCO_PERSON.sigmas[1:3], COCO_PERSON.sigmas[0], 0.05)
    assert any("COCO's for 3 with its names, 0.05 (OpenPifPaf's for cars) for 1" in each for each in skeleton.remarks)
    assert skeleton.mirror == (("Left Eye", "right-eye"),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "sigmas: 0.05 (OpenPifPaf's for cars) for 4; AP depends on them: --sigmas FILE gives others"),
        (("thumb", "index"), "sigmas: 2 given; 0.05 (OpenPifPaf's for cars) for 2; AP depends on them: "),
        (HAND, ""),
    ],
)
def test_it_is_said_which_sigmas_are_nobody_s(given: Any, said: str) -> None:
    skeleton = hand([[1, 2], [2, 3], [3, 4]], SkeletonChoice(sigma_of=tuple((name, 0.1) for name in given)))
    remarks = [remark for remark in skeleton.remarks if remark.startswith("sigmas: ")]
    assert [remark[: len(said)] for remark in remarks] == [said] * bool(said)


def test_a_network_s_skeleton_takes_the_chosen_sigmas() -> None:
    own = build_skeleton("hand", HAND, None, OBJECTS, SkeletonChoice(sigmas=(0.1, 0.2, 0.3, 0.4)))
    assert with_chosen_sigmas(own, NO_CHOICE) is own
    assert with_chosen_sigmas(own, SkeletonChoice(sigma_of=(("index", 0.9),))).sigmas == (0.1, 0.2, 0.9, 0.4)
    assert with_chosen_sigmas(own, SkeletonChoice(sigmas=(1.0,) * 4)).sigmas == (1.0,) * 4
    with pytest.raises(DataError, match="there are 1, but 4 keypoints"):
        with_chosen_sigmas(own, SkeletonChoice(sigmas=(1.0,)))


def test_without_mirror_pairs_pictures_are_not_flipped_and_it_is_said() -> None:
    assert not hand().flips
    assert "no mirror pairs in the names: pictures are not flipped" in hand().remarks


def test_a_point_on_one_side_without_a_partner_forbids_flips() -> None:
    names = ["left_eye", "right_eye", "nose", "cheek"]
    faces = np.tile(np.array([[10, 0, 2], [0, 0, 2], [5, 5, 2], [0, 3, 2]], np.float32), (40, 1, 1))
    skeleton = build_skeleton("face", names, None, faces)
    assert not skeleton.flips
    assert any("pictures are not flipped: cheek lie on one side" in each for each in skeleton.remarks)
    given = SkeletonChoice(mirror=(("left_eye", "right_eye"),))
    assert build_skeleton("face", names, None, faces, given).flips
    assert build_skeleton("face", names, None, faces[:10]).flips, "too few to tell"
    assert build_skeleton("face", names[:3], None, faces[:, :3]).mirror == (("left_eye", "right_eye"),)


@pytest.mark.parametrize(
    ("with_left", "with_right", "right", "one_sided"),
    [(30, 30, 0.29, False), (30, 30, 0.31, True), (29, 99, 0.9, False), (99, 29, 0.9, False)],
)
def test_a_part_lies_on_one_side_if_enough_objects_say_so(
    with_left: int, with_right: int, right: float, *, one_sided: bool
) -> None:
    """Twice as far from one of a pair as from the other, in the mean of 30 objects that have both labelled."""
    skeleton = build_skeleton("face", ["left_eye", "right_eye", "mark"], [[1, 2], [2, 3]])
    mean, together = np.full((3, 3), 0.15), np.full((3, 3), 99)
    mean[2, 1], together[2, :2] = right, (with_left, with_right)
    assert _one_sided(skeleton, Distances(mean, together, 99)) == ["mark"] * one_sided
    mean[2, :2], together[2, :2] = mean[2, 1::-1], together[2, 1::-1]
    assert _one_sided(skeleton, Distances(mean, together, 99)) == ["mark"] * one_sided


def chosen_in(folder: Path, text: str, **files: Any) -> SkeletonChoice:
    (folder / "skeleton.toml").write_text(text)
    return read_choice(DataSet(folder, DataFiles(**files)))


WHOLE = """
name = "paw"
category = "dog"
keypoints = ["left toe", "right toe", "heel"]
limbs = [["heel", "left_toe"], ["heel", "right toe"], ["heel", "middle"]]
mirror = [["left toe", "right toe"]]
sigmas = { heel = 0.2 }
[derived]
middle = ["left toe", "right toe"]
"""


def test_a_skeleton_file_in_the_data_folder(tmp_path: Path) -> None:
    assert read_choice(DataSet(tmp_path)) == NO_CHOICE
    choice = chosen_in(tmp_path, WHOLE)
    assert choice.category == "dog"
    skeleton = build_skeleton("anything", choice.keypoints or (), None, None, choice)
    assert skeleton.name == "paw"
    assert skeleton.keypoints == ("left toe", "right toe", "heel")
    assert skeleton.parts == ("left toe", "right toe", "heel", "middle")
    assert skeleton.limbs == ((2, 0), (2, 1), (2, 3))
    assert skeleton.mirror == (("left toe", "right toe"),)
    assert skeleton.sigmas == (0.05, 0.05, 0.2)
    np.testing.assert_array_equal(
        skeleton.to_parts(np.array([[[0, 0, 2], [4, 2, 1], [9, 9, 2]]], np.float32))[0, 3], (2, 1, 1)
    )


def test_files_that_are_named_count_more(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('category = "cat"\nsigmas = [0.1]')
    (tmp_path / "sigmas.json").write_text("[0.3, 0.4]")
    own = chosen_in(tmp_path, WHOLE, skeleton_file=tmp_path / "own.toml")
    assert (own.category, own.sigmas, own.keypoints) == ("cat", (0.1,), None)
    both = chosen_in(tmp_path, WHOLE, category="cow", sigmas=tmp_path / "sigmas.json")
    assert (both.category, both.sigmas, both.sigma_of) == ("cow", (0.3, 0.4), ())
    assert len({own.digest, both.digest, chosen_in(tmp_path, WHOLE).digest, ""}) == 4
    assert chosen_in(tmp_path, "# nothing").digest == ""


@pytest.mark.parametrize(
    ("name", "text", "in_order", "by_name"),
    [
        ("a.json", "[0.1, 0.2]", (0.1, 0.2), ()),
        ("a.json", '{"left eye": 0.1}', None, (("left eye", 0.1),)),
        ("a.toml", "sigmas = [0.1, 0.2]", (0.1, 0.2), ()),
        ("a.json", '{"sigmas": [0.1, 2]}', (0.1, 2.0), ()),
        ("a.json", '{"sigmas": {"wrist": 0.1}}', None, (("wrist", 0.1),)),
        ("a.toml", "wrist = 0.1", None, (("wrist", 0.1),)),
        ("a.txt", "0.1\n0.2  # thumb\n\n", (0.1, 0.2), ()),
        ("a.txt", "0.1, 0.2; 1e-1", (0.1, 0.2, 0.1), ()),
        ("a.csv", "left eye, 0.1\nnose: 0.2\n'k_3' = .3", None, (("left eye", 0.1), ("nose", 0.2), ("k_3", 0.3))),
    ],
)
def test_forms_of_sigmas(tmp_path: Path, name: str, text: str, in_order: Any, by_name: Any) -> None:
    (tmp_path / name).write_text(text)
    choice = read_choice(DataSet(tmp_path, DataFiles(sigmas=tmp_path / name)))
    assert (choice.sigmas, choice.sigma_of) == (in_order, by_name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('limb = [["wrist", "thumb"]]', ["skeleton.toml: limb", "Did you mean limbs?"]),
        ('limbs = [["wrist"]]', ["skeleton.toml: limbs.0", "pairs of names"]),
        ("limbs = [[1, 2]]", ["skeleton.toml: limbs.0.0", "names"]),
        ('limbs = [["wrist", "thum"]]', ["limbs: there is no point 'thum'.", "Did you mean thumb?"]),
        ('limbs = [["wrist", "wrist"]]', ["limbs: pairs wrist with itself"]),
        ('mirror = [["wrist", "thumb"], ["wrist", "index"]]', ["mirror: names wrist in two pairs"]),
        ('derived = { palm = ["wrist", "pinky"] }', ["derived.palm", "'pinky'"]),
        ('derived = { wrist = ["thumb"] }', ["skeleton.toml", "a name stands for two points"]),
        ("sigmas = [0.1, 0.2]", ["sigmas: there are 2, but 4 keypoints"]),
        ("sigmas = [0.1, 0.2, 0.3, 0]", ["skeleton.toml: sigmas.3", "above 0"]),
        ("sigmas = { pinky = 0.1 }", ["sigmas: there is no point 'pinky'"]),
        ("sigmas = 0.1", ["skeleton.toml: sigmas"]),
        ("limbs = [", ["skeleton.toml: is not valid TOML"]),
    ],
)
def test_errors_name_file_field_and_remedy(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        hand(choice=chosen_in(tmp_path, text))
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "[0.1", "not valid JSON"),
        ("a.txt", "0.1\nthumb\n", "a.txt:2: sigmas: `thumb` ends in no number"),
        ("a.txt", "0.1\nthumb 0.2\n", "some lines have a name"),
        ("none.txt", None, "none.txt: cannot be read"),
        ("a.json", "[-1]", "a.json: sigmas.0"),
        ("a.json", "[NaN]", "a.json: sigmas.0"),
        ("a.json", "[true]", "a.json: sigmas.0"),
        ("a.toml", "wrist = true", "a.toml: sigmas.wrist"),
    ],
)
def test_unusable_files_of_sigmas(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words.replace(".", r"\.")):
        read_choice(DataSet(tmp_path, DataFiles(sigmas=tmp_path / name)))


def test_a_choice_has_the_same_digest_as_in_earlier_versions() -> None:
    """Caches and records hold it: where it changes, they are of another choice."""
    assert NO_CHOICE.digest == SkeletonChoice(file="skeleton.toml").digest == ""
    assert SkeletonChoice(category="dog", mirror=(("a", "b"),)).digest == "831002eccfc509d4"


def test_files_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "skeleton.toml").write_bytes("name = 'Löwe'".encode("latin-1"))
    with pytest.raises(DataError, match=r"skeleton\.toml: is not UTF-8 text: save it as UTF-8"):
        read_choice(DataSet(tmp_path))
    with pytest.raises(DataError, match=r"x: cannot be read \(File name too long\)"):
        read_choice(DataSet(tmp_path / ("x" * 300)))


def test_the_fingerprint_of_a_data_set_counts_what_is_said_about_its_keypoints(tmp_path: Path) -> None:
    builder = CocoBuilder(tmp_path / "set")
    builder.fill("train", images=2)
    folder = builder.write()
    plain = fingerprint(folder)
    assert fingerprint(DataSet(folder, DataFiles(category="person"))) != plain
    (folder / "skeleton.toml").write_text("")
    assert fingerprint(folder) == plain
    (folder / "skeleton.toml").write_text("mirror = []")
    assert fingerprint(folder) not in (plain, fingerprint(DataSet(folder, DataFiles(category="person"))))


def test_unused_settings_are_not_stored() -> None:
    assert [*DataFiles().model_dump()] == ["train_annotations", "train_images", "val_annotations", "val_images"]
    stored = DataFiles(category="dog", sigmas=Path("s.json")).model_dump_json(exclude_none=True)
    assert json.loads(stored) == {"category": "dog", "sigmas": "s.json"}


def test_given_mirror_pairs_that_the_names_contradict_are_said() -> None:
    names = ["nose", "L_eye", "R_eye", "L_ear", "R_ear"]

    def remarks(*mirror: tuple[str, str]) -> str:
        choice = SkeletonChoice(mirror=mirror)
        return " ".join(each for each in build_skeleton("dog", names, choice=choice).remarks if "mirror" in each)

    said = remarks(("R_eye", "L_eye"))
    assert "the first is the right one of L_eye/R_eye" in said
    assert "lack L_ear/R_ear" in said
    assert remarks(("L_eye", "R_eye"), ("L_ear", "R_ear")) == ""
    assert remarks() == ""
