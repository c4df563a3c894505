"""A panel an optimizer, all on one scale."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.style import WIDTH

MOST_PANELS = {1: 1, 2: 2, 3: 3, 4: 2, 9: 3}
"""Columns by the most panels that stand so; `COLUMNS` of more."""
COLUMNS = 4
ROW_HEIGHT, FRAME_HEIGHT = 2.3, 1.2
"""Inches."""
SUBTITLE_SIZE, SUBTITLE_ROOM = 9.5, 17.0
"""Points: of its letters, and from the panel to the title above it."""


def panel_grid(
    titles: Sequence[str], subtitles: Sequence[str], *, x_label: str, y_label: str
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a title, the axes labelled at its edges. To be called under `RC`.

    ``subtitles``: a few words below each title, in small letters; may be empty.
    """
    columns = next((columns for most, columns in MOST_PANELS.items() if len(titles) <= most), COLUMNS)
    rows = math.ceil(len(titles) / columns)
    size = (WIDTH, FRAME_HEIGHT + ROW_HEIGHT * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for place, axis in enumerate(grid.flat):
        if place >= len(titles):
            axis.set_axis_off()
            continue
        axis.set_title(titles[place], fontweight="bold", pad=SUBTITLE_ROOM if any(subtitles) else None)
        if subtitles[place]:
            axis.annotate(
                *(subtitles[place], (0.5, 1)), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
                ha="center", fontsize=SUBTITLE_SIZE,
            )  # fmt: skip
        if place + columns >= len(titles):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel(x_label)
        if place % columns == 0:
            axis.set_ylabel(y_label)
    return figure, list(grid.flat[: len(titles)])
