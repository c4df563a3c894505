"""Provide the images for speed measurements: the user's, or a few synthetic ones."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posemodel.data.open_split import PackedSplit, open_split
from posemodel.errors import DataError
from posemodel.synthetic import generate

SYNTHETIC_IMAGES = 40
SYNTHETIC_SIDE = 640
"""Width and height in pixels; COCO's images are as large."""


@contextmanager
def labelled_images(data: Path | None) -> Iterator[PackedSplit]:
    """Open the images with labelled people of the split `train`; None: of a synthetic set in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        root = data
        if root is None:
            root = Path(folder, "synthetic")
            generate(root, images=SYNTHETIC_IMAGES, seed=0, size=(SYNTHETIC_SIDE, SYNTHETIC_SIDE), num_workers=0)
        split = open_split(root, "train").labelled_only()
        if not len(split):
            raise DataError(
                f"{split.annotations}: no image has a labelled person, so nothing can be measured. Give another --data."
            )
        yield split


def data_name(data: Path | None) -> str:
    """Return the name of the data set's folder, or `synthetic`."""
    return "synthetic" if data is None else data.resolve().name
