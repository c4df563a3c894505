"""Write a synthetic set to disk in COCO's layout: atomically, resumably, and never over somebody's own files."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posemodel.data.synthetic.scene import render_image
from posemodel.skeleton import COCO_KEYPOINTS, COCO_SKELETON

GENERATOR_VERSION = 1
"""Raise it with every change that alters an image or an annotation: sets of two versions never mix."""

SPLITS: tuple[str, ...] = ("train", "select", "val")
HELD_OUT_SHARE = 0.1
"""Share of the images in ``select``, and again in ``val``."""

MARKER = "synthetic.json"
JPEG_QUALITY = 90
_PROGRESS = "synthetic.progress.jsonl"
_TEMPORARY = ".part"
_IDS_PER_SPLIT = 1_000_000
_IDS_PER_IMAGE = 100


def generate(
    directory: Path,
    *,
    images: int,
    seed: int,
    size: tuple[int, int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write a set of synthetic people; the same arguments give the same bytes (with the same OpenCV).

    A call that was interrupted is taken up where it stopped, files that went missing are made again, and a finished set
    returns at once. Image i of a split is the same in a set of any length.

    Args:
        directory: where ``annotations/`` and ``images/`` go; new, empty, or an earlier call's with equal arguments.
        images: over all splits; 10 % each go to ``select`` and ``val``, at least one.
        seed: any integer from 0.
        size: (width, height) of every image in pixels, each at least 32; None varies it.
        on_progress: called with (images done, images in all) after each image.

    Returns:
        The number of images in each split.

    Raises:
        ValueError: fewer than three images, a negative seed, or a size below 32 pixels.
        FileExistsError: the directory holds something else.
    """
    counts = split_sizes(images)
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    if size is not None and min(size) < 32:
        raise ValueError(f"size must be at least 32 x 32 pixels, not {size[0]} x {size[1]}")
    directory = Path(directory)
    marker: dict[str, Any] = {
        "generator": "posemodel.data.synthetic",
        "version": GENERATOR_VERSION,
        "images": images,
        "seed": seed,
        "size": list(size) if size is not None else None,
    }
    complete = _claim(directory, marker)
    if complete and _all_files_exist(directory, counts):
        return counts
    _write_json(directory / MARKER, {**marker, "complete": False})

    known = _known_annotations(directory)
    done = 0
    with (directory / _PROGRESS).open("a", encoding="utf-8") as progress:
        for split_number, split in enumerate(SPLITS):
            folder = directory / "images" / f"{split}2017"
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(f"*{_TEMPORARY}"):
                leftover.unlink()
            for index in range(counts[split]):
                image_id = _image_id(split_number, index)
                file = folder / _file_name(image_id)
                if image_id not in known or not _has_content(file):
                    encoded, known[image_id] = render_numbered(seed, split_number, index, size)
                    _write_bytes(file, encoded)
                    progress.write(json.dumps(known[image_id]) + "\n")
                    progress.flush()
                done += 1
                if on_progress is not None:
                    on_progress(done, images)
    for split_number, split in enumerate(SPLITS):
        entries = [known[_image_id(split_number, index)] for index in range(counts[split])]
        _write_json(_annotation_file(directory, split), _coco(entries))
    _write_json(directory / MARKER, {**marker, "complete": True})
    (directory / _PROGRESS).unlink()
    return counts


def split_sizes(images: int) -> dict[str, int]:
    """Deal ``images`` over the splits."""
    if images < len(SPLITS):
        raise ValueError(f"images must be at least {len(SPLITS)}, one for each of {', '.join(SPLITS)}; not {images}")
    if images > _IDS_PER_SPLIT:
        raise ValueError(f"images must be at most {_IDS_PER_SPLIT}, not {images}")
    held_out = max(1, round(HELD_OUT_SHARE * images))
    return {"train": images - 2 * held_out, "select": held_out, "val": held_out}


