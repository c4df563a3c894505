"""A grid of panels, one an optimizer, all on one scale."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.style import WIDTH

MOST_PANELS = {1: 1, 2: 2, 3: 3, 4: 2, 9: 3}
"""Number of columns, by the maximum number of panels for which it is used; more panels use `COLUMNS`."""
COLUMNS = 4
ROW_HEIGHT, FRAME_HEIGHT = 2.3, 1.2
"""Height in inches of a row of panels, and of everything around them."""
SUBTITLE_SIZE, SUBTITLE_ROOM = 9.5, 17.0
"""Font size of a subtitle, and distance of a title from its panel, in points."""


def panel_grid(
    titles: Sequence[str], subtitles: Sequence[str], *, x_label: str, y_label: str
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel a title, labelled at its outer axes. Call it under `RC`.

    Args:
        titles: Titles of the panels.
        subtitles: A few words below each title, in small letters; may be empty.
        x_label: Label of the x axes.
        y_label: Label of the y axes.
    """
    columns = next((columns for most, columns in MOST_PANELS.items() if len(titles) <= most), COLUMNS)
    rows = math.ceil(len(titles) / columns)
    size = (WIDTH, FRAME_HEIGHT + ROW_HEIGHT * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for index, axis in enumerate(grid.flat):
        if index >= len(titles):
            axis.set_axis_off()
            continue
        axis.set_title(titles[index], fontweight="bold", pad=SUBTITLE_ROOM if any(subtitles) else None)
        if subtitles[index]:
            axis.annotate(
                *(subtitles[index], (0.5, 1)), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
                ha="center", fontsize=SUBTITLE_SIZE,
            )  # fmt: skip
        if index + columns >= len(titles):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel(x_label)
        if index % columns == 0:
            axis.set_ylabel(y_label)
    return figure, list(grid.flat[: len(titles)])
