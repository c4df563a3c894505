"""Segmentations of either form (polygons or RLE): what can be wrong with one, and many of them as packed arrays."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_LARGEST = float(np.finfo(np.float32).max)
"""Keypoints are held as float32; JSON knows no bounds."""
_LARGEST_RUN_BITS = 64
"""A run of compressed RLE that needs more bits is longer than any image: not worth unpacking."""


def all_finite(values: Any) -> bool:
    """Whether all are numbers, neither NaN nor infinite, that float32 can hold."""
    return set(map(type, values)) <= {int, float} and all(-_LARGEST <= value <= _LARGEST for value in values)


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
    else:
        yield "`segmentation` must be polygons or RLE"


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


class SegmentPacker:
    """Collects the segmentations of one image after the other and packs them (see ``PackedSplit``)."""

    def __init__(self) -> None:
        self._regions_per_image: list[int] = []
        self._regions_so_far = 0
        self._ignored: list[bool] = []
        self._polygons_per_region: list[int] = []
        self._polygons: list[NDArray[np.float64]] = []
        self._rles: list[bytes] = []

    def add(self, segmentation: Any, height: int, width: int, *, ignored: bool) -> None:
        """Add a sound segmentation of the image at hand."""
        polygons, rle = [], b""
        if isinstance(segmentation, dict):
            counts = segmentation["counts"]
            if isinstance(counts, list):
                counts = coco_mask.frPyObjects(segmentation, height, width)["counts"]
            rle = counts.encode() if isinstance(counts, str) else counts
        else:
            polygons = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in segmentation]
        self._ignored.append(ignored)
        self._polygons_per_region.append(len(polygons))
        self._polygons.extend(polygons)
        self._rles.append(rle)

    def end_image(self) -> None:
        """Go on to the next image."""
        self._regions_per_image.append(len(self._ignored) - self._regions_so_far)
        self._regions_so_far = len(self._ignored)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The packed arrays, by the names of ``PackedSplit``."""
        return {
            "region_start": starts(self._regions_per_image),
            "region_ignored": np.array(self._ignored, bool),
            "region_polygon_start": starts(self._polygons_per_region),
            "polygon_start": starts(len(polygon) for polygon in self._polygons),
            "points": np.concatenate(self._polygons) if self._polygons else np.zeros((0, 2)),
            "region_rle_start": starts(len(rle) for rle in self._rles),
            "rle": np.frombuffer(bytearray(b"".join(self._rles)), np.uint8),
        }