def render_numbered(
    seed: int, split_number: int, index: int, size: tuple[int, int] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Render image ``index`` of a split: its JPEG, and its entry {"image": ..., "annotations": [...]} with ids.

    Pure, and independent of all other images: a process pool may call it in any order.
    """
    image, annotations = render_image(np.random.default_rng([seed, split_number, index]), size=size)
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise RuntimeError("OpenCV could not encode a JPEG; this build seems to lack the codec")
    image_id = _image_id(split_number, index)
    height, width = image.shape[:2]
    for number, annotation in enumerate(annotations):
        annotation |= {"id": image_id * _IDS_PER_IMAGE + number, "image_id": image_id}
    entry = {"file_name": _file_name(image_id), "height": height, "id": image_id, "license": 0, "width": width}
    return encoded.tobytes(), {"image": entry, "annotations": annotations}


def _image_id(split_number: int, index: int) -> int:
    return (split_number + 1) * _IDS_PER_SPLIT + index


def _file_name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def _annotation_file(directory: Path, split: str) -> Path:
    return directory / "annotations" / f"person_keypoints_{split}2017.json"


def _claim(directory: Path, marker: dict[str, Any]) -> bool:
    """Check that the directory is ours to write; return whether its set was finished.

    Raises:
        FileExistsError: it is not.
    """
    if directory.is_dir():
        try:
            found = json.loads((directory / MARKER).read_text(encoding="utf-8"))
        except FileNotFoundError:
            found = None
        except ValueError:
            found = {}
        if found is None:
            if any(path.name != f"{MARKER}{_TEMPORARY}" for path in directory.iterdir()):
                raise FileExistsError(
                    f"{directory} already holds files that are no synthetic set (there is no {MARKER}): "
                    "choose a new or an empty folder"
                )
            return False
        found = found if isinstance(found, dict) else {}
        differing = [
            f"{key} {found.get(key)!r}, not {value!r}" for key, value in marker.items() if found.get(key) != value
        ]
        if differing:
            raise FileExistsError(
                f"{directory} holds a synthetic set of other parameters ({'; '.join(differing)}): "
                "choose another folder, ask for the same parameters, or remove the folder yourself"
            )
        return found.get("complete") is True
    if directory.exists():
        raise FileExistsError(f"{directory} is a file, not a folder: choose another name")
    directory.mkdir(parents=True)
    return False


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _all_files_exist(directory: Path, counts: dict[str, int]) -> bool:
    for split_number, split in enumerate(SPLITS):
        folder = directory / "images" / f"{split}2017"
        if not _has_content(_annotation_file(directory, split)) or not folder.is_dir():
            return False
        present = {entry.name for entry in os.scandir(folder) if entry.stat().st_size > 0}
        if any(_file_name(_image_id(split_number, index)) not in present for index in range(counts[split])):
            return False
    return True


def _known_annotations(directory: Path) -> dict[int, dict[str, Any]]:
    """Entries (as of ``render_numbered``) by image id that an earlier call has left, finished or not."""
    return {entry["image"]["id"]: entry for entry in _left_entries(directory)}


def _left_entries(directory: Path) -> Iterator[dict[str, Any]]:
    for split in SPLITS:
        try:
            content = json.loads(_annotation_file(directory, split).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        yield from ({"image": image, "annotations": by_image[image["id"]]} for image in content["images"])
    progress = directory / _PROGRESS
    if not progress.exists():
        return
    kept = progress.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]  # a line that an interruption tore must not tear the next
    _write_bytes(progress, kept)
    yield from (json.loads(line) for line in kept.splitlines())


def _coco(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """One split's annotation file."""
    return {
        "info": {"description": "Synthetic people of posemodel.data.synthetic", "version": str(GENERATOR_VERSION)},
        "licenses": [{"id": 0, "name": "Synthetic: no photograph, no person", "url": ""}],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(COCO_KEYPOINTS),
                "skeleton": [list(pair) for pair in COCO_SKELETON],
            }
        ],
        "images": [entry["image"] for entry in entries],
        "annotations": [annotation for entry in entries for annotation in entry["annotations"]],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_bytes(path, json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def _write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is there in full or not at all."""
    temporary = path.with_name(path.name + _TEMPORARY)
    temporary.write_bytes(content)
    temporary.replace(path)


def marker_of(directory: Path) -> dict[str, Any] | None:
    """What a synthetic set says of itself (`images`, `seed`, `size`, `complete`); None for any other folder."""
    try:
        found = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"images", "seed"} <= found.keys() else None
