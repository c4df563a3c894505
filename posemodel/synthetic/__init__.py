"""Synthetic people in COCO's format: articulated figures, rendered with their exact keypoints, visibility and segments.

``generate`` writes a set; ``render_image`` makes one image with its annotations and touches no disk.
"""

from posemodel.synthetic.numbered import SPLITS, render_numbered
from posemodel.synthetic.scene import render_image
from posemodel.synthetic.store import MARKER, marker_of
from posemodel.synthetic.write import GENERATOR_VERSION, generate, split_sizes

__all__ = [
    "GENERATOR_VERSION",
    "MARKER",
    "SPLITS",
    "generate",
    "marker_of",
    "render_image",
    "render_numbered",
    "split_sizes",
]
