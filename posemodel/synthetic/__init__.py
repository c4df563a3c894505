"""Synthetic data sets in COCO's layout: rendered human figures with exact keypoints, visibility and segmentations.

In: a number of images and a seed. Out: images and annotations, on disk (``generate``) or in memory, one image at a time
(``render_image``). Nothing here reads other data sets or trains, and files that it did not write are never overwritten.
"""

from posemodel.synthetic.numbered import SPLITS, render_numbered
from posemodel.synthetic.scene import render_image
from posemodel.synthetic.store import MARKER, read_marker
from posemodel.synthetic.write import GENERATOR_VERSION, generate, split_sizes

__all__ = [
    "GENERATOR_VERSION",
    "MARKER",
    "SPLITS",
    "generate",
    "read_marker",
    "render_image",
    "render_numbered",
    "split_sizes",
]
