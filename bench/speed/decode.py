"""Time the decoder (maps to people) against reading the image file, for one image, batches and crowds."""

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bench.speed.compare import Pair, Row, compare, threads
from bench.speed.data import labelled_images
from bench.speed.parts import chain, max_ratio, with_chains
from posemodel.config import InputSettings
from posemodel.data.augment import Warp, letterbox
from posemodel.data.open_split import PackedSplit
from posemodel.data.targets import make_heatmaps, make_pafs, sigma_cells
from posemodel.errors import DataError
from posemodel.inference.decoder import DecodeSettings, Detections, decode, decode_batch
from posemodel.inference.decoder.candidates import Candidates
from posemodel.inference.decoder.grouping import group
from posemodel.inference.decoder.with_numpy import find_limbs, find_peaks
from posemodel.scoring.scorer import KeypointScorer
from posemodel.skeleton import Skeleton

GEOMETRY = InputSettings(size=368, stride=8)
"""OpenPose's input in pixels and its maps: 46 x 46 cells."""
MOST_PEOPLE = 5
"""Maximum number of labelled people in an image of the row `decode`; images with more are left out."""
NOISE = 0.02
"""Standard deviation of the Gaussian noise on every cell of all maps."""
CROWDS = (1, 5, 20, 50)
"""Numbers of people in one image, a row for each."""
MARGIN = 0.1
"""Empty border on each side of a person's square in a crowd, as a share of the square."""
BATCH_SIZE = 8
PARTS_REPEATS = 15


class Scene(NamedTuple):
    """The noisy maps of one image, (P + 1, 46, 46) and (2 L, 46, 46), the number of people in them, their skeleton."""

    heatmaps: NDArray[np.float32]
    pafs: NDArray[np.float32]
    people: int
    skeleton: Skeleton


class DecodingQuality(TypedDict):
    """Labelled people, people found by the decoder, and their COCO AP and AR, over all images."""

    people: int
    found: int
    ap: float | None
    ar: float | None


def measure(data: Path | None, *, parts: int | None = None, repeats: int = 15) -> list[Row]:
    """Time decoding of noisy 46 x 46 maps against ``cv2.imread``, on one thread.

    - Row `decode`: maps made from the annotations of the images of the split `train` with 1 to 5 labelled people, each
      against its own file. Its facts are how many people were found, their AP and AR, and the time of each part.
    - Row `decode in batches`: the same maps, `BATCH_SIZE` images at a time.
    - Rows `decode N people`: N of those people side by side in one image, against the first file.
    - With ``parts``, row `decode P parts`: the images of the first row with a chain of this many parts for each
      person, against the first row's maps; it may take as many times longer as there are more parts.
    """
    with threads(1), labelled_images(data) as split:
        positions = [p for p in range(len(split)) if split.people_count(p) <= MOST_PEOPLE]
        if not positions:
            raise DataError(f"{split.annotations}: no image has 1 to {MOST_PEOPLE} labelled people.")
        warps = [letterbox(*split.size(p), GEOMETRY.size) for p in positions]
        people = [warp.people(split.people(p), split.skeleton) for warp, p in zip(warps, positions, strict=True)]
        scenes = [_scene(each, seed, split.skeleton) for seed, each in enumerate(people)]
        files = [str(split.path(p)) for p in positions]
        quality = _quality(split, positions, warps, scenes)
        pairs = [Pair(_decoding(scene), _reading(file)) for scene, file in zip(scenes, files, strict=True)]
        row = compare("decode", "cv2.imread", pairs, repeats=repeats, max_ratio=0.45, images=len(scenes), **quality)
        row.facts["parts_ms"] = part_times(scenes)
        crowds = [_crowd_row(people, number, split.skeleton, files[0], repeats) for number in CROWDS]
        rows = [row, _batch_row(scenes, files, repeats), *crowds]
        return rows if parts is None else [*rows, _parts_row(people, scenes, parts, repeats)]


def _scene(people: NDArray[np.float32], seed: int, skeleton: Skeleton) -> Scene:
    rng = np.random.default_rng(seed)
    heatmaps, pafs = (
        maps + rng.normal(0, NOISE, maps.shape).astype(np.float32)
        for maps in (make_heatmaps(people, GEOMETRY), make_pafs(people, GEOMETRY, skeleton))
    )
    return Scene(heatmaps, pafs, len(people), skeleton)


def _decoding(scene: Scene) -> Callable[[], Detections]:
    return lambda: decode(scene.heatmaps, scene.pafs, GEOMETRY, skeleton=scene.skeleton)


def _reading(*files: str) -> Callable[[], object]:
    return lambda: [cv2.imread(file) for file in files]


