"""Segmentations, either polygons or run lengths (RLE): check, repair, measure, and pack them into arrays."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

LARGEST_NUMBER = float(np.finfo(np.float32).max)
"""Largest coordinate: keypoints are stored as float32, while numbers in JSON have no limit."""
FEW_PIXELS = 16
"""In images whose shorter side has at most this many pixels, coordinates from 0 to 1 are never taken for fractions."""
LARGEST_FRACTION = 1
"""Largest coordinate that may be a fraction of the image's side."""
FEWEST_JOINT_COORDINATES = 6
"""Minimum number of joint coordinates (x and y of three joints) needed to tell fractions of the sides from pixels."""
SHORTEST_POLYGON = 6
"""Minimum number of values in a polygon: x and y of three points."""
POLYGON_RANGE = (-1, 2)
"""Lowest and highest coordinate of a polygon, as multiples of the image's side."""
_LARGEST_RUN_BITS = 64
"""Maximum number of bits of a run in compressed RLE; a longer run exceeds any image and is not decoded."""


def all_finite(values: Any) -> bool:
    """Return whether all values are numbers, neither NaN nor infinite, that float32 can hold."""
    return set(map(type, values)) <= {int, float} and all(
        -LARGEST_NUMBER <= value <= LARGEST_NUMBER for value in values
    )


def is_finite(value: Any) -> TypeGuard[float]:
    """Return whether a value is a number, neither NaN nor infinite, that float32 can hold."""
    return type(value) in (int, float) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER


def in_fractions(values: list[float], width: int, height: int, *, least: int = 4) -> bool:
    """Return whether coordinates all lie from 0 to 1, and so are fractions of the image's sides instead of pixels.

    False for fewer than ``least`` coordinates, and in an image of few pixels, where they may be pixels.
    """
    return (
        len(values) >= least
        and min(width, height) > FEW_PIXELS
        and min(values) >= 0
        and max(values) <= LARGEST_FRACTION
    )


def segmentation_faults(segmentation: Any, width: int, height: int) -> Iterator[str]:
    """Yield what is wrong with a segmentation in an image of ``width`` x ``height`` pixels."""
    if isinstance(segmentation, dict):
        yield from _rle_faults(segmentation, width, height)
    elif isinstance(segmentation, list):
        if not segmentation:
            yield "`segmentation` has no polygon (the four corners of the box are enough)"
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) % 2 or not all_finite(polygon):
                yield "a polygon must hold an even number of finite numbers"
            elif not polygon:
                yield "a polygon is empty"
            elif len(polygon) < SHORTEST_POLYGON:
                yield "a polygon has fewer than 3 points"
            elif not (_is_near_image(polygon[0::2], width) and _is_near_image(polygon[1::2], height)):
                yield f"a polygon reaches far outside the image of {width}x{height} pixels"
            elif in_fractions(polygon, width, height):
                yield "a polygon lies between 0 and 1: fractions of the image's sides? COCO's are pixels"
    else:
        yield "`segmentation` must be polygons or RLE"


class Mask(NamedTuple):
    """A segmentation in usable form (None if it is not usable), and what is wrong with it in the file."""

    usable: Any
    kind: str = ""
    """Kind of error, one of the constants below; empty if there is none."""
    fault_text: str = ""
    """The error as a phrase that follows the annotation's id."""


MISSING, FLAT, PAIRS, SLIVERS, SWAPPED, BROKEN = "missing", "flat-list", "pairs", "slivers", "swapped-sides", "broken"
"""Kinds of errors of a ``Mask``."""


