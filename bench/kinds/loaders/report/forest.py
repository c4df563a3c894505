"""The first figure of a loader study: each configuration's speed as a share of the fastest at its batch size.

Holds its rows as data, and draws them. Batch sizes stand below each other and are never divided by each other: their
images/s are text at the rows' ends.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.kinds.loaders.analysis.choice import FASTEST, OPEN, WITHIN, is_default
from bench.kinds.loaders.analysis.claims import speed_text
from bench.kinds.loaders.analysis.findings import Pick, Variant
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.tables import also_text, leading_rows, with_share, without_batch
from bench.report.cells import known
from bench.report.findings_figures import NARROW_WIDTH
from bench.report.style import COLOURS, INK, MARKERS, QUIET, RANGE_ALPHA, legend_below
from bench.storage.visible import visible

CHOSEN = 3
"""Index of the recommendation's colour and marker, in all figures."""
USE, EQUAL, SLOWER, UNTOLD = "use", "equal", "slower", "open"
"""Ways to draw a row: recommended, equal to that, slower, or with an unknown standing."""
LOOKS = {FASTEST: EQUAL, WITHIN: EQUAL, "equal": EQUAL, "faster": EQUAL, OPEN: UNTOLD}
"""The way to draw a row, by its standing; others are drawn as SLOWER."""
ROW_HEIGHT, ROOM = 0.34, 1.3
"""Height in inches of a row, and of everything around the rows together."""
NAME_LINE = 30
"""Maximum number of characters of a row's name on a line."""
NEAR, FARTHEST = 80.0, 50.0
"""Speeds in per cent of the fastest: the axis shows all rows from NEAR up, and reaches down to FARTHEST at most."""
LEAST_SPAN = 8.0
"""Minimum width of the axis below 100, in per cent."""
SPEED_AT, NOTE_AT = 8, 58
"""Points from the axis to the texts at a row's end: images/s, and a note."""
VARIED = "one setting varied"
"""Title of the group of variants of the best configuration, which are compared with it."""
SHARES = ("to_fastest", "to_fastest_low", "to_fastest_high")
"""Columns with the speed as a share of the fastest's, and the ends of its interval."""
LEFT, RIGHT = "◂", "▸"
"""Arrows of values beyond the axis."""


@dataclass(frozen=True)
class Row:
    """A configuration to draw; shares are in per cent, NaN if unknown."""

    name: str
    share: float
    low: float
    high: float
    images_per_s: float
    look: str
    """USE, EQUAL, SLOWER or UNTOLD."""
    note: str


@dataclass(frozen=True)
class Group:
    """Rows that are compared with each other."""

    title: str
    rows: Sequence[Row]


def groups(result: LoaderResult) -> list[Group]:
    """Return a group for each batch size, ascending, and one for single settings varied around the pick."""
    verdict = result.verdict
    if not verdict.chosen:
        return []
    varied = {each.key for each in verdict.variants}
    rows = [row for row in leading_rows(result) if row["key"] not in varied]
    made_groups = []
    for pick in verdict.picks:
        own = [_row(row, pick, result) for row in rows if row["batch_size"] == pick.batch_size]
        if own:
            made_groups.append(Group(f"batches of {pick.batch_size}{'' if pick.key else ' (no verdict)'}", own))
    shown = {row["key"] for row in leading_rows(result)}
    variants = [_variant(each, result) for each in verdict.variants if each.key in shown]
    if variants:
        made_groups.append(Group(VARIED, variants))
    return made_groups


def _row(row: dict[str, Any], pick: Pick, result: LoaderResult) -> Row:
    row = with_share(result, row)
    share, low, high = (100 * float(row[name]) if known(row[name]) else math.nan for name in SHARES)
    standing = str(row["standing"])
    default = " (default)" if is_default(row) else ""
    look, note = LOOKS.get(standing, SLOWER), standing
    if row["key"] == result.used(pick):
        look, note = USE, "use" if pick.settled else "best so far"
    elif row["key"] == pick.key:
        note = "varied below"
    elif standing == WITHIN:
        note = f"loses at most {_margin(result)}"
    return Row(f"{without_batch(row)}{default}", share, low, high, float(row["images_per_s"]), look, note)


def _variant(each: Variant, result: LoaderResult) -> Row:
    row, ratio = result.verdict.configuration(each.key), each.ratio
    low, high = (math.nan if end is None else 100 * end for end in (ratio.low, ratio.high))
    chosen = each.key == result.verdict.chosen
    look = USE if chosen else LOOKS.get(each.standing, SLOWER)
    note = "use" if chosen else each.standing
    return Row(
        also_text(row) or without_batch(row), 100 * ratio.value, low, high, float(row["images_per_s"]), look, note
    )


def _margin(result: LoaderResult) -> str:
    return f"{100 * result.verdict.margin:g} %"


