"""Sample images of a split with predicted and true people, as plain data and as a drawn sheet."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from posemodel.config import Exif, InputSettings, LoaderSettings
from posemodel.data.images.files import decode_image
from posemodel.data.open_split import PackedSplit
from posemodel.inference.drawing import draw_people, scale_people, sheet
from posemodel.network import PoseNetwork
from posemodel.scoring.evaluation import predict_split
from posemodel.skeleton import COCO_PERSON, Skeleton

SAMPLES = 8
COLUMNS = 4
TILE_SIDE = 400
"""Longer side of a drawn tile in pixels; images are resized to it before lines are drawn."""
DRAWN_PARTS = 3
"""Minimum number of parts of a predicted person that is drawn, or all if there are fewer: an untrained network predicts
dozens with fewer parts."""
JPEG_QUALITY = 85


def sample_positions(split: PackedSplit, count: int = SAMPLES) -> list[int]:
    """Return the positions of at most ``count`` images with labelled people, spread evenly over the split.

    They depend on the split alone, so that every network is shown the same images.
    """
    labelled = [position for position in range(len(split)) if split.people_count(position)]
    chosen = np.linspace(0, len(labelled) - 1, min(count, len(labelled))).round().astype(int)
    return [labelled[number] for number in chosen]


def predict_samples(
    network: PoseNetwork,
    split: PackedSplit,
    data: Path,
    geometry: InputSettings,
    device: torch.device,
    *,
    batch_size: int = SAMPLES,
) -> dict[str, Any]:
    """Find the people in the sample images of a split; leaves the network in evaluation mode.

    Returns a plain document similar to COCO's files: ``split``; ``images`` (id, file below the folder ``data``, or its
    absolute path elsewhere, width, height); ``annotations`` (the labelled people: image_id, keypoints) and
    ``predictions`` (COCO results: image_id, category_id, keypoints, score). Keypoints are K x (x, y, v) in the
    annotations' order, in the image's own pixels. ``skeleton``: `Skeleton.as_document`, left out for COCO's person.
    Raises DataError for an image that cannot be read.
    """
    positions = sample_positions(split)
    chosen = split.subset(positions)
    scorer = predict_split(network, chosen, geometry, device, LoaderSettings(batch_size=batch_size))
    images, annotations = [], []
    for position in positions:
        width, height = split.size(position)
        file = _below(split.path(position), data)
        images.append({"id": split.image_id(position), "file": file, "width": width, "height": height})
        annotations += [
            {"image_id": split.image_id(position), "keypoints": [round(float(value), 3) for value in person.ravel()]}
            for person in split.keypoints(position)
        ]
    document = {"split": split.name, "images": images, "annotations": annotations, "predictions": scorer.results}
    return document if split.skeleton == COCO_PERSON else document | {"skeleton": split.skeleton.as_document()}


def _below(path: Path, data: Path) -> str:
    """Return a file's path relative to a folder, or its absolute path if it is outside the folder."""
    return (path.relative_to(data) if path.is_relative_to(data) else path.absolute()).as_posix()


def draw_samples(document: dict[str, Any], data: Path, *, exif: Exif = "ignore") -> NDArray[np.uint8] | None:
    """Draw the sheet (BGR) of a `predict_samples` document; return None if it has no images, or one is missing.

    An image counts as missing if its size, read with the setting ``exif``, is not the one in the document. Predicted
    people are coloured by side, true ones thin and white (`posemodel.inference.drawing`); predicted people of fewer
    than `DRAWN_PARTS` parts are not drawn.
    """
    skeleton = Skeleton.from_document(document["skeleton"]) if "skeleton" in document else COCO_PERSON
    least_parts = min(DRAWN_PARTS, skeleton.num_parts)
    tiles = []
    for entry in document["images"]:
        image = decode_image(data / entry["file"], exif=exif)
        if image is None or image.shape[:2] != (entry["height"], entry["width"]):
            return None
        predicted, true = (_people(document[key], entry["id"], skeleton) for key in ("predictions", "annotations"))
        predicted = predicted[(predicted[..., 2] > 0).sum(axis=1) >= least_parts]
        factor = TILE_SIDE / max(image.shape[:2])
        size = (max(round(entry["width"] * factor), 1), max(round(entry["height"] * factor), 1))
        tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        people = scale_people(predicted, factor), scale_people(true, factor)
        tiles.append(draw_people(np.asarray(tile, np.uint8), *people, skeleton=skeleton))
    return sheet(tiles, COLUMNS) if tiles else None


def as_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode a BGR image as a JPEG file."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def _people(entries: list[dict[str, Any]], image_id: int, skeleton: Skeleton) -> NDArray[np.float32]:
    keypoints = [entry["keypoints"] for entry in entries if entry["image_id"] == image_id]
    return skeleton.to_parts(np.array(keypoints, np.float32).reshape(-1, skeleton.num_keypoints, 3))