def _quality(split: PackedSplit, positions: list[int], warps: list[Warp], scenes: list[Scene]) -> DecodingQuality:
    """Decode all scenes and score the people found against the annotations."""
    scorer = KeypointScorer(split.truth, split.skeleton, image_ids=[split.image_id(p) for p in positions])
    number_found = 0
    for position, warp, scene in zip(positions, warps, scenes, strict=True):
        detections = _decoding(scene)()
        scorer.add(split.image_id(position), warp.people_back(detections.people), detections.scores)
        number_found += len(detections.people)
    scores = scorer.stats()
    return {"people": scores.people, "found": number_found, "ap": scores.ap, "ar": scores.ar}


def _batch_row(scenes: list[Scene], files: list[str], repeats: int) -> Row:
    pairs = []
    for first in range(0, len(scenes), BATCH_SIZE):
        chosen = scenes[first : first + BATCH_SIZE]
        heatmaps, pafs = (torch.from_numpy(np.stack(maps)) for maps in list(zip(*chosen, strict=True))[:2])
        ours = _batch_decoding(heatmaps, pafs, chosen[0].skeleton)
        pairs.append(Pair(ours, _reading(*files[first : first + BATCH_SIZE])))
    return compare(
        "decode in batches", "cv2.imread of as many", pairs, repeats=repeats, images=len(scenes), batch_size=BATCH_SIZE
    )


def _batch_decoding(heatmaps: torch.Tensor, pafs: torch.Tensor, skeleton: Skeleton) -> Callable[[], list[Detections]]:
    return lambda: decode_batch(heatmaps, pafs, GEOMETRY, skeleton=skeleton)


def _parts_row(people: list[NDArray[np.float32]], scenes: list[Scene], parts: int, repeats: int) -> Row:
    skeleton = chain(parts)
    chains = [_scene(with_chains(each, parts), seed, skeleton) for seed, each in enumerate(people)]
    found = [_decoding(scene)() for scene in chains]
    usual = scenes[0].skeleton.num_parts
    return compare(
        f"decode {parts} parts",
        f"decode {usual} parts",
        [Pair(_decoding(ours), _decoding(other)) for ours, other in zip(chains, scenes, strict=True)],
        repeats=repeats,
        max_ratio=max_ratio(parts, usual),
        parts=parts,
        limbs=skeleton.num_limbs,
        images=len(scenes),
        people=sum(scene.people for scene in scenes),
        found=sum(len(each.scores) for each in found),
    )


def _crowd_row(people: list[NDArray[np.float32]], number: int, skeleton: Skeleton, file: str, repeats: int) -> Row:
    scene = _scene(crowd(people, number), number, skeleton)
    detections = _decoding(scene)()
    return compare(
        f"decode {number} people",
        "cv2.imread of one image",
        [Pair(_decoding(scene), _reading(file))],
        repeats=repeats,
        people=number,
        found=len(detections.people),
        parts=int((detections.people[..., 2] > 0).sum()),
    )


def crowd(people: list[NDArray[np.float32]], number: int) -> NDArray[np.float32]:
    """Arrange ``number`` people (number, P, 3) in a square grid over one input, each scaled to fill its grid cell.

    ``people``: arrays (N, P, 3) in input pixels. Those with the most labelled parts come first; they repeat if there
    are fewer than ``number``.
    """
    by_labels = sorted(np.concatenate(people), key=lambda person: -np.count_nonzero(person[:, 2]))
    columns = math.ceil(math.sqrt(number))
    side = GEOMETRY.size / columns
    arranged = np.zeros((number, *by_labels[0].shape), np.float32)
    for cell in range(number):
        person = by_labels[cell % len(by_labels)]
        labelled = person[:, 2] > 0
        points = person[labelled, :2]
        low, extent = points.min(axis=0), max(np.ptp(points, axis=0).max(), 1.0)
        corner = side * (np.array([cell % columns, cell // columns]) + MARGIN)
        arranged[cell, labelled, :2] = corner + (points - low) / extent * side * (1 - 2 * MARGIN)
        arranged[cell, labelled, 2] = 2
    return arranged


def part_times(scenes: list[Scene]) -> dict[str, float]:
    """Return the milliseconds of each part of decoding: mean over the images, median over the repeats."""
    settings, sigma = DecodeSettings(), sigma_cells(GEOMETRY)
    times: dict[str, list[float]] = {"peaks": [], "limbs": [], "grouping": []}
    for repeat in range(PARTS_REPEATS + 1):
        sums = [0.0, 0.0, 0.0]
        for scene in scenes:
            moments = [time.perf_counter()]
            peaks = find_peaks(scene.heatmaps[:-1], sigma, settings)
            moments.append(time.perf_counter())
            limbs = find_limbs(peaks, scene.pafs[None], settings, scene.skeleton)
            moments.append(time.perf_counter())
            group(Candidates(peaks, limbs, scene.skeleton), 1, GEOMETRY.stride)
            moments.append(time.perf_counter())
            sums = [total + later - earlier for total, earlier, later in zip(sums, moments, moments[1:], strict=False)]
        if repeat:  # the first repeat warms up
            for name, seconds in zip(times, sums, strict=True):
                times[name].append(1000 * seconds / len(scenes))
    return {name: statistics.median(each) for name, each in times.items()}
