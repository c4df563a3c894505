"""Segmentations of either form (polygons or RLE): what can be wrong with one, and many of them as packed arrays."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

LARGEST_NUMBER = float(np.finfo(np.float32).max)
"""Keypoints are held as float32; JSON knows no bounds."""
FEW_PIXELS = 16
"""Of an image's shorter side, at most, where coordinates up to 1 are not taken for fractions of the sides."""
_LARGEST_RUN_BITS = 64
"""A run of compressed RLE that needs more bits is longer than any image: not worth unpacking."""


def all_finite(values: Any) -> bool:
    """Whether all are numbers, neither NaN nor infinite, that float32 can hold."""
    return set(map(type, values)) <= {int, float} and all(
        -LARGEST_NUMBER <= value <= LARGEST_NUMBER for value in values
    )


def in_fractions(values: list[float], width: int, height: int, *, least: int = 4) -> bool:
    """Whether coordinates of an image, of which there are at least ``least``, all lie in its first pixel: no pixels
    are meant, it seems. In an image of few pixels they may be.
    """
    return len(values) >= least and min(width, height) > FEW_PIXELS and min(values) >= 0 and max(values) <= 1


def segmentation_faults(segmentation: Any, width: int, height: int) -> Iterator[str]:
    """Everything wrong with the segmentation of an annotation in an image of ``width`` x ``height`` pixels."""
    if isinstance(segmentation, dict):
        yield from _rle_faults(segmentation, width, height)
    elif isinstance(segmentation, list):
        if not segmentation:
            yield "`segmentation` has no polygon (the four corners of the box will do)"
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) % 2 or not all_finite(polygon):
                yield "a polygon must hold an even number of finite numbers"
            elif not polygon:
                yield "a polygon is empty"
            elif len(polygon) < 6:
                yield "a polygon has fewer than 3 points"
            elif not (_near(polygon[0::2], width) and _near(polygon[1::2], height)):
                yield f"a polygon reaches far outside the image of {width}x{height} pixels"
            elif in_fractions(polygon, width, height):
                yield "a polygon lies between 0 and 1: fractions of the image's sides? COCO's are pixels"
    else:
        yield "`segmentation` must be polygons or RLE"


class Mask(NamedTuple):
    """A segmentation as it can be used (None: it cannot), and what is wrong with it as it stands there."""

    usable: Any
    kind: str = ""
    """A word for what is wrong; empty: nothing."""
    said: str = ""
    """What is wrong, in a sentence that follows the annotation's id."""


MISSING, FLAT, PAIRS, SLIVERS, SWAPPED, BROKEN = "missing", "flat-list", "pairs", "slivers", "swapped-sides", "broken"
"""Kinds of ``Mask``."""


def read_mask(segmentation: Any, width: int, height: int) -> Mask:
    """A segmentation in an image of ``width`` x ``height`` pixels, mended where what is meant is beyond doubt.

    Beyond doubt are polygons whose list or whose points are nested otherwise, and parts of fewer than three points,
    which have no area.
    """
    if segmentation is None or (isinstance(segmentation, list) and not segmentation):
        return Mask(None, MISSING, "`segmentation` is missing or empty")
    fault = next(segmentation_faults(segmentation, width, height), None)
    if fault is None:
        return Mask(segmentation)
    if isinstance(segmentation, dict):
        if segmentation.get("size") == [width, height]:
            said = f"RLE `size` is [{width}, {height}], width and height swapped: COCO's is [{height}, {width}]"
            return Mask(None, SWAPPED, said)
        return Mask(None, BROKEN, fault)
    kind, said, polygons = BROKEN, fault, segmentation
    if isinstance(segmentation, list) and all_finite(segmentation):
        kind, said, polygons = (
            FLAT,
            "`segmentation` is one flat list of numbers, not a list of polygons",
            [segmentation],
        )
    elif _are_pairs(segmentation):
        kind, said, polygons = PAIRS, "the points of a polygon are pairs, not one list of numbers", [segmentation]
    elif isinstance(segmentation, list) and any(map(_are_pairs, segmentation)):
        kind, said = PAIRS, "the points of a polygon are pairs, not one list of numbers"
    if isinstance(polygons, list):
        polygons = [list(chain.from_iterable(each)) if _are_pairs(each) else each for each in polygons]
        solid = [each for each in polygons if not _is_sliver(each)]
        if kind == BROKEN and len(solid) < len(polygons):
            kind = SLIVERS
        if solid and next(segmentation_faults(solid, width, height), None) is None:
            return Mask(solid, kind, said)
    return Mask(None, BROKEN, said)


def _are_pairs(points: Any) -> bool:
    """Whether it is a list of points [x, y]."""
    return (
        isinstance(points, list)
        and len(points) >= 3
        and all(isinstance(point, list) and len(point) == 2 and all_finite(point) for point in points)
    )


def _is_sliver(polygon: Any) -> bool:
    """Whether a polygon has fewer than three points, and so no area."""
    return isinstance(polygon, list) and len(polygon) < 6 and len(polygon) % 2 == 0 and all_finite(polygon)


def mask_area(segmentation: Any, width: int, height: int) -> float:
    """Pixels of a sound segmentation; of polygons what each encloses, summed, as COCO's own `area` is."""
    if isinstance(segmentation, dict):
        return float(coco_mask.area(_as_rle(segmentation, width, height)))
    return sum(_enclosed(polygon) for polygon in segmentation)


