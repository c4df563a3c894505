"""How long it takes to open annotations of the size of COCO train2017, and how much memory they hold."""

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
from posemodel.data import index_cache
from posemodel.data.coco import PackedSplit, open_split
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS, COCO_SKELETON
from posemodel.synthetic.scene import render_image

IMAGES, PEOPLE = 118_000, 150_000
"""As many images as COCO train2017 has, and people with labelled keypoints."""
ASKED_FIRST, ASKED_CACHED_S, ASKED_RESIDENT_MB, ASKED_WORKER_MB = 1.3, 1.0, 150, 10
SCENES = 300
"""Rendered once, and used again and again."""
MARGIN = 64
"""Pixels by which an image may be larger than its scene, so that people stand elsewhere each time."""
WORKERS = (1, 3)
"""Workers of which the memory is compared."""
FEW_IMAGES = 64
"""Of the split that stands for none."""
_MEGABYTE = 1 << 20
_BATCH_SIZE = 64

T = TypeVar("T")


def measure(*, images: int = IMAGES, people: int = PEOPLE, repeats: int = 5) -> list[Row]:
    """Time ``open_split`` of an annotation file, without looking at images, against ``json.load`` of the same file.

    Each turn is a process of its own, which has imported what it needs when its clock starts; the file is in the
    system's page cache. `index first` finds no cache and makes it (parse, check, pack, write), `index cached` maps it.
    The annotations are those of ``SCENES`` images by the synthetic annotator, repeated with new ids and, where no crowd
    is in the image, moved about in larger images; as in COCO the images beyond them are empty.

    Facts of memory, in MiB, from processes of their own: ``resident_mb`` is the growth of a process's resident memory
    by opening the split, ``resident_read_mb`` the same after everybody and every mask was read, too. ``worker_pss_mb``
    is what one more DataLoader worker adds to the proportional memory (PSS, without libraries' files) of all processes
    together once they have read all people and masks, beyond what it adds with a split of ``FEW_IMAGES`` images; None
    where the system does not tell (only Linux does).
    """
    with tempfile.TemporaryDirectory() as folder:
        root, few, cache = Path(folder, "set"), Path(folder, "few"), Path(folder, "cache")
        file, written = write_annotations(root, images=images, people=people)
        write_annotations(few, images=FEW_IMAGES, people=FEW_IMAGES)
        facts = {"images": images, "people": people, "annotations": written, "file_mb": file.stat().st_size / _MEGABYTE}
        first, cached, loading = np.empty(repeats), np.empty(repeats), np.empty(repeats)
        for repeat in range(repeats):
            # In changing order, so that a machine that gets slower favours nobody.
            for part in (0, 1) if repeat % 2 else (1, 0):
                if part:
                    loading[repeat] = _in_new_process(_load_seconds, file)
                else:
                    shutil.rmtree(cache, ignore_errors=True)
                    first[repeat] = _in_new_process(_open_seconds, root, cache)
                    cached[repeat] = _in_new_process(_open_seconds, root, cache)
        cached_memory = _in_new_process(_memory, root, cache)
        workers = {way: _worker_pss(root, few, cache, way) for way in ("fork", "spawn")}
        shutil.rmtree(cache, ignore_errors=True)
        first_memory = _in_new_process(_memory, root, cache)
    return [
        summarize("index first", "json.load", 1000 * first, 1000 * loading, asked=ASKED_FIRST, **facts, **first_memory),
        summarize(
            "index cached",
            "json.load",
            1000 * cached,
            1000 * loading,
            **facts,
            **cached_memory,
            worker_pss_mb=workers,
            seconds=statistics.median(cached.tolist()),
            asked_seconds=ASKED_CACHED_S,
            asked_resident_mb=ASKED_RESIDENT_MB,
            asked_worker_pss_mb=ASKED_WORKER_MB,
        ),
    ]


