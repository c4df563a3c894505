"""What can be wrong with an annotation file or with the images that it names, found before anyone trains."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posemodel import skeleton
from posemodel.errors import DataError

SHOWN = 5
"""Problems that an error message lists before it only counts."""
JPEG_TRAILER = 4096
"""Bytes at the end of a JPEG that may hold its end marker: some cameras and tools append padding or notes."""
BOX_TOLERANCE = 1.0
"""Pixels that a box may reach over the image's border: annotation tools round."""
KEYPOINT_VALUES = 3 * skeleton.NUM_COCO_KEYPOINTS
_LARGEST = float(np.finfo(np.float32).max)
"""Keypoints are held as float32; JSON knows no bounds."""
_LARGEST_ID = np.iinfo(np.int64).max
_LARGEST_SIDE = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Problem:
    """One fault: the file, the id of the image or annotation (None: the whole file) and what is wrong."""

    file: str
    id: int | str | None
    problem: str
    fatal: bool = True
    """Whether the data set cannot be used as it is; other problems are only reported."""

    def as_row(self) -> dict[str, Any]:
        """The row that `posebench data check --json` prints."""
        return {key: value for key, value in asdict(self).items() if key != "fatal"}


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise DataError that lists the first few fatal problems and says how many there are."""
    fatal = [problem for problem in problems if problem.fatal]
    if not fatal:
        return
    lines = [f"  id {p.id}: {p.problem}" if p.id is not None else f"  {p.problem}" for p in fatal[:SHOWN]]
    more = f"\n  and {len(fatal) - SHOWN} more" if len(fatal) > SHOWN else ""
    noun = "problem" if len(fatal) == 1 else "problems"
    raise DataError(
        f"{fatal[0].file}: {len(fatal)} {noun} in the annotations\n" + "\n".join(lines) + more + "\n"
        "Mend or remove these entries; `posebench data check` lists every one."
    )


def annotation_problems(document: dict[str, Any], path: Path, *, segments: bool = True) -> list[Problem]:
    """Everything wrong in a parsed annotation file, without looking at the images.

    ``segments=False`` leaves the segmentations out: scoring does not read them.
    """
    file = str(path)
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(document.get(key), list)]
    if missing:
        return [Problem(file, None, f"no list `{key}`") for key in missing]
    return list(_document_problems(document, file, segments))


def _document_problems(document: dict[str, Any], file: str, segments: bool) -> Iterator[Problem]:
    person = person_categories(document)
    if not person:
        yield Problem(file, None, "`categories` has no category named person")
    if not document["images"]:
        yield Problem(file, None, "`images` is empty")
    sizes: dict[Any, tuple[float, float]] = {}
    for image in document["images"]:
        faults = list(_image_faults(image))
        image_id = image.get("id") if isinstance(image, dict) else None
        for fault in faults:
            yield Problem(file, image_id, fault)
        if not faults:
            if image_id in sizes:
                yield Problem(file, image_id, "this image id occurs twice")
            sizes[image_id] = (image["width"], image["height"])
    seen: set[Any] = set()
    for annotation in document["annotations"]:
        if not isinstance(annotation, dict) or not _is_id(annotation.get("id")):
            yield Problem(file, None, f"an annotation without a whole-number `id`: {str(annotation)[:60]}")
            continue
        if annotation["id"] in seen:
            yield Problem(file, annotation["id"], "this annotation id occurs twice")
        seen.add(annotation["id"])
        if not _is_id(annotation.get("image_id")) or annotation["image_id"] not in sizes:
            yield Problem(file, annotation["id"], f"annotates image {annotation.get('image_id')}, which is not listed")
            continue
        if not _is_id(annotation.get("category_id")):
            yield Problem(file, annotation["id"], "no whole-number `category_id`")
        elif annotation["category_id"] in person:
            size = sizes[annotation["image_id"]]
            for fault, fatal in _person_faults(annotation, *size):
                yield Problem(file, annotation["id"], fault, fatal)
            if segments:
                for fault, fatal in _segmentation_faults(annotation.get("segmentation"), *size):
                    yield Problem(file, annotation["id"], fault, fatal)


def person_categories(document: dict[str, Any]) -> set[int]:
    """Ids of the categories named person, in a document that may be malformed."""
    categories = document.get("categories")
    entries = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
    return {c["id"] for c in entries if c.get("name") == "person" and _is_id(c.get("id"))}


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID


def _image_faults(image: Any) -> Iterator[str]:
    if not isinstance(image, dict):
        yield f"an image entry is not an object: {str(image)[:60]}"
        return
    if not _is_id(image.get("id")):
        yield f"`id` of an image must be a whole number, got {image.get('id')!r}"
    if not isinstance(image.get("file_name"), str) or not image["file_name"]:
        yield "an image without `file_name`"
    for side in ("width", "height"):
        if not _is_id(image.get(side)) or not 0 < image[side] <= _LARGEST_SIDE:
            yield f"`{side}` of an image must be a positive whole number, got {image.get(side)!r}"


def all_finite(values: Any) -> bool:
    """Whether all are numbers, neither NaN nor infinite, that float32 can hold."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= _LARGEST for v in values)