def forest(result: LoaderResult) -> Figure:
    """Draw the figure."""
    made_groups = groups(result)
    lines = sum(len(group.rows) + 1 for group in made_groups)
    figure, axis = plt.subplots(figsize=(NARROW_WIDTH, ROOM + ROW_HEIGHT * lines))
    margin = 100 * result.verdict.margin
    left, right = _limits([row for group in made_groups for row in group.rows], margin)
    axis.set_xlim(left, right)
    axis.axvspan(100 - margin, 100, color=QUIET, alpha=RANGE_ALPHA * 2.5, linewidth=0, zorder=0)
    axis.axvline(100, color=INK, linewidth=1, zorder=1)
    names: list[str] = []
    for group in made_groups:
        _at_end(axis, len(names), SPEED_AT, "images/s", color=QUIET)
        names.append(group.title)
        for row in group.rows:
            _draw(axis, row, len(names))
            names.append("\n".join(textwrap.wrap(visible(row.name), NAME_LINE)))
    axis.set_yticks(range(lines), names)
    axis.set_ylim(lines - 0.5, -0.6)
    axis.tick_params(axis="y", length=0)
    titles = {group.title for group in made_groups}
    for label in axis.get_yticklabels():
        if label.get_text() in titles:
            label.set_fontweight("bold")
    shown, complete_count = lines - len(made_groups), len(result.complete)
    axis.set_title("" if shown == complete_count else f"{shown} of {complete_count} configurations")
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    varied = f"\n({VARIED}: % of the best)" if made_groups[-1].title == VARIED else ""
    axis.set_xlabel(f"% of the fastest at the same batch size, 95 % interval{varied}")
    axis.grid(visible=False, axis="y")
    legend_below(figure, _handles(made_groups, _margin(result), left, right))
    return figure


def _limits(rows: Sequence[Row], margin: float) -> tuple[float, float]:
    """Return the ends of the axis. Values far away become an arrow at its edge, so that near ones can be read."""
    near = [row for row in rows if NEAR <= row.share <= 200 - NEAR]
    ends = [end for row in near for end in (row.share, row.low, row.high) if not math.isnan(end)]
    low = max(FARTHEST, min([100 - max(LEAST_SPAN, 2 * margin), *ends]))
    high = min(200 - FARTHEST, max([100.0, *ends]))
    room = 0.05 * (high - low)
    return low - room, high + room


def _draw(axis: Axes, row: Row, at: int) -> None:
    left, right = axis.get_xlim()
    colour = {USE: COLOURS[CHOSEN], SLOWER: QUIET}.get(row.look, INK)
    marker = MARKERS[CHOSEN] if row.look == USE else "o"
    low, high = (max(left, min(right, end)) for end in (row.low, row.high))
    if row.share < left or row.share > right:
        below = row.share < left
        text = f"{LEFT} {row.share:.0f} %" if below else f"{row.share:.0f} % {RIGHT}"
        inside = 0.01 * (right - left)
        position = (left + inside, at) if below else (right - inside, at)
        axis.text(
            *position, text, va="center", ha="left" if below else "right", fontsize=10, zorder=3,
            color=colour if row.look == USE else INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    else:
        if high > low:
            axis.plot([low, high], [at, at], color=colour, linewidth=2.4, solid_capstyle="butt", zorder=2)
        face = "white" if row.look == UNTOLD else colour
        edge = colour if row.look == UNTOLD else "white"
        size = 95 if row.look == USE else 62
        width = 1.8 if row.look == UNTOLD else 0.8
        axis.scatter(
            [row.share], [at], s=size, marker=marker, facecolors=face, edgecolors=edge, linewidth=width, zorder=3,
            clip_on=False,
        )  # fmt: skip
    for points, text in ((SPEED_AT, speed_text(row.images_per_s)), (NOTE_AT, row.note)):
        _at_end(axis, at, points, text, fontweight="bold" if row.look == USE else "normal")


def _at_end(axis: Axes, at: int, points: int, text: str, **look: Any) -> None:
    """Write a text ``points`` to the right of the axis."""
    coordinates: dict[str, Any] = {"xycoords": axis.get_yaxis_transform(), "textcoords": "offset points"}
    axis.annotate(text, (1.0, at), (points, 0), ha="left", va="center", fontsize=10, **coordinates, **look)


def _slower_label(made: Sequence[Group], margin: str) -> str:
    """Return the legend entry of slower rows; in the grid "slower" means by more than the margin, of variants by any
    amount."""
    varied, grid = (
        any(row.look == SLOWER for group in made for row in group.rows if (group.title == VARIED) == of_varied)
        for of_varied in (True, False)
    )
    if varied:
        return f"slower (not varied: by more than {margin})" if grid else "slower"
    return f"loses more than {margin}"


def _handles(made: Sequence[Group], margin: str, left: float, right: float) -> list[Artist]:
    """Return the legend entries: the ways in which rows are drawn in this figure, and the margin."""
    settled = all(row.note == "use" for group in made for row in group.rows if row.look == USE)
    looks = {row.look for group in made for row in group.rows if row.look == USE or left <= row.share <= right}
    handles = {
        USE: Line2D(
            [],
            [],
            color=COLOURS[CHOSEN],
            marker=MARKERS[CHOSEN],
            ls="-",
            label="to use" if settled else "to use, or best so far",
        ),
        EQUAL: Line2D([], [], color=INK, marker="o", ls="-", label=f"loses at most {margin}"),
        UNTOLD: Line2D([], [], color=INK, marker="o", mfc="white", mew=1.8, ls="-", label="open: not settled in time"),
        SLOWER: Line2D([], [], color=QUIET, marker="o", ls="-", label=_slower_label(made, margin)),
    }
    band = Patch(color=QUIET, alpha=0.35, label=f"within {margin} of the fastest")
    return [*(handle for look, handle in handles.items() if look in looks), band]
