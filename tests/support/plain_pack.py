"""Pack annotations one by one in the simplest way, as the reference for the bulk packing."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


def plain_arrays(document: dict[str, Any]) -> dict[str, Any]:
    """What ``packed_arrays`` must give for a document without faults, as lists and bytes."""
    images = sorted(document["images"], key=lambda image: image["id"])
    person = {category["id"] for category in document["categories"] if category.get("name") == "person"}
    people = [
        [a for a in document["annotations"] if a["image_id"] == image["id"] and a["category_id"] in person]
        for image in images
    ]
    everybody = [annotation for of_image in people for annotation in of_image]
    regions_of = [
        [a for a in of_image if not _labelled(a)] + [a for a in of_image if _labelled(a)]
        if not all(map(_labelled, of_image))
        else []
        for of_image in people
    ]
    regions = [annotation for of_image in regions_of for annotation in of_image]
    size_of = {image["id"]: (image["width"], image["height"]) for image in images}
    polygons_of = [[] if isinstance(a["segmentation"], dict) else a["segmentation"] for a in regions]
    polygons = [polygon for of_region in polygons_of for polygon in of_region]
    rles = [_rle(a["segmentation"], *size_of[a["image_id"]]) for a in regions]
    names = [image["file_name"].encode() for image in images]
    return {
        "image_ids": [image["id"] for image in images],
        "sizes": [list(size_of[image["id"]]) for image in images],
        "names": list(b"".join(names)),
        "name_start": _starts(names),
        "person_start": _starts([list(filter(_labelled, of_image)) for of_image in people]),
        "person_rows": [row for row, annotation in enumerate(everybody) if _labelled(annotation)],
        "region_start": _starts(regions_of),
        "region_ignored": [not _labelled(annotation) for annotation in regions],
        "region_polygon_start": _starts(polygons_of),
        "polygon_start": _starts([polygon[::2] for polygon in polygons]),
        "points": [[float(x), float(y)] for p in polygons for x, y in zip(p[0::2], p[1::2], strict=True)],
        "region_rle_start": _starts(rles),
        "rle": list(b"".join(rles)),
        "categories": sorted(person),
        "truth.start": _starts(people),
        "truth.keypoints": [np.float32(a["keypoints"]).reshape(17, 3).tolist() for a in everybody],
        "truth.boxes": [[float(value) for value in a["bbox"]] for a in everybody],
        "truth.areas": [float(a["area"]) for a in everybody],
        "truth.crowd": [bool(a.get("iscrowd", 0)) for a in everybody],
        "truth.ignored": [_ignored(a) for a in everybody],
    }


def _visible(annotation: dict[str, Any]) -> int:
    return sum(v > 0 for v in annotation["keypoints"][2::3])


def _labelled(annotation: dict[str, Any]) -> bool:
    return not annotation.get("iscrowd", 0) and _visible(annotation) > 0


def _ignored(annotation: dict[str, Any]) -> bool:
    declared = annotation.get("num_keypoints")
    return bool(annotation.get("iscrowd", 0)) or (_visible(annotation) if declared is None else declared) == 0


def _rle(segmentation: Any, width: int, height: int) -> bytes:
    if not isinstance(segmentation, dict):
        return b""
    counts = segmentation["counts"]
    return counts.encode() if isinstance(counts, str) else coco_mask.frPyObjects(segmentation, height, width)["counts"]


def _starts(stretches: list[Any]) -> list[int]:
    return [sum(map(len, stretches[:number])) for number in range(len(stretches) + 1)]