def mask_box(segmentation: Any, width: int, height: int) -> list[float]:
    """The box x, y, width, height around a sound segmentation, inside the image; of no size where it is outside."""
    if isinstance(segmentation, dict):
        return coco_mask.toBbox(_as_rle(segmentation, width, height)).tolist()
    points = np.array(list(chain.from_iterable(segmentation)), np.float64).reshape(-1, 2)
    low, high = np.clip(points.min(0), 0, (width, height)), np.clip(points.max(0), 0, (width, height))
    return [*low.tolist(), *(high - low).tolist()]


def box_polygon(box: list[float]) -> list[list[float]]:
    """A box as a segmentation: one polygon, its four corners."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _enclosed(polygon: list[float]) -> float:
    """The area of a polygon, by the shoelace formula."""
    xs, ys = polygon[0::2], polygon[1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


def _as_rle(rle: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    return {"size": [height, width], "counts": _compressed(rle, width, height)}


def _near(values: list[float], side: int) -> bool:
    """Whether coordinates lie less than a side of the image outside of it.

    Tools draw a little over the border, and that does no harm; but pycocotools keeps every pixel of an outline, so
    that a point a billion pixels away takes all memory.
    """
    return -side <= min(values) and max(values) <= 2 * side


def _rle_faults(rle: dict[str, Any], width: int, height: int) -> Iterator[str]:
    if rle.get("size") != [height, width]:
        found = repr(rle.get("size"))[:40]
        yield f"RLE `size` is {found}, the image's height and width are [{height}, {width}]"
    counts = rle.get("counts")
    runs = _run_lengths(counts) if isinstance(counts, str) else counts
    # pycocotools decodes too short a sum to whatever was in memory.
    whole = isinstance(runs, list) and set(map(type, runs)) == {int} and min(runs) >= 0
    if not whole or sum(runs) != width * height:
        yield f"RLE `counts` must be a list or a compressed string of runs that sum to {width * height}"


def _run_lengths(counts: str) -> list[int] | None:
    """Runs of COCO's compressed RLE (None: malformed): 5 bits a character, differences to the run before the last."""
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


def starts(lengths: Iterable[int]) -> NDArray[np.int64]:
    """Where each of many stretches begins in their concatenation (N + 1,): the last value is the whole length."""
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int64)


def packed_segments(segmentations: list[Any], sizes: list[tuple[int, int]]) -> dict[str, NDArray[Any]]:
    """Sound segmentations of images of (width, height) as packed arrays, by the names of ``PackedSplit``."""
    polygons_of = [[] if isinstance(segmentation, dict) else segmentation for segmentation in segmentations]
    polygons = [polygon for polygons in polygons_of for polygon in polygons]
    lengths = [len(polygon) for polygon in polygons]
    rles = [
        _compressed(segmentation, *size) if isinstance(segmentation, dict) else b""
        for segmentation, size in zip(segmentations, sizes, strict=True)
    ]
    return {
        "region_polygon_start": starts(len(polygons) for polygons in polygons_of),
        "polygon_start": starts(length // 2 for length in lengths),
        "points": np.fromiter(chain.from_iterable(polygons), np.float64, sum(lengths)).reshape(-1, 2),
        "region_rle_start": starts(len(rle) for rle in rles),
        "rle": np.frombuffer(b"".join(rles), np.uint8),
    }


def _compressed(rle: dict[str, Any], width: int, height: int) -> bytes:
    counts = rle["counts"]
    if isinstance(counts, list):
        return coco_mask.frPyObjects(rle, height, width)["counts"]
    return counts.encode()


def complement(counts: bytes) -> bytes:
    """Compressed RLE of all pixels but those of another: a run of no pixels is put before the first, or taken away.

    The first three runs are written as they are, every later one as its difference to the run before the last; so
    that all but the first few characters stay (pycocotools' ``rleToString``).
    """
    runs, rest = [], counts
    while rest and len(runs) < 4:
        value, rest = _first_value(rest)
        runs.append(value + (runs[1] if len(runs) == 3 else 0))
    if runs[0] == 0:
        # What was the fourth run is now the third, and whole; the later ones have the same run before the last.
        return b"".join(map(_written, runs[1:])) + rest
    fourth = [_written(runs[2] - runs[0])] if len(runs) > 2 else []
    last = [_written(runs[3] - runs[1])] if len(runs) > 3 else []
    return b"".join([_written(0), *map(_written, runs[:2]), *fourth, *last]) + rest


def _first_value(counts: bytes) -> tuple[int, bytes]:
    """The first number of a compressed RLE, 5 bits a character with the lowest first, and what follows it."""
    value = shift = used = 0
    more = True
    while more:
        bits = counts[used] - 48
        value |= (bits & 0x1F) << shift
        used, shift, more = used + 1, shift + 5, bool(bits & 0x20)
    if bits & 0x10:
        value -= 1 << shift
    return value, counts[used:]


def _written(value: int) -> bytes:
    """A number as characters of a compressed RLE."""
    characters = bytearray()
    while True:
        bits = value & 0x1F
        value >>= 5
        if value == (-1 if bits & 0x10 else 0):
            characters.append(bits + 48)
            return bytes(characters)
        characters.append((bits | 0x20) + 48)