def read_mask(segmentation: Any, width: int, height: int) -> Mask:
    """Read a segmentation in an image of ``width`` x ``height`` pixels, and repair it if its meaning is clear.

    Repaired are polygons whose lists are nested differently, and parts of fewer than three points, which have no area.
    """
    if segmentation is None or (isinstance(segmentation, list) and not segmentation):
        return Mask(None, MISSING, "`segmentation` is missing or empty")
    fault = next(segmentation_faults(segmentation, width, height), None)
    if fault is None:
        return Mask(segmentation)
    if isinstance(segmentation, dict):
        if segmentation.get("size") == [width, height]:
            fault_text = f"RLE `size` is [{width}, {height}], width and height swapped: COCO's is [{height}, {width}]"
            return Mask(None, SWAPPED, fault_text)
        return Mask(None, BROKEN, fault)
    kind, fault_text, polygons = BROKEN, fault, segmentation
    if isinstance(segmentation, list) and all_finite(segmentation):
        kind, fault_text, polygons = (
            FLAT,
            "`segmentation` is one flat list of numbers, not a list of polygons",
            [segmentation],
        )
    elif _are_pairs(segmentation):
        kind, fault_text, polygons = PAIRS, "the points of a polygon are pairs, not one list of numbers", [segmentation]
    elif isinstance(segmentation, list) and any(map(_are_pairs, segmentation)):
        kind, fault_text = PAIRS, "the points of a polygon are pairs, not one list of numbers"
    if isinstance(polygons, list):
        polygons = [list(chain.from_iterable(each)) if _are_pairs(each) else each for each in polygons]
        solid = [each for each in polygons if not _is_sliver(each)]
        if kind == BROKEN and len(solid) < len(polygons):
            kind = SLIVERS
        if solid and next(segmentation_faults(solid, width, height), None) is None:
            return Mask(solid, kind, fault_text)
    return Mask(None, BROKEN, fault_text)


def _are_pairs(points: Any) -> bool:
    """Return whether it is a list of at least three points [x, y]."""
    return (
        isinstance(points, list)
        and len(points) >= 3
        and all(isinstance(point, list) and len(point) == 2 and all_finite(point) for point in points)
    )


def _is_sliver(polygon: Any) -> bool:
    """Return whether a polygon has fewer than three points, and so no area."""
    return (
        isinstance(polygon, list) and len(polygon) < SHORTEST_POLYGON and len(polygon) % 2 == 0 and all_finite(polygon)
    )


def mask_area(segmentation: Any, width: int, height: int) -> float:
    """Return the area in pixels of a valid segmentation; for polygons the sum of their areas, like COCO's `area`."""
    if isinstance(segmentation, dict):
        return float(coco_mask.area(_as_rle(segmentation, width, height)))
    return sum(_polygon_area(polygon) for polygon in segmentation)


def mask_box(segmentation: Any, width: int, height: int) -> list[float]:
    """Return the box [x, y, width, height] around a valid segmentation, clipped to the image; of size 0 if outside."""
    if isinstance(segmentation, dict):
        box: list[float] = coco_mask.toBbox(_as_rle(segmentation, width, height)).tolist()
        return box
    points = np.array(list(chain.from_iterable(segmentation)), np.float64).reshape(-1, 2)
    low, high = np.clip(points.min(0), 0, (width, height)), np.clip(points.max(0), 0, (width, height))
    return [*low.tolist(), *(high - low).tolist()]


def box_polygon(box: list[float]) -> list[list[float]]:
    """Return a box as a segmentation: one polygon of its four corners."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _polygon_area(polygon: list[float]) -> float:
    """Return the area of a polygon by the shoelace formula."""
    xs, ys = polygon[0::2], polygon[1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


def _as_rle(rle: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    return {"size": [height, width], "counts": _compressed_counts(rle, width, height)}


def _is_near_image(values: list[float], side: int) -> bool:
    """Return whether coordinates lie at most one image side outside the image.

    Tools draw a little over the border, which does no harm. But pycocotools stores every pixel of an outline, so that a
    point a billion pixels away would need all memory.
    """
    lowest, highest = POLYGON_RANGE
    return lowest * side <= min(values) and max(values) <= highest * side


def _rle_faults(rle: dict[str, Any], width: int, height: int) -> Iterator[str]:
    if rle.get("size") != [height, width]:
        stated_size = repr(rle.get("size"))[:40]
        yield f"RLE `size` is {stated_size}, the image's height and width are [{height}, {width}]"
    counts = rle.get("counts")
    runs = _run_lengths(counts) if isinstance(counts, str) else counts
    # If the sum is too short, pycocotools decodes arbitrary memory.
    if not _are_runs(runs) or sum(runs) != width * height:
        yield f"RLE `counts` must be a list or a compressed string of runs that sum to {width * height}"


def _are_runs(runs: Any) -> TypeGuard[list[int]]:
    return isinstance(runs, list) and set(map(type, runs)) == {int} and min(runs) >= 0


def _run_lengths(counts: str) -> list[int] | None:
    """Decode COCO's compressed RLE; return None if it is malformed.

    A character holds 5 bits; runs are stored as differences to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > _LARGEST_RUN_BITS:
            return None
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def start_offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    """Return where each of N ranges begins in their concatenation, (N + 1,); the last value is the total length."""
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int64)


