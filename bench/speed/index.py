"""Time opening an annotation file as large as COCO train2017's, and measure the memory that it takes."""

import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import psutil
from torch.utils.data import DataLoader, Dataset

from bench.speed.compare import Row, summarize
from bench.speed.parts import chain, with_chains
from posemodel.data import index_cache
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, COCO_SKELETON
from posemodel.synthetic.scene import render_image

IMAGES, PEOPLE = 118_000, 150_000
"""Number of images in COCO train2017, and of its people with labelled keypoints."""
MAX_FIRST_RATIO, MAX_CACHED_S, MAX_RESIDENT_MB, MAX_WORKER_MB = 1.3, 1.0, 150, 10
"""Design limits: ratio of `index first`; seconds, MiB, and MiB for each further worker of `index cached`."""
SCENES = 300
"""Number of rendered scenes; their annotations are repeated."""
MARGIN = 64
"""Pixels by which an image may be wider or higher than its scene, so that repeated people are at other positions."""
WORKERS = (1, 3)
"""Numbers of workers between which memory is compared."""
FEW_IMAGES = 64
"""Number of images of the small split, whose memory is negligible."""
_MEGABYTE = 1 << 20
_BATCH_SIZE = 64

T = TypeVar("T")


def measure(*, images: int = IMAGES, people: int = PEOPLE, parts: int | None = None, repeats: int = 5) -> list[Row]:
    """Time ``open_split`` of an annotation file, without inspecting images, against ``json.load`` of the same file.

    Each turn runs in a new process, whose clock starts after its imports; the file is in the system's page cache. For
    `index first` there is no index cache, so it is made (parse, check, pack, write); `index cached` maps it.
    The annotations are those of ``SCENES`` synthetic images, repeated with new ids and, in images without a crowd, at
    other positions in larger images. Once there are ``people`` the remaining images are empty, as in COCO. With
    ``parts``, everyone is a chain of this many keypoints instead, and the limit on resident memory is that of COCO's
    for each keypoint.

    Facts about memory, in MiB, each from a new process:
    - ``resident_mb``: growth of a process's resident memory by opening the split;
    - ``resident_read_mb``: the same after also reading all people and masks;
    - ``worker_pss_mb``, by start method: what one more DataLoader worker adds to the proportional memory (PSS, without
      the files of libraries) of all processes together after reading all people and masks, beyond what it adds with a
      split of ``FEW_IMAGES`` images; None if the system does not report PSS (only Linux does).
    """
    with tempfile.TemporaryDirectory() as folder:
        root, few, cache = Path(folder, "set"), Path(folder, "few"), Path(folder, "cache")
        file, written = write_annotations(root, images=images, people=people, parts=parts)
        write_annotations(few, images=FEW_IMAGES, people=FEW_IMAGES, parts=parts)
        file_mb = file.stat().st_size / _MEGABYTE
        keypoints = COCO_PERSON.num_keypoints if parts is None else parts
        facts = {"images": images, "people": people, "annotations": written, "keypoints": keypoints}
        first_s, cached_s, loading_s = np.empty(repeats), np.empty(repeats), np.empty(repeats)
        for repeat in range(repeats):
            # In alternating order, so that a machine that slows down favours neither side.
            for is_yardstick in (0, 1) if repeat % 2 else (1, 0):
                if is_yardstick:
                    loading_s[repeat] = _in_new_process(_load_seconds, file)
                else:
                    shutil.rmtree(cache, ignore_errors=True)
                    first_s[repeat] = _in_new_process(_open_seconds, root, cache)
                    cached_s[repeat] = _in_new_process(_open_seconds, root, cache)
        cached_memory = _in_new_process(_memory, root, cache)
        workers = {start_method: _worker_pss(root, few, cache, start_method) for start_method in ("fork", "spawn")}
        shutil.rmtree(cache, ignore_errors=True)
        first_memory = _in_new_process(_memory, root, cache)
    return [
        summarize(
            "index first",
            "json.load",
            1000 * first_s,
            1000 * loading_s,
            max_ratio=MAX_FIRST_RATIO,
            **facts,
            file_mb=file_mb,
            **first_memory,
        ),
        summarize(
            "index cached",
            "json.load",
            1000 * cached_s,
            1000 * loading_s,
            **facts,
            file_mb=file_mb,
            **cached_memory,
            worker_pss_mb=workers,
            seconds=statistics.median(cached_s.tolist()),
            asked_seconds=MAX_CACHED_S,
            asked_resident_mb=MAX_RESIDENT_MB * max(keypoints / COCO_PERSON.num_keypoints, 1),
            asked_worker_pss_mb=MAX_WORKER_MB,
        ),
    ]


