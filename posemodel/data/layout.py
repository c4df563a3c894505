"""Where a data set's files are: COCO's standard folder layout and the names of its splits."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from posemodel.errors import DataError

SELECT_SHARE = 10
"""One train image in ten (by hash of its id) is the `select` split where a data set has no such split of its own."""

_CHUNK = 1 << 20
"""Bytes of an annotation file that are in memory at once for its digest."""


@dataclass(frozen=True)
class SplitFiles:
    """The annotation file and the image folder of one split."""

    name: str
    annotations: Path
    images: Path


def _annotation_file(root: Path, folder_name: str) -> Path:
    return root / "annotations" / f"person_keypoints_{folder_name}.json"


def split_names(root: Path) -> list[str]:
    """Names of the splits that have an annotation file below ``root`` (`train2017` is `train`), sorted."""
    files = (root / "annotations").glob("person_keypoints_*.json")
    return sorted({file.stem.removeprefix("person_keypoints_").removesuffix("2017") for file in files})


def find_split(root: Path, split: str) -> SplitFiles | None:
    """Files of a split that exists as such, else None. `report` is COCO's `val` unless the data set has its own."""
    names = [split, "val"] if split == "report" else [split]
    for name in names:
        for folder_name in (f"{name}2017", name):
            annotations = _annotation_file(root, folder_name)
            try:
                there = annotations.exists()  # a folder too: who reads it says so
            except OSError as error:
                raise DataError(f"{annotations}: cannot be read ({error.strerror}).") from error
            if there:
                return SplitFiles(name, annotations, root / "images" / folder_name)
    return None


def require_split(root: Path, split: str) -> SplitFiles:
    """Files of a split; raises DataError that says what there is instead."""
    if not root.is_dir():
        state = "is no folder" if root.exists() else "no such folder"
        raise DataError(
            f"{root}: {state}. A data set is a folder with annotations/person_keypoints_train2017.json and "
            f"images/train2017/; `posebench data synth {root} --images 500` makes one."
        )
    files = find_split(root, split)
    if files is None:
        have = ", ".join(split_names(root)) or "none"
        raise DataError(
            f"{_annotation_file(root, split + '2017')}: no such file, so there is no split `{split}` "
            f"(splits here: {have})."
        )
    return files


def id_hash(image_id: int) -> int:
    """A hash of an image id that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(str(image_id).encode()).digest()[:8], "big")


def in_select(image_id: int) -> bool:
    """Whether a train image belongs to the derived `select` split: a fixed tenth by hash of the image id."""
    return id_hash(image_id) % SELECT_SHARE == 0


def fingerprint(root: Path) -> str:
    """A short digest of all annotation files: identifies a data set wherever its folder stands."""
    digest = hashlib.sha256()
    for split in split_names(root):
        files = require_split(root, split)
        digest.update(split.encode())
        if files.annotations.is_file():
            with files.annotations.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()[:16]
