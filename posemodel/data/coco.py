"""COCO keypoint annotations as packed arrays: an image's people, its ignore mask and its pixels by position.

Everything is held in a few NumPy arrays instead of Python objects, so that forked workers share the memory (no
reference counts are touched), and pickling hands the arrays to spawned workers through shared memory.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from posemodel import skeleton
from posemodel.data.image_files import decoded, file_fault
from posemodel.data.layout import SplitFiles, find_split, id_hash, in_select, require_split
from posemodel.data.left_out import NOTHING, LeftOut, sound_part, summed
from posemodel.data.problems import person_categories
from posemodel.data.segmentation import SegmentPacker, starts
from posemodel.errors import DataError


@dataclass(frozen=True, eq=False)
class PackedSplit:
    """One split. Images are addressed by position 0..len-1; a person is a non-crowd annotation with labelled keypoints.

    image_ids (N,) int64; sizes (N, 2) int32 width, height; names: all file names joined, name_start (N + 1,).
    person_start (N + 1,): rows of ``keypoints`` (P, 17, 3) float32 in COCO's order, as annotated.
    Segments are kept only for images with something to ignore. region_start (N + 1,): rows of region_ignored (R,) bool
    (True: a crowd or a person without keypoints; False: a labelled person, who is never ignored). A region is polygons
    (region_polygon_start (R + 1,) -> polygon_start (Q + 1,) -> points (K, 2) float64) or compressed RLE
    (region_rle_start (R + 1,) -> rle bytes).
    """

    name: str
    annotations: str
    folder: str
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int32]
    names: NDArray[np.uint8]
    name_start: NDArray[np.int64]
    person_start: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    region_start: NDArray[np.int64]
    region_ignored: NDArray[np.bool_]
    region_polygon_start: NDArray[np.int64]
    polygon_start: NDArray[np.int64]
    points: NDArray[np.float64]
    region_rle_start: NDArray[np.int64]
    rle: NDArray[np.uint8]
    chosen: NDArray[np.int64] | None = None
    """Positions kept of the whole split (see ``subset``); None keeps all."""
    left_out: LeftOut = NOTHING
    """What of the annotation file was left out as bad; a derived split shares its file with another."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shared", {})

    def __len__(self) -> int:
        return len(self.image_ids) if self.chosen is None else len(self.chosen)

    def __getstate__(self) -> dict[str, Any]:
        # Tensors in shared memory travel to spawned workers by handle; NumPy arrays would be copied into each. The
        # tensors are kept, so that the next epoch's workers map the same memory.
        if not self._shared:
            for field in fields(self):
                value = getattr(self, field.name)
                if isinstance(value, np.ndarray):
                    tensor = torch.from_numpy(value).share_memory_()
                    self._shared[field.name] = tensor
                    object.__setattr__(self, field.name, tensor.numpy())
        return {field.name: self._shared.get(field.name, getattr(self, field.name)) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "_shared", {})
        for key, value in state.items():
            object.__setattr__(self, key, value.numpy() if isinstance(value, torch.Tensor) else value)

    def _row(self, position: int) -> int:
        return position if self.chosen is None else int(self.chosen[position])

    def subset(self, positions: Iterable[int]) -> "PackedSplit":
        """The same arrays seen through a choice of positions (no copy)."""
        return replace(self, chosen=np.array([self._row(p) for p in positions], dtype=np.int64))

    def labelled_only(self) -> "PackedSplit":
        """Only the images with at least one labelled person."""
        return self.subset(p for p in range(len(self)) if self.people_count(p))

    def digest(self) -> str:
        """A short digest of the ids of the images: tells one choice of images from another."""
        ids = self.image_ids if self.chosen is None else self.image_ids[self.chosen]
        return hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()[:16]

    def image_id(self, position: int) -> int:
        """COCO's id of the image."""
        return int(self.image_ids[self._row(position)])

    def size(self, position: int) -> tuple[int, int]:
        """Annotated (width, height) in pixels."""
        width, height = self.sizes[self._row(position)]
        return int(width), int(height)

    def path(self, position: int) -> Path:
        """The image file."""
        row = self._row(position)
        return Path(self.folder, self.names[self.name_start[row] : self.name_start[row + 1]].tobytes().decode())

    def people_count(self, position: int) -> int:
        """Number of labelled people."""
        row = self._row(position)
        return int(self.person_start[row + 1] - self.person_start[row])

    def coco_keypoints(self, position: int) -> NDArray[np.float32]:
        """Labelled people in COCO's order: (N, 17, 3) of x, y in pixels and visibility 0, 1, 2."""
        row = self._row(position)
        return self.keypoints[self.person_start[row] : self.person_start[row + 1]]

    def people(self, position: int) -> NDArray[np.float32]:
        """Labelled people in our order, with the neck: (N, 18, 3) of x, y in pixels and visibility 0, 1, 2."""
        return people_from_coco(self.coco_keypoints(position))

    def read_image(self, position: int) -> NDArray[np.uint8]:
        """BGR pixels (height, width, 3), without EXIF rotation; DataError unless readable and of the annotated size."""
        path = self.path(position)
        image = decoded(path)
        width, height = self.size(position)
        if image is None or image.shape[:2] != (height, width):
            fault = file_fault(path, width, height, decode=True)
            text = "cannot be decoded" if fault is None else fault.text
            raise DataError(
                f"{path}: {text} (image id {self.image_id(position)}). Mend the file or remove its entry; "
                "`posebench data check` lists every one."
            )
        return image

    def ignore_mask(self, position: int) -> NDArray[np.uint8] | None:
        """(height, width) uint8, 1 where nothing counts: crowds and people without keypoints, never a labelled person.

        None where the whole image counts.
        """
        row = self._row(position)
        first, last = int(self.region_start[row]), int(self.region_start[row + 1])
        if not self.region_ignored[first:last].any():
            return None
        width, height = self.size(position)
        ignored = np.zeros((height, width), np.uint8)
        for region in range(first, last):
            if self.region_ignored[region]:
                ignored |= self._region(region, height, width)
        for region in range(first, last):
            if not self.region_ignored[region]:
                ignored &= 1 - self._region(region, height, width)
        return ignored

    def _region(self, region: int, height: int, width: int) -> NDArray[np.uint8]:
        counts = self.rle[self.region_rle_start[region] : self.region_rle_start[region + 1]].tobytes()
        if counts:
            return coco_mask.decode({"size": [height, width], "counts": counts})
        polygons = [
            self.points[self.polygon_start[q] : self.polygon_start[q + 1]].ravel().tolist()
            for q in range(self.region_polygon_start[region], self.region_polygon_start[region + 1])
        ]
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))


