"""Figure of `posebench data show`: one sample as the network gets it, with its training targets."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bench.report import text
from bench.report.style import RC, save
from posemodel.inference.drawing import draw_to_scale, scale_people
from posemodel.skeleton import COCO_PERSON, Skeleton

SIDE = 900
"""Pixels of the input's side as drawn: on a small input, skeletons would look stepped."""
IGNORED = "#D0006F"
OPACITY = 0.55
DIMMED = 0.35
"""Factor on the input's brightness under the fields."""
COLUMNS, MAX_ROWS = 10, 4
"""Size of the grid of single maps; of more parts than it holds, the first are drawn."""
WIDTH, HEIGHT = 15.0, 9.0
"""Inches of a figure with two rows of single maps."""
TOP, ROW = 2.4, 0.5
"""Relative heights of the large panels and of a row of single maps."""


def draw_sample(
    image: NDArray[np.uint8],
    people: NDArray[np.floating],
    mask: NDArray[np.uint8],
    heatmaps: NDArray[np.floating],
    pafs: NDArray[np.floating],
    path: Path,
    *,
    title: str,
    skeleton: Skeleton = COCO_PERSON,
) -> None:
    """Draw a sample of `posemodel.data.loader` as a PNG.

    Args:
        image: RGB (S, S, 3).
        people: (N, P, 3) in input pixels.
        mask: (C, C), 0 where a cell is ignored.
        heatmaps: (P + 1, C, C).
        pafs: (2 L, C, C); without limbs their panel and the colour wheel are left out.
        path: The PNG, replaced if it exists.
        title: Title of the figure.
        skeleton: The skeleton of the people, with P parts and L limbs.
    """
    names = (*skeleton.parts, "background")
    wheels = min(skeleton.num_limbs, 1)
    rows = min(-(-(len(names) + wheels) // COLUMNS), MAX_ROWS)
    height = HEIGHT + HEIGHT / (TOP + 2 * ROW) * ROW * (rows - 2)
    with plt.rc_context(RC | {"axes.grid": False}):
        figure = plt.figure(figsize=(WIDTH, height))
        figure.suptitle(text.figure_text(title))
        (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=(TOP, ROW * rows))
        axes = top.subplots(1, 2 + wheels)
        for axis in axes:
            axis.set(xticks=[], yticks=[], anchor="N")
        _input(axes[0], image, people, mask, skeleton)
        cells = bottom.subplots(rows, COLUMNS).ravel()
        for axis in cells:
            axis.set(xticks=[], yticks=[])
        singles = cells[: len(cells) - wheels]
        drawn = [*range(skeleton.num_parts)][: len(singles) - 1]
        _heatmaps(axes[1], image, heatmaps, len(drawn))
        for axis, channel in zip(singles, [*drawn, skeleton.background], strict=False):
            axis.imshow(heatmaps[channel], vmin=0, vmax=1, cmap="magma")
            axis.set_title(text.figure_text(names[channel].replace("_", " ")), fontsize=9)
        for axis in singles[len(drawn) + 1 :]:
            axis.set_axis_off()
        if wheels:
            _fields(axes[2], image, pafs, skeleton)
            _wheel(cells[-1])
        save(figure, path)


def _input(
    axis: Axes, image: NDArray[np.uint8], people: NDArray[np.floating], mask: NDArray[np.uint8], skeleton: Skeleton
) -> None:
    factor = max(SIDE // len(image), 1)
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    drawn = draw_to_scale(large[..., ::-1], scale_people(people, factor), skeleton=skeleton)[..., ::-1]
    axis.imshow(drawn, extent=_extent(len(image)))
    shade = np.zeros((*mask.shape, 4))
    shade[mask == 0] = (*to_rgb(IGNORED), OPACITY)
    axis.imshow(shade, extent=_extent(len(image)), interpolation="nearest")
    count = int((people[..., 2] > 0).any(axis=1).sum())
    people_name = "person" if count == 1 else "people"
    counted = f"{count} {people_name}" if skeleton.name == COCO_PERSON.name else f"{count} of {skeleton.name}"
    axis.set_title(text.figure_text(f"Input, {len(image)} pixels: {counted}"))
    if (mask == 0).any():
        label = f"ignored: {(mask == 0).mean():.0%} of the cells"
        axis.legend(handles=[Patch(color=IGNORED, alpha=OPACITY, label=label)], loc="upper left", bbox_to_anchor=(0, 0))


def _heatmaps(axis: Axes, image: NDArray[np.uint8], heatmaps: NDArray[np.floating], singles: int) -> None:
    """Draw the highest value of the parts' heatmaps in each cell; ``singles`` of them have panels of their own."""
    parts = len(heatmaps) - 1
    highest = heatmaps[:parts].max(axis=0).astype(np.float64)
    axis.imshow(_grey(image), extent=_extent(len(image)))
    drawn = axis.imshow(
        highest,
        extent=_extent(len(image)),
        interpolation="nearest",
        cmap="magma",
        vmin=0,
        vmax=1,
        alpha=0.25 + 0.65 * highest,
    )
    bar = axis.inset_axes((0, -0.06, 1, 0.03))  # inside the panel, which so stays as large as its neighbours
    axis.figure.colorbar(drawn, cax=bar, orientation="horizontal")
    which = "the only part" if parts == 1 else f"the highest of the {parts} parts"
    more = "" if singles == parts else f"; below, the first {singles}"
    axis.set_title(f"Heatmaps, {len(highest)} cells: {which}{more}")


def _fields(axis: Axes, image: NDArray[np.uint8], pafs: NDArray[np.floating], skeleton: Skeleton) -> None:
    """Draw the direction of the longest limb vector in each cell as a hue."""
    vectors = pafs.reshape(skeleton.num_limbs, 2, *pafs.shape[1:]).astype(np.float64)
    lengths = np.hypot(vectors[:, 0], vectors[:, 1])
    x, y = np.take_along_axis(vectors, lengths.argmax(axis=0)[None, None], axis=0)[0]
    axis.imshow(_grey(image) * DIMMED, extent=_extent(len(image)))
    axis.imshow(_directions(x, y), extent=_extent(len(image)), interpolation="nearest")
    which = "the only limb" if skeleton.num_limbs == 1 else f"each of the {skeleton.num_limbs} limbs"
    axis.set_title(f"Part Affinity Fields: direction along {which}")


def _wheel(axis: Axes) -> None:
    """Draw the colour wheel that maps hues to directions."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, 101)] * 2)
    inside = np.hypot(x, y) <= 1
    axis.imshow(_directions(np.where(inside, x, 0), np.where(inside, y, 0), opaque=True))
    axis.set_title("field direction", fontsize=9)
    axis.set_frame_on(False)


def _directions(x: NDArray[np.float64], y: NDArray[np.float64], *, opaque: bool = False) -> NDArray[np.float64]:
    """Return vectors as RGBA (h, w, 4): the angle is the hue, the length the opacity (1 if ``opaque``)."""
    length = np.clip(np.hypot(x, y), 0, 1)
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1
    full = np.ones_like(hue)
    return np.dstack([hsv_to_rgb(np.dstack([hue, full, full])), length > 0 if opaque else length])


def _grey(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the input in grey (S, S, 3), 0 to 1: colours are for the maps."""
    return np.repeat(image.mean(axis=2, keepdims=True) / 255, 3, axis=2)


def _extent(size: int) -> tuple[float, float, float, float]:
    """Return an extent with pixel centres at integers: maps of any number of cells cover the same square."""
    return (-0.5, size - 0.5, size - 0.5, -0.5)