def _person_faults(annotation: dict[str, Any], width: float, height: float) -> Iterator[tuple[str, bool]]:
    """Faults of one person, each with whether it is fatal."""
    keypoints = annotation.get("keypoints")
    if not isinstance(keypoints, list) or len(keypoints) != KEYPOINT_VALUES:
        length = len(keypoints) if isinstance(keypoints, list) else "none"
        yield f"`keypoints` must hold {KEYPOINT_VALUES} numbers, has {length}", True
    elif not all_finite(keypoints):
        yield "`keypoints` holds a value that is not a finite number", True
    else:
        labelled = [(x, y) for x, y, v in _triples(keypoints) if v > 0]
        if any(v not in (0, 1, 2) for v in keypoints[2::3]):
            yield "`keypoints` holds a visibility other than 0, 1, 2", True
        if any(x < 0 or y < 0 or x > width or y > height for x, y in labelled):
            yield f"a labelled keypoint lies outside the image of {width}x{height} pixels", True
        declared = annotation.get("num_keypoints")
        if declared is not None and declared != len(labelled) and not annotation.get("iscrowd"):
            yield f"`num_keypoints` is {declared}, but {len(labelled)} are labelled", False
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all_finite(box):
        yield "`bbox` must hold 4 finite numbers x, y, width, height", True
    elif (
        min(box[0], box[1]) < -BOX_TOLERANCE
        or box[0] + box[2] > width + BOX_TOLERANCE
        or box[1] + box[3] > height + BOX_TOLERANCE
        or min(box[2], box[3]) < 0
    ):
        yield f"`bbox` {box} reaches outside the image of {width}x{height} pixels", False
    if not all_finite([annotation.get("area")]):
        yield "`area` must be a finite number: COCO's score is relative to it", True


def _triples(values: list[float]) -> Iterator[tuple[float, float, float]]:
    return zip(values[0::3], values[1::3], values[2::3], strict=True)


def _segmentation_faults(segmentation: Any, width: float, height: float) -> Iterator[tuple[str, bool]]:
    if isinstance(segmentation, dict):
        if segmentation.get("size") != [height, width]:
            found = segmentation.get("size")
            yield f"RLE `size` is {found}, the image's height and width are [{height}, {width}]", True
        counts = segmentation.get("counts")
        runs = _run_lengths(counts) if isinstance(counts, str) else counts
        # pycocotools decodes too short a sum to whatever was in memory.
        if (
            not isinstance(runs, list)
            or not all(_is_id(run) and run >= 0 for run in runs)
            or sum(runs) != width * height
        ):
            yield f"RLE `counts` must be a list or a compressed string of runs that sum to {width * height}", True
    elif isinstance(segmentation, list):
        if not segmentation:
            yield "`segmentation` has no polygon", False
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) % 2 or not all_finite(polygon):
                yield "a polygon must hold an even number of finite numbers", True
            elif len(polygon) < 6:
                yield "a polygon has fewer than 3 points", True
    else:
        yield "`segmentation` must be polygons or RLE", True


def _run_lengths(counts: str) -> list[int] | None:
    """Runs of COCO's compressed RLE (None: malformed): 5 bits a character, differences to the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def image_problems(document: dict[str, Any], folder: Path) -> Iterator[Problem]:
    """Images that are missing, unreadable, truncated or of another size than annotated: each file is decoded."""
    for image in document["images"]:
        if list(_image_faults(image)):
            continue
        path = folder / image["file_name"]
        problem = _file_problem(path, image["width"], image["height"])
        if problem:
            yield Problem(str(path), image["id"], problem)


def _file_problem(path: Path, width: int, height: int) -> str | None:
    if not path.is_file():
        return "no such file"
    data = path.read_bytes()
    is_jpeg = data.startswith(b"\xff\xd8")
    # libjpeg fills what a truncated file lacks with grey and only warns: look for the end marker ourselves.
    if is_jpeg and b"\xff\xd9" not in data[-JPEG_TRAILER:]:
        return "the JPEG is truncated: it has no end marker"
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        return "not an image that OpenCV can decode"
    if pixels.shape[:2] != (height, width):
        return f"is {pixels.shape[1]}x{pixels.shape[0]} pixels, annotated as {width}x{height}"
    return None