def packed_segments(segmentations: list[Any], sizes: list[tuple[int, int]]) -> dict[str, NDArray[Any]]:
    """Pack valid segmentations of images of (width, height) into the arrays of ``PackedSplit``, by field name."""
    polygons_of = [[] if isinstance(segmentation, dict) else segmentation for segmentation in segmentations]
    polygons = [polygon for polygons in polygons_of for polygon in polygons]
    lengths = [len(polygon) for polygon in polygons]
    rles = [
        _compressed_counts(segmentation, *size) if isinstance(segmentation, dict) else b""
        for segmentation, size in zip(segmentations, sizes, strict=True)
    ]
    return {
        "region_polygon_start": start_offsets(len(polygons) for polygons in polygons_of),
        "polygon_start": start_offsets(length // 2 for length in lengths),
        "points": np.fromiter(chain.from_iterable(polygons), np.float64, sum(lengths)).reshape(-1, 2),
        "region_rle_start": start_offsets(len(rle) for rle in rles),
        "rle": np.frombuffer(b"".join(rles), np.uint8),
    }


def _compressed_counts(rle: dict[str, Any], width: int, height: int) -> bytes:
    counts: list[int] | str = rle["counts"]
    if isinstance(counts, str):
        return counts.encode()
    compressed: bytes = coco_mask.frPyObjects(rle, height, width)["counts"]
    return compressed


def complement(counts: bytes) -> bytes:
    """Return the compressed RLE of all other pixels, by adding an empty run before the first, or removing it.

    The first three runs are stored as they are, every later one as its difference to the run before the last; so only
    the first few characters change (pycocotools' ``rleToString``).
    """
    runs: list[int] = []
    remaining = counts
    while remaining and len(runs) < 4:
        value, remaining = _decode_number(remaining)
        runs.append(value + (runs[1] if len(runs) == 3 else 0))
    if runs[0] == 0:
        # The former fourth run becomes the third, stored as it is; later ones keep the same run before the last.
        return b"".join(map(_encode_number, runs[1:])) + remaining
    fourth = [_encode_number(runs[2] - runs[0])] if len(runs) > 2 else []
    last = [_encode_number(runs[3] - runs[1])] if len(runs) > 3 else []
    return b"".join([_encode_number(0), *map(_encode_number, runs[:2]), *fourth, *last]) + remaining


def _decode_number(counts: bytes) -> tuple[int, bytes]:
    """Return the first number of a compressed RLE (5 bits a character, lowest first) and the remaining characters."""
    value = shift = used = 0
    more = True
    while more:
        bits = counts[used] - 48
        value |= (bits & 0x1F) << shift
        used, shift, more = used + 1, shift + 5, bool(bits & 0x20)
    if bits & 0x10:
        value -= 1 << shift
    return value, counts[used:]


def _encode_number(value: int) -> bytes:
    """Return a number as characters of a compressed RLE."""
    characters = bytearray()
    while True:
        bits = value & 0x1F
        value >>= 5
        if value == (-1 if bits & 0x10 else 0):
            characters.append(bits + 48)
            return bytes(characters)
        characters.append((bits | 0x20) + 48)