def write_annotations(root: Path, *, images: int, people: int, seed: int = 0) -> tuple[Path, int]:
    """Write the annotation file of a split `train` without images; returns it and the number of its annotations.

    ``people`` with labelled keypoints at the least; see ``measure``.
    """
    rng = np.random.default_rng(seed)
    scenes = [render_image(np.random.default_rng([seed, number])) for number in range(min(SCENES, people))]
    entries: list[dict[str, Any]] = []
    annotations: list[str] = []
    labelled = 0
    for image_id in range(1, images + 1):
        pixels, found = scenes[rng.integers(len(scenes))]
        height, width = pixels.shape[:2]
        if not any(annotation["iscrowd"] for annotation in found):
            room_x, room_y, x, y = rng.integers(0, MARGIN, 4).tolist()
            found = [_moved(annotation, x, y) for annotation in found]
            width, height = width + x + room_x, height + y + room_y
        name = f"{image_id:012d}.jpg"
        entries.append({"id": image_id, "file_name": name, "width": width, "height": height, "license": 0})
        if labelled < people:
            for annotation in found:
                labelled += annotation["num_keypoints"] > 0
                annotations.append(json.dumps(annotation | {"id": len(annotations) + 1, "image_id": image_id}))
    category = {"id": 1, "name": "person", "keypoints": list(COCO_KEYPOINTS), "skeleton": list(COCO_SKELETON)}
    file = root / "annotations" / "person_keypoints_train2017.json"
    file.parent.mkdir(parents=True)
    with file.open("w", encoding="utf-8") as out:
        out.write(f'{{"categories": {json.dumps([category])}, "images": {json.dumps(entries)}, "annotations": [')
        out.write(", ".join(annotations))
        out.write("]}")
    return file, len(annotations)


def _moved(annotation: dict[str, Any], x: int, y: int) -> dict[str, Any]:
    """An annotation with polygons, moved by whole pixels."""
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
    """What a function returns in a process that has imported this module and done nothing else."""
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
    """What a split adds to the resident memory of this process: opened, and read from end to end."""
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
    """Reads the annotations of a split, over and over up to a length: the number of people and of masked pixels."""

    def __init__(self, split: PackedSplit, length: int) -> None:
        self._split, self._length = split, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        position = index % len(self._split)
        mask = self._split.ignore_mask(position)
        return len(self._split.people(position)) + (0 if mask is None else int(mask.sum()))


def _worker_pss(root: Path, few: Path, cache: Path, way: str) -> float | None:
    """MiB of PSS that one more worker adds with a split, beyond those with a split of few images."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists() or "Pss_Anon:" not in rollup.read_text():  # an older kernel
        return None
    added = []
    for folder in (root, few):
        low, high = (_in_new_process(_total_pss, folder, root, cache, way, number) for number in WORKERS)
        added.append((high - low) / (WORKERS[1] - WORKERS[0]))
    return added[0] - added[1]


def _total_pss(root: Path, as_long_as: Path, cache: Path, way: str, workers: int) -> float:
    """MiB of PSS of a process and its workers, which have read a split as often as another one has images."""
    with _cache_at(cache):
        split = open_split(root, "train", look_at_images=False)
        length = len(open_split(as_long_as, "train", look_at_images=False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # more workers than cores: it is not about speed
            loader = DataLoader(
                _People(split, length),
                batch_size=_BATCH_SIZE,
                num_workers=workers,
                multiprocessing_context=way,
                persistent_workers=True,
            )
            for _ in loader:
                pass
        # Of this process's children one is Python's resource tracker, which holds nothing of this.
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        return sum(_pss(process) for process in processes) / _MEGABYTE


def _pss(process: psutil.Process) -> int:
    """Bytes of PSS without that of libraries' files, which whatever else runs on the machine shares at times."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    mapped = sum(file.pss for file in process.memory_maps() if file.path.endswith(index_cache.SUFFIX))
    return 1024 * (kilobytes["Pss_Anon"] + kilobytes["Pss_Shmem"]) + mapped
