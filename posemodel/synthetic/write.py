"""Writing of a synthetic data set in COCO's layout; it can be resumed, and never overwrites other files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from posemodel.skeleton import COCO_KEYPOINTS, COCO_SKELETON
from posemodel.synthetic.numbered import IDS_PER_SPLIT, SPLITS, Entry, image_id
from posemodel.synthetic.pool import default_workers, render_all
from posemodel.synthetic.store import Store

GENERATOR_VERSION = 2
"""Version of images and annotations; increase it with every change to them, so that versions never mix in a set."""

HELD_OUT_SHARE = 0.1
"""Share of the images in ``select``, and the same share in ``val``."""


def generate(
    directory: Path,
    *,
    images: int,
    seed: int,
    size: tuple[int, int] | None = None,
    num_workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write a synthetic data set; the same arguments give the same bytes (with the same OpenCV).

    Calling it again with the same arguments resumes an interrupted call: only unfinished images are made. A complete
    set is compared with its checksums, and missing or damaged files are made again. Image i of a split is the same in a
    set of any size.

    Example:
        generate(Path("people"), images=1000, seed=0)  # {"train": 800, "select": 100, "val": 100}

    Args:
        directory: Folder for ``annotations/`` and ``images/``: new, empty, or of an earlier call with equal arguments.
        images: Images of all splits together; 10 % each go to ``select`` and ``val``, at least one.
        seed: Any integer from 0.
        size: (width, height) of every image in pixels, each at least 32; None varies it.
        num_workers: Number of rendering processes; 0 renders in this one; None is one for each core, or 0 for a small
            set.
        on_progress: Called with (finished images, all images): once with those on disk, then after each image.

    Returns:
        The number of images in each split.

    Raises:
        ValueError: Fewer than three images, a negative seed or number of workers, or a size below 32 pixels.
        FileExistsError: The directory holds something else.
        RuntimeError: A rendering process died; the same call resumes.
    """
    counts = split_sizes(images)
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    if num_workers is not None and num_workers < 0:
        raise ValueError(f"num_workers must be 0 or more, not {num_workers}")
    if size is not None and min(size) < 32:
        raise ValueError(f"size must be at least 32 x 32 pixels, not {size[0]} x {size[1]}")
    parameters: dict[str, Any] = {
        "generator": "posemodel.data.synthetic",
        "version": GENERATOR_VERSION,
        "images": images,
        "seed": seed,
        "size": list(size) if size is not None else None,
    }
    numbers = [(split_number, index) for split_number, split in enumerate(SPLITS) for index in range(counts[split])]
    store = Store(Path(directory), parameters, {image_id(*number) for number in numbers})
    if store.complete:
        return counts
    store.begin()
    missing = [number for number in numbers if image_id(*number) not in store.entries]
    done = len(numbers) - len(missing)
    if on_progress is not None and done:
        on_progress(done, images)
    workers = default_workers(len(missing)) if num_workers is None else min(num_workers, len(missing))
    rendered = render_all(missing, seed, size, workers)
    try:
        for jpeg, entry in rendered:
            store.add(jpeg, entry)
            done += 1
            if on_progress is not None:
                on_progress(done, images)
    finally:
        rendered.close()
    store.finish(
        {
            split: _coco([store.entries[image_id(split_number, index)] for index in range(counts[split])])
            for split_number, split in enumerate(SPLITS)
        }
    )
    return counts


def split_sizes(images: int) -> dict[str, int]:
    """Return the number of images in each split; ValueError if there are too few or too many for the splits."""
    if images < len(SPLITS):
        raise ValueError(f"images must be at least {len(SPLITS)}, one for each of {', '.join(SPLITS)}; not {images}")
    if images > IDS_PER_SPLIT:
        raise ValueError(f"images must be at most {IDS_PER_SPLIT}, not {images}")
    held_out = max(1, round(HELD_OUT_SHARE * images))
    return {"train": images - 2 * held_out, "select": held_out, "val": held_out}


def _coco(entries: list[Entry]) -> dict[str, Any]:
    """Return the content of one split's annotation file."""
    return {
        "info": {"description": "Synthetic people of posemodel.synthetic", "version": str(GENERATOR_VERSION)},
        "licenses": [{"id": 0, "name": "Synthetic: no photograph, no person", "url": ""}],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(COCO_KEYPOINTS),
                "skeleton": [list(pair) for pair in COCO_SKELETON],
            }
        ],
        "images": [entry["image"] for entry in entries],
        "annotations": [annotation for entry in entries for annotation in entry["annotations"]],
    }