def people_from_coco(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """COCO keypoints (N, 17, 3) -> people (N, 18, 3).

    The neck is the midpoint of the shoulders, not rounded, when both are labelled; its visibility is the lower one.
    """
    people = np.zeros((len(keypoints), skeleton.NUM_PARTS, 3), np.float32)
    people[:, skeleton.PART_OF_COCO] = keypoints
    right, left = people[:, skeleton.SHOULDERS[0]], people[:, skeleton.SHOULDERS[1]]
    both = (right[:, 2] > 0) & (left[:, 2] > 0)
    people[both, skeleton.NECK, :2] = (right[both, :2] + left[both, :2]) / 2
    people[both, skeleton.NECK, 2] = np.minimum(right[both, 2], left[both, 2])
    people[people[..., 2] == 0] = 0
    return people


def people_to_coco(people: NDArray[np.floating]) -> NDArray[np.float64]:
    """People (N, 18, 3) -> (N, 17, 3) in COCO's order, the neck left out."""
    return np.asarray(people, np.float64)[:, skeleton.PART_OF_COCO]


def read_document(path: Path) -> dict[str, Any]:
    """The parsed annotation file; DataError names the file and the line where it is not valid JSON."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except RecursionError as error:
        raise DataError(f"{path}: is no annotation file (its JSON is nested too deeply).") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error}).") from error
    if not isinstance(document, dict):
        raise DataError(
            f"{path}: must hold a JSON object with images, annotations and categories, "
            f"holds a {type(document).__name__}."
        )
    return document


def open_split(
    root: Path, split: str, *, hold_out_select: bool = False, skip_bad: bool = False, look_at_images: bool = True
) -> PackedSplit:
    """Read one split of a data set in COCO's standard layout.

    ``split`` is `train`, `val`, `select`, `report` or any other name with an annotation file. `select` without a file
    of its own is a fixed tenth of `train`; with ``hold_out_select`` that tenth is taken out of `train`.
    Every image file is looked at, header and end marker, unless ``look_at_images`` is False (to score what needs no
    pixels). ``skip_bad`` leaves bad images and annotations out (see ``sound_part``) and says so in ``left_out``.
    Raises DataError that lists the first bad entries and says how many there are.
    """
    files = find_split(root, split)
    derived = files is None and split == "select"
    if derived:
        files = require_split(root, "train")
    elif files is None:
        files = require_split(root, split)
    packed = pack(read_document(files.annotations), files, skip_bad=skip_bad, look_at_images=look_at_images)
    if derived:
        return replace(packed.subset(sorted(select_positions(packed))), name="select")
    train_files = find_split(root, "train")
    is_train = train_files is not None and files.annotations == train_files.annotations
    if is_train and hold_out_select and find_split(root, "select") is None:
        held_out = select_positions(packed)
        packed = packed.subset(p for p in range(len(packed)) if p not in held_out)
    return packed


def left_out_of(splits: Iterable[PackedSplit]) -> LeftOut:
    """What was left out of all annotation files behind some splits, each file counted once."""
    return summed({split.annotations: split.left_out for split in splits}.values())


def select_positions(train: PackedSplit) -> set[int]:
    """Positions of the derived `select` split in all of `train`: the images whose id's hash falls into a tenth.

    In a set so small that none of these has a labelled person, the labelled image of smallest hash joins them.
    """
    chosen = {p for p in range(len(train)) if in_select(train.image_id(p))}
    labelled = [p for p in range(len(train)) if train.people_count(p)]
    if labelled and chosen.isdisjoint(labelled):
        chosen.add(min(labelled, key=lambda p: id_hash(train.image_id(p))))
    return chosen


def pack(
    document: dict[str, Any], files: SplitFiles, *, skip_bad: bool = False, look_at_images: bool = True
) -> PackedSplit:
    """Pack a parsed annotation file; images in order of their ids. See ``open_split``."""
    folder = files.images if look_at_images else None
    document, left_out = sound_part(document, files.annotations, folder=folder, skip_bad=skip_bad)
    images = sorted(document["images"], key=lambda image: image["id"])
    row_of = {image["id"]: row for row, image in enumerate(images)}
    people_of: list[list[dict[str, Any]]] = [[] for _ in images]
    ignored_of: list[list[dict[str, Any]]] = [[] for _ in images]
    person_ids = person_categories(document)
    for annotation in document["annotations"]:
        if annotation["category_id"] not in person_ids:
            continue
        labelled = not annotation.get("iscrowd", 0) and any(v > 0 for v in annotation["keypoints"][2::3])
        (people_of if labelled else ignored_of)[row_of[annotation["image_id"]]].append(annotation)

    if left_out and not any(people_of):
        raise DataError(f"{files.annotations}: no labelled person is left; left out as bad: {left_out}.")

    segments = SegmentPacker()
    for row, image in enumerate(images):
        # A labelled person's segment matters only where it could be ignored.
        if ignored_of[row]:
            for annotation in ignored_of[row]:
                segments.add(annotation["segmentation"], image["height"], image["width"], ignored=True)
            for annotation in people_of[row]:
                segments.add(annotation["segmentation"], image["height"], image["width"], ignored=False)
        segments.end_image()

    names = [image["file_name"].encode() for image in images]
    keypoints = [a["keypoints"] for people in people_of for a in people]
    return PackedSplit(
        name=files.name,
        annotations=str(files.annotations),
        folder=str(files.images),
        image_ids=np.array([image["id"] for image in images], np.int64),
        sizes=np.array([(image["width"], image["height"]) for image in images], np.int32).reshape(-1, 2),
        names=np.frombuffer(bytearray(b"".join(names)), np.uint8),
        name_start=starts(len(name) for name in names),
        person_start=starts(len(people) for people in people_of),
        keypoints=np.array(keypoints, np.float32).reshape(-1, skeleton.NUM_COCO_KEYPOINTS, 3),
        **segments.arrays(),
        left_out=left_out,
    )
