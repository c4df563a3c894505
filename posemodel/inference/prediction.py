"""Find the people in pictures of any format and size, in each picture's own pixels.

A few threads read pictures ahead and another decodes maps into people, while the network works on the next batch.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from posemodel.config import Device, Exif, InputSettings
from posemodel.data.augment import letterbox
from posemodel.errors import DataError, SettingsError
from posemodel.inference.averaging import Averaging, averaged_maps
from posemodel.inference.decoder import Detections, decode_batch
from posemodel.inference.pictures import Picture, read_picture
from posemodel.network import Maps, PoseNetwork
from posemodel.network.prepare import evaluation_mode, prepare_network
from posemodel.skeleton import Skeleton

Source = Path | str | NDArray[np.uint8]
"""A picture: its file, or RGB pixels (height, width, 3) uint8."""
READERS = 4
"""Maximum number of reading threads: a 12-megapixel JPEG takes 40 ms and, decoded, 36 MB."""


def predict(
    network: nn.Module | Path | str,
    images: Iterable[Source],
    *,
    size: int | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    device: Device = "auto",
    exif: Exif | None = None,
) -> list[Detections]:
    """Find the people in pictures.

    Args:
        network: A network (also as torch.compile or DistributedDataParallel wraps it), or the file of a checkpoint.
        images: Files, or RGB pixels (height, width, 3) uint8; of any sizes, also mixed.
        size: Side in pixels of the square that each is letterboxed into (None: the size that the weights were trained
            at, else the network's default).
        flip: Average the maps with those of the mirror image.
        scales: Average the maps over inputs of these sizes, relative to ``size``.
        batch_size: Pictures in one pass of the network.
        device: Device to run on. ``auto`` is the best device for a checkpoint, and the device on which a network is
            already; any other name moves the network there, and it stays there.
        exif: `follow` turns files' pixels by their EXIF orientation, and people are in coordinates of the turned
            picture; `ignore` takes pixels as stored (None: as in the network's training).

    Returns:
        One Detections for each image, in order: ``people`` (N, P, 3) holds x and y in the picture's own pixels (pixel
            centres are at integers) and the score of each of the P parts of the network's skeleton, 0 for a part not
            found (``network.skeleton.parts`` has their names; for COCO's people, `posemodel.skeleton.COCO_PERSON`);
            ``scores`` (N,) are from 0 to 1, the best first. The network's mode (training or evaluation) is restored.

    Raises:
        DataError: an image cannot be read; use `iter_predictions` to continue with the others.
        SettingsError: a size, scale, batch size or device is invalid.
        CheckpointError: the checkpoint cannot be used.

    Example:
        people = predict("runs/first/best.safetensors", ["street.jpg"])[0].people
        nose_x, nose_y, nose_score = people[0, 0]
    """
    detections = []
    for people in iter_predictions(
        network, images, size=size, flip=flip, scales=scales, batch_size=batch_size, device=device, exif=exif
    ):
        if isinstance(people, DataError):
            raise people
        detections.append(people)
    return detections


def iter_predictions(
    network: nn.Module | Path | str,
    images: Iterable[Source],
    *,
    size: int | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    device: Device = "auto",
    exif: Exif | None = None,
) -> Iterator[Detections | DataError]:
    """Find the people in pictures one by one, with the arguments of `predict`.

    Yields, in order, the Detections of each picture, or the DataError of one that cannot be read. ``images`` may be
    endless: about three batches are in memory.
    """
    if isinstance(images, (str, Path)):
        raise SettingsError(f"images: must be a list of pictures; give [{str(images)!r}].")
    if batch_size < 1:
        raise SettingsError(f"batch_size: must be at least 1, got {batch_size}.")
    averaging = Averaging.checked(flip=flip, scales=scales)
    used, geometry = prepare_network(network, size=size, device=device)
    geometries = averaging.geometries(geometry, used)
    return _predictions(used, images, geometries, flip=flip, batch_size=batch_size, exif=exif or used.trained_exif)


def _predictions(
    network: PoseNetwork,
    images: Iterable[Source],
    geometries: Sequence[InputSettings],
    *,
    flip: bool,
    batch_size: int,
    exif: Exif,
) -> Iterator[Detections | DataError]:
    sizes = [geometry.size for geometry in geometries]
    readers = min(READERS, os.cpu_count() or 1)
    pending: deque[tuple[list[Picture | DataError], Future[list[Detections]]]] = deque()
    with (
        ThreadPoolExecutor(readers, thread_name_prefix="read") as reading,
        ThreadPoolExecutor(1, thread_name_prefix="decode") as decoding,
    ):
        try:
            for entries in _batches(_read_ahead(images, sizes, reading, batch_size, exif), batch_size):
                pictures = [entry for entry in entries if isinstance(entry, Picture)]
                # The caller may use the network between two batches: its mode is set for each.
                with torch.inference_mode(), evaluation_mode(network):
                    maps = averaged_maps(network, _inputs(pictures, network), flip=flip) if pictures else None
                pending.append((entries, decoding.submit(_people, maps, pictures, geometries[0], network.skeleton)))
                if len(pending) > 1:
                    yield from _in_order(*pending.popleft())
            while pending:
                yield from _in_order(*pending.popleft())
        except BaseException:
            for pool in (reading, decoding):
                pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read_ahead(
    images: Iterable[Source], sizes: Sequence[int], reading: ThreadPoolExecutor, ahead: int, exif: Exif
) -> Iterator[Picture | DataError]:
    """Yield pictures in order, while threads read up to ``ahead`` further pictures."""

    def read(number: int, source: Source) -> Picture | DataError:
        try:
            return read_picture(source, sizes, name=f"image {number}", exif=exif)
        except DataError as error:
            return error

    numbered = enumerate(images)
    waiting = deque(reading.submit(read, *each) for each in islice(numbered, ahead))
    while waiting:
        picture = waiting.popleft().result()
        waiting.extend(reading.submit(read, *each) for each in islice(numbered, 1))
        yield picture


def _batches(entries: Iterator[Picture | DataError], batch_size: int) -> Iterator[list[Picture | DataError]]:
    """Yield batches of ``batch_size`` pictures, the last one smaller; each also holds the errors among them."""
    batch: list[Picture | DataError] = []
    pictures = 0
    for entry in entries:
        batch.append(entry)
        pictures += isinstance(entry, Picture)
        if pictures == batch_size:
            yield batch
            batch, pictures = [], 0
    if batch:
        yield batch


def _inputs(pictures: list[Picture], network: PoseNetwork) -> list[torch.Tensor]:
    """Stack the pictures' inputs: RGB (B, 3, S, S) uint8 on the network's device, channels last, one for each size."""
    device = next(network.parameters()).device
    of_sizes = zip(*(picture.inputs for picture in pictures), strict=True)
    return [torch.from_numpy(np.stack(inputs)).to(device).permute(0, 3, 1, 2) for inputs in of_sizes]


def _people(
    maps: Maps | None, pictures: list[Picture], geometry: InputSettings, skeleton: Skeleton
) -> list[Detections]:
    if maps is None:
        return []
    with torch.inference_mode():
        detections = decode_batch(*maps.complete(), geometry, skeleton=skeleton)
    warps = [letterbox(picture.width, picture.height, geometry.size) for picture in pictures]
    return [
        Detections(warp.people_back(each.people), each.scores) for warp, each in zip(warps, detections, strict=True)
    ]


def _in_order(
    entries: list[Picture | DataError], detections: Future[list[Detections]]
) -> Iterator[Detections | DataError]:
    people = iter(detections.result())
    for entry in entries:
        yield entry if isinstance(entry, DataError) else next(people)