def write_annotations(
    root: Path, *, images: int, people: int, parts: int | None = None, seed: int = 0
) -> tuple[Path, int]:
    """Write the annotation file of a split `train` without images; return its path and its number of annotations.

    It has at least ``people`` people with labelled keypoints; see ``measure`` for how they are made.
    """
    rng = np.random.default_rng(seed)
    scenes = [render_image(np.random.default_rng([seed, number])) for number in range(min(SCENES, people))]
    if parts is not None:
        scenes = [(pixels, [_chained(person, parts) for person in everyone]) for pixels, everyone in scenes]
    entries: list[dict[str, Any]] = []
    annotations: list[str] = []
    labelled = 0
    for image_id in range(1, images + 1):
        pixels, scene_annotations = scenes[rng.integers(len(scenes))]
        height, width = pixels.shape[:2]
        if not any(annotation["iscrowd"] for annotation in scene_annotations):
            room_x, room_y, x, y = rng.integers(0, MARGIN, 4).tolist()
            scene_annotations = [_moved(annotation, x, y) for annotation in scene_annotations]
            width, height = width + x + room_x, height + y + room_y
        name = f"{image_id:012d}.jpg"
        entries.append({"id": image_id, "file_name": name, "width": width, "height": height, "license": 0})
        if labelled < people:
            for annotation in scene_annotations:
                labelled += annotation["num_keypoints"] > 0
                annotations.append(json.dumps(annotation | {"id": len(annotations) + 1, "image_id": image_id}))
    category = {"id": 1, "name": "person", "keypoints": list(COCO_KEYPOINTS), "skeleton": list(COCO_SKELETON)}
    if parts is not None:
        skeleton = chain(parts)
        pairs = [[start + 1, end + 1] for start, end in skeleton.limbs]
        category |= {"name": skeleton.name, "keypoints": list(skeleton.keypoints), "skeleton": pairs}
    file = root / "annotations" / "person_keypoints_train2017.json"
    file.parent.mkdir(parents=True)
    with file.open("w", encoding="utf-8") as out:
        out.write(f'{{"categories": {json.dumps([category])}, "images": {json.dumps(entries)}, "annotations": [')
        out.write(", ".join(annotations))
        out.write("]}")
    return file, len(annotations)


def _chained(annotation: dict[str, Any], parts: int) -> dict[str, Any]:
    """Return an annotation with the keypoints of a chain through its labelled ones, on tenths of a pixel."""
    points = np.array(annotation["keypoints"], np.float32).reshape(1, -1, 3)
    (points,) = with_chains(points, parts).astype(np.float64).round(1)
    return annotation | {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}


def _moved(annotation: dict[str, Any], x: int, y: int) -> dict[str, Any]:
    """Return an annotation with polygons, moved by (x, y) whole pixels."""
    left, top, width, height = annotation["bbox"]
    triples = np.array(annotation["keypoints"]).reshape(-1, 3)
    triples[triples[:, 2] > 0] += (x, y, 0)
    polygons = [np.add(np.array(p).reshape(-1, 2), (x, y)).ravel().tolist() for p in annotation["segmentation"]]
    return annotation | {
        "bbox": [left + x, top + y, width, height],
        "keypoints": triples.ravel().tolist(),
        "segmentation": polygons,
    }


def _in_new_process(function: Callable[..., T], *arguments: Any) -> T:
    """Return the result of a function run in a new process, which has only imported this module."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@contextmanager
def _cache_at(folder: Path) -> Iterator[None]:
    with mock.patch.dict("os.environ", {"POSEBENCH_CACHE": str(folder)}):
        yield


def _load_seconds(file: Path) -> float:
    began = time.perf_counter()
    with file.open(encoding="utf-8") as lines:
        json.load(lines)
    return time.perf_counter() - began


def _open_seconds(root: Path, cache: Path) -> float:
    with _cache_at(cache):
        began = time.perf_counter()
        split = open_split(root, "train", look_at_images=False)
        seconds = time.perf_counter() - began
    if split.mapped_from is None:
        raise DataError(f"{cache}: the index was not kept there. Is the temporary folder's disk full?")
    return seconds


def _memory(root: Path, cache: Path) -> dict[str, float]:
    """Return the growth of this process's resident memory in MiB by opening a split, and by reading all of it."""
    process = psutil.Process()
    before = process.memory_info().rss
    with _cache_at(cache):
        split = open_split(root, "train", look_at_images=False)
    opened = process.memory_info().rss
    dataset = _People(split, len(split))
    for position in range(len(dataset)):
        dataset[position]
    read = process.memory_info().rss
    return {"resident_mb": (opened - before) / _MEGABYTE, "resident_read_mb": (read - before) / _MEGABYTE}


class _People(Dataset[int]):
    """Data set that reads a split's annotations, repeatedly up to a length; an item is people plus masked pixels."""

    def __init__(self, split: PackedSplit, length: int) -> None:
        self._split, self._length = split, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        position = index % len(self._split)
        mask = self._split.ignore_mask(position)
        return len(self._split.people(position)) + (0 if mask is None else int(mask.sum()))


def _worker_pss(root: Path, few: Path, cache: Path, start_method: str) -> float | None:
    """Return the MiB of PSS that one more worker adds with a split, beyond what it adds with the small split."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists() or "Pss_Anon:" not in rollup.read_text():  # an older Linux kernel
        return None
    added = []
    for folder in (root, few):
        low, high = (_in_new_process(_total_pss, folder, root, cache, start_method, number) for number in WORKERS)
        added.append((high - low) / (WORKERS[1] - WORKERS[0]))
    return added[0] - added[1]


def _total_pss(root: Path, length_of: Path, cache: Path, start_method: str, workers: int) -> float:
    """Return the MiB of PSS of a process and its workers after reading as many items as another split has images."""
    with _cache_at(cache):
        split = open_split(root, "train", look_at_images=False)
        length = len(open_split(length_of, "train", look_at_images=False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of more workers than cores, which matters for speed only
            loader = DataLoader(
                _People(split, length),
                batch_size=_BATCH_SIZE,
                num_workers=workers,
                multiprocessing_context=start_method,
                persistent_workers=True,
            )
            for _ in loader:
                pass
        # One of the children is Python's resource tracker, which holds no part of the split.
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        return sum(_pss(process) for process in processes) / _MEGABYTE


def _pss(process: psutil.Process) -> int:
    """Return the PSS of a process in bytes, without libraries' files: how many programs use these at the same time
    changes."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    mapped = sum(file.pss for file in process.memory_maps() if file.path.endswith(index_cache.SUFFIX))
    return 1024 * (kilobytes["Pss_Anon"] + kilobytes["Pss_Shmem"]) + mapped
