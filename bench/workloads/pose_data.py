"""The data set of a study that trains a pose network: found, or synthesised; fingerprinted; people required."""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure.machine import usable_cores
from bench.setting_layers import Setting, about
from bench.workloads.protocol import AWAITED, REPORT, SELECT, FoundData, MakeData, OnSkip, ProbeData
from posemodel.data.coco import PackedSplit, open_split
from posemodel.data.layout import fingerprint
from posemodel.data.synthetic import GENERATOR_VERSION, generate, marker_of, split_sizes
from posemodel.errors import DataError

if TYPE_CHECKING:
    from bench.workloads.pose import PoseSettings

DATA_FOLDER = Path("data")
SYNTHETIC_SEED = 0
PROBE_IMAGES = 60
"""Synthetic images that are made to measure on, where the study's own are still to be made."""


def find_data(settings: Mapping[str, Setting], make_data: MakeData | None, on_skip: OnSkip | None = None) -> FoundData:
    """The data set that `data` names, or the synthetic one of `synthetic_images`, made where it is not complete.

    ``make_data`` makes it; None (a dry run) leaves it to be made later. ``on_skip`` hears what `skip_bad` left out.
    DataError if a split has no labelled person.
    """
    folder, data_s, awaited = settings["data"].value, 0.0, False
    images = settings["synthetic_images"].value
    if folder is None:
        folder = DATA_FOLDER / f"synthetic-{images}-seed{SYNTHETIC_SEED}"
        if make_data is not None:
            began = time.perf_counter()
            make_data(folder, images, SYNTHETIC_SEED)
            data_s = time.perf_counter() - began
        awaited = make_data is None and not _stands(folder)
    folder = Path(folder).resolve()
    if awaited:
        return FoundData(folder, AWAITED, images, data_s)
    skip_bad = "skip_bad" in settings and settings["skip_bad"].value
    with about(settings, "data"):
        splits = _open_splits(folder, skip_bad=skip_bad)
    if on_skip is not None and skip_bad:
        on_skip(splits)
    return FoundData(folder, _digest(folder, splits), None, data_s)


def _stands(folder: Path) -> bool:
    """Whether the default synthetic set is complete; DataError if it is of another generator."""
    marker = marker_of(folder)
    if marker is not None and marker.get("version") != GENERATOR_VERSION:
        raise DataError(
            f"{folder}: holds a synthetic set of generator version {marker.get('version')}, this is version "
            f"{GENERATOR_VERSION}: remove the folder yourself, or give it with --data."
        )
    return marker is not None and marker.get("complete") is True


def _open_splits(folder: Path, *, skip_bad: bool) -> list[PackedSplit]:
    """A study chooses on `select` and reports on `report`: without labelled people there is no AP to go by."""
    splits = []
    for split, hold_out in (("train", True), (SELECT, False), (REPORT, False)):
        packed = open_split(folder, split, hold_out_select=hold_out, skip_bad=skip_bad)
        if not len(packed.labelled_only()):
            raise DataError(
                f"{packed.annotations}: the split `{split}` ({len(packed)} images) has no labelled person; a study "
                "needs some in each of train, select and report."
            )
        splits.append(packed)
    return splits


def _digest(folder: Path, splits: Sequence[PackedSplit]) -> str:
    """The annotations' fingerprint; where something was left out, of the images that are left as well.

    A file that is mended between two calls changes what is trained on, and with it the study.
    """
    digest = fingerprint(folder)
    if not any(split.left_out for split in splits):
        return digest
    kept = "".join(split.digest() for split in splits)
    return hashlib.sha256((digest + kept).encode()).hexdigest()[: len(digest)]


@contextmanager
def probe_data(own: "PoseSettings", data: Path, awaited_images: int | None, batch_size: int) -> Iterator[ProbeData]:
    """The study's own people; where they are awaited, a few synthetic ones in a temporary folder."""
    if awaited_images is None:
        splits = (SELECT, REPORT)
        yield ProbeData(data, {split: len(open_split(data, split, skip_bad=own.skip_bad)) for split in splits})
        return
    sizes = split_sizes(awaited_images)
    with tempfile.TemporaryDirectory(prefix="posebench-estimate-") as folder:
        count = min(max(PROBE_IMAGES, 2 * batch_size), awaited_images)
        began = time.perf_counter()
        generate(Path(folder, "people"), images=count, seed=0, num_workers=0)
        image_s = (time.perf_counter() - began) / count
        yield ProbeData(
            Path(folder, "people"),
            {SELECT: sizes["select"], REPORT: sizes["val"]},
            data_s=awaited_images * image_s / usable_cores(),
        )
