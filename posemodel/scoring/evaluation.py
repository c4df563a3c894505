"""Run a network over a split of a data set and score its predicted people."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import torch
from torch import nn

from posemodel.config import Device, Exif, InputSettings, LoaderSettings
from posemodel.data.augment import Warp
from posemodel.data.batch import Batch
from posemodel.data.layout import DataSet
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.inference.averaging import Averaging, averaged_maps
from posemodel.inference.decoder import Detections, decode_batch
from posemodel.network import Maps, PoseNetwork
from posemodel.network.prepare import evaluation_mode, prepare_network
from posemodel.scoring.scorer import KeypointScorer, Scores
from posemodel.skeleton import Skeleton


def evaluate(
    network: nn.Module | Path | str,
    data: Path | str | DataSet,
    *,
    split: str = "val",
    size: int | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    labelled_only: bool = False,
    skip_bad: bool = False,
    loader: LoaderSettings = LoaderSettings(),  # noqa: B008 (frozen)
    device: Device = "auto",
    exif: Exif | None = None,
) -> Scores:
    """Compute the COCO keypoint AP of a network over a split of a data set.

    Args:
        network: A network (also as torch.compile or DistributedDataParallel wraps it), or the file of a checkpoint.
        data: The folder of a data set, or a `DataSet` with explicit files.
        split: train, select, report, val or any other split of the data set.
        size: Side of the input in pixels (None: the size that the weights were trained at, else the network's
            default).
        flip: Average the maps with those of the mirror image.
        scales: Average the maps over inputs of these sizes, relative to ``size``.
        labelled_only: Score only images that have labelled people.
        skip_bad: Skip bad images and annotations instead of refusing the data set.
        loader: Batch size and workers of the loader.
        device: Device to run on. ``auto`` is the best device for a checkpoint, and the device on which a network is
            already; any other name moves the network there, and it stays there.
        exif: `follow` turns images by their EXIF orientation, `ignore` reads pixels as stored (None: as in the
            network's training).

    Returns:
        COCO's ten keypoint metrics by pycocotools' rules, from 0 to 1, and the numbers of images and people scored. The
        network's mode (training or evaluation) is restored.

    Raises:
        DataError: the data set cannot be used, or has other keypoints than the network.
        SettingsError: a size, scale or device is invalid.
        CheckpointError: the checkpoint cannot be used.

    Example:
        evaluate("runs/first/best.safetensors", "data/people", split="val", flip=True).ap
    """
    averaging = Averaging.checked(flip=flip, scales=scales)
    used, geometry = prepare_network(network, size=size, device=device)
    data = data if isinstance(data, DataSet) else Path(data)
    packed = open_split(data, split, skip_bad=skip_bad, exif=exif or used.trained_exif, skeleton=used.skeleton)
    if labelled_only:
        packed = packed.labelled_only()
    where = next(used.parameters()).device
    with evaluation_mode(used):
        return predict_split(used, packed, geometry, where, loader, averaging=averaging).stats()


def predict_split(
    network: PoseNetwork,
    split: PackedSplit,
    geometry: InputSettings,
    device: torch.device,
    settings: LoaderSettings,
    *,
    averaging: Averaging = Averaging(),  # noqa: B008 (frozen)
) -> KeypointScorer:
    """Find the people in every image of a split; the returned scorer computes metrics or writes a results file.

    The split was opened with the network's skeleton (``open_split(..., skeleton=network.skeleton)``), perhaps with
    other sigmas, by which it is scored; ValueError if its points or limbs are others.
    """
    ours, theirs = ((each.keypoints, each.parts, each.limbs) for each in (split.skeleton, network.skeleton))
    if ours != theirs:
        raise ValueError(f"{split.annotations}: its skeleton is not the network's: open it with the network's skeleton")
    # A loader for each size, so that every input is letterboxed from the image itself.
    geometries = averaging.geometries(geometry, network)
    loaders = [validation_loader(split, each, settings, with_targets=False) for each in geometries]
    network.eval()
    with torch.inference_mode(), PeopleFinder(split_scorer(split), geometries[0]) as finder:
        for batches in zip(*loaders, strict=True):
            inputs = [batch.images.to(device, non_blocking=True) for batch in batches]
            finder.put(averaged_maps(network, inputs, flip=averaging.flip), batches[0])
    return finder.scorer


def split_scorer(split: PackedSplit) -> KeypointScorer:
    """Make a scorer for the images of a split."""
    image_ids = [split.image_id(p) for p in range(len(split))]
    return KeypointScorer(split.truth, split.skeleton, image_ids=image_ids, category=split.category)


class PeopleFinder:
    """Decodes batches of maps in another thread, while the network works on the next batch.

    Use it as a context manager: after the block, ``scorer`` has the people of all batches. The thread's errors are
    raised by ``put`` or at the end of the block.
    """

    def __init__(self, scorer: KeypointScorer, geometry: InputSettings) -> None:
        self.scorer = scorer
        self.geometry = geometry
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        while kind is None and self._pending:
            self._pending.popleft().result()

    def put(self, maps: Maps, batch: Batch) -> None:
        """Queue the maps of a batch for decoding; waits while the decoder is more than a batch behind."""
        while len(self._pending) > 1:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._find, maps, batch))

    def _find(self, maps: Maps, batch: Batch) -> None:
        with torch.inference_mode():
            for image_id, (people, scores) in find_people(maps, batch, self.geometry, self.scorer.skeleton):
                self.scorer.add(image_id, people, scores)


def find_people(
    maps: Maps, batch: Batch, geometry: InputSettings, skeleton: Skeleton
) -> Iterator[tuple[int, Detections]]:
    """Yield the image id and the people, in the image's own pixels, of every image of a batch.

    Maps of a diverged network (NaN or infinite) have no people.
    """
    detections = decode_batch(*maps.complete(), geometry, skeleton=skeleton)
    for image_id, matrix, (people, scores) in zip(
        batch.image_ids.tolist(), batch.warps.numpy(), detections, strict=True
    ):
        yield image_id, Detections(Warp(matrix).people_back(people), scores)
