"""Figure of `posebench data stats`: people, sizes, joints and views of a data set, split by split."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from bench.report.style import COLOURS, DPI, RC, nothing_to_show, series_style, shortened
from bench.report.text import figure_text
from posemodel.atomic_write import atomic_path
from posemodel.data.stats import HEIGHT_BIN, VIEWS, Tally
from posemodel.errors import DataError

SIGNATURE = "posebench data stats"
"""Value of the PNG's `Software` field; only a file that has it is overwritten."""
_HEAD_BYTES = 4096
_STATES = (("visible", 2, COLOURS[0]), ("occluded", 1, COLOURS[1]), ("not labelled", 0, "#BBBBBB"))
_MOST_PEOPLE = 10
"""Number of people of the last bar, which also counts images with more people."""
_MOST_NAMES, _NAME_CHARACTERS, _NAMES_POINTS = 40, 20, 187.0
"""Maximum number of keypoints that are named in the figure, of characters of a name, and height of all names in points.
"""


def draw_stats(tallies: dict[str, Tally], total: Tally, path: Path, *, title: str, objects: str = "people") -> None:
    """Draw each split (at most eight differ in colour) and, for the joints, all splits together, as a PNG.

    ``objects``: word for what is annotated, people or objects.

    Raises DataError if ``path`` exists and was not drawn by this function.
    """
    if path.exists() and SIGNATURE.encode() not in _head(path):
        raise DataError(f"{path}: exists and was not drawn by this command; name another file with --out.")
    with plt.rc_context(RC):
        figure, axes = plt.subplots(2, 3, figsize=(14, 8))
        figure.suptitle(figure_text(title))
        _people(axes[0, 0], tallies, objects)
        _heights(axes[0, 1], tallies, objects)
        _joints(axes[0, 2], total, objects)
        _views(axes[1, 0], tallies, objects)
        _shares(axes[1, 1], tallies, objects)
        _sizes(axes[1, 2], tallies)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": SIGNATURE})
        plt.close(figure)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _grouped(axis: Axes, names: list[str], shares: dict[str, list[float]]) -> None:
    """Draw bars in percent: a group for each name, a bar for each split."""
    width = 0.8 / max(1, len(shares))
    for index, (split, values) in enumerate(shares.items()):
        offset = (index - (len(shares) - 1) / 2) * width
        axis.bar(
            np.arange(len(names)) + offset,
            100 * np.array(values),
            width,
            color=series_style(index)["color"],
            label=figure_text(split),
        )
    axis.set_xticks(range(len(names)), names)
    axis.grid(visible=False, axis="x")


def _fractions(counts: list[int], total: int) -> list[float]:
    return [count / total if total else 0.0 for count in counts]


def _people(axis: Axes, tallies: dict[str, Tally], objects: str) -> None:
    most = min(_MOST_PEOPLE, max(len(tally.people_histogram) - 1 for tally in tallies.values()))
    shares = {}
    for split, tally in tallies.items():
        counts = [*tally.people_histogram, *[0] * most]
        shares[split] = _fractions([*counts[:most], sum(counts[most:])], len(tally.sizes))
    larger = any(len(tally.people_histogram) > most + 1 for tally in tallies.values())
    _grouped(axis, [*map(str, range(most)), f"{most}+" if larger else str(most)], shares)
    axis.set(
        title=f"{objects.capitalize()} in an image",
        xlabel=f"{objects} with labelled keypoints",
        ylabel="share of images (%)",
    )


def _heights(axis: Axes, tallies: dict[str, Tally], objects: str) -> None:
    for index, tally in enumerate(tallies.values()):
        counts = tally.height_histogram
        middles = 100 * HEIGHT_BIN * (np.arange(len(counts)) + 0.5)
        axis.plot(middles, 100 * np.array(_fractions(counts, len(tally.heights))), markersize=4, **series_style(index))
    axis.set(
        title=f"Height of {objects}", xlabel="height of the box (% of the image's)", ylabel=f"share of {objects} (%)"
    )
    axis.set_xlim(0, 100)
    axis.set_ylim(bottom=0)


def _joints(axis: Axes, total: Tally, objects: str) -> None:
    people = len(total.heights)
    count = len(total.keypoints)
    left = np.zeros(count)
    for name, state, colour in _STATES:
        values = 100 * np.array(_fractions(total.joints[:, state].tolist(), people))
        axis.barh(range(1, count + 1), values, left=left, color=colour, label=name)
        left += values
    if count <= _MOST_NAMES:
        size = min(11.0, _NAMES_POINTS / count)
        names = [shortened(name.replace("_", " "), _NAME_CHARACTERS) for name in total.keypoints]
        axis.set_yticks(range(1, count + 1), [figure_text(name) for name in names], fontsize=size)
    else:
        axis.set_ylabel("keypoint, in the annotations' order")
    axis.set_ylim(0.4, count + 0.6)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.set_xlim(0, 100)
    axis.set(title="Joints, all splits", xlabel=f"share of {objects} (%)")
    axis.legend(loc="lower left", bbox_to_anchor=(0, -0.32), ncols=3)


def _views(axis: Axes, tallies: dict[str, Tally], objects: str) -> None:
    if all((tally.views == VIEWS.index("unknown")).all() for tally in tallies.values()):
        nothing_to_show(axis, "unknown: nobody has shoulders and hips of COCO's names that are all labelled")
        axis.set(title="Seen from")
        return
    shares = {
        split: _fractions(np.bincount(tally.views, minlength=len(VIEWS)).tolist(), len(tally.views))
        for split, tally in tallies.items()
    }
    _grouped(axis, list(VIEWS), shares)
    axis.set(title="Seen from", xlabel="by the order of the shoulders", ylabel=f"share of {objects} (%)")


def _shares(axis: Axes, tallies: dict[str, Tally], objects: str) -> None:
    names = [
        "images of\n3 or more",
        "joints\noccluded",
        f"{objects} cut\nby border",
        f"{objects} w/o\nkeypoints",
        "crowds",
    ]
    shares = {}
    for split, tally in tallies.items():
        joints, annotations = tally.joints.sum(0), len(tally.heights) + tally.unlabelled + tally.crowds
        shares[split] = [
            *_fractions([int((tally.people_per_image >= 3).sum())], len(tally.sizes)),
            *_fractions([int(joints[1])], int(joints[1] + joints[2])),
            *_fractions([int(tally.cut.sum())], len(tally.heights)),
            *_fractions([tally.unlabelled, tally.crowds], annotations),
        ]
    _grouped(axis, names, shares)
    axis.set(title="What makes it hard", ylabel="share (%)")
    axis.set_ylim(0, max(axis.get_ylim()[1], 1))
    axis.tick_params(axis="x", labelsize=8)


def _sizes(axis: Axes, tallies: dict[str, Tally]) -> None:
    for index, tally in enumerate(tallies.values()):
        sizes, counts = np.unique(tally.sizes, axis=0, return_counts=True)
        style = series_style(index)
        area = 15 + 300 * counts / max(1, counts.sum())
        axis.scatter(
            sizes[:, 0], sizes[:, 1], s=area, facecolors="none", edgecolors=style["color"], marker=style["marker"]
        )
    axis.set(title="Image sizes (larger mark: more images)", xlabel="width (pixels)", ylabel="height (pixels)")
    widest, tallest = np.max([tally.sizes.max(0) for tally in tallies.values()], axis=0).tolist()
    axis.set_xlim(0, 1.08 * widest)
    axis.set_ylim(0, 1.08 * tallest)
