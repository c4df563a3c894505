"""Write pages and plots as text and numbers, and compare them with stored versions that were reviewed.

`make test ARGS="--keep tests/bench/test_kept_pages.py"` stores them anew; review the difference before committing it.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure, FigureBase
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.text import Text

from tests.support.empty_pictures import SVG, save_empty

DIGITS = 4
RELATIVE, ABSOLUTE = 5e-3, 2e-3
"""By how much a number may differ: what rounding on another machine may do."""
MOST_POINTS = 60
"""Of longer lines every so many points are written."""
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


@contextmanager
def described_figures(monkeypatch: Any) -> Iterator[dict[str, str]]:
    """Descriptions of the figures that are saved meanwhile, by their file's name.

    Each is laid out and drawn once, for its description; its file and the page get an empty picture.
    """
    found: dict[str, str] = {}

    def describe_and_save(figure: Figure, path: Any, **options: Any) -> None:
        if not isinstance(path, (str, Path)):  # the same figure for a page that holds it in itself
            path.write(SVG)
            return
        name = Path(path).name.removesuffix(".part")
        found[name] = "\n".join([*described(figure), f"dpi {options.pop('dpi', '')}"])
        save_empty(figure, path)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", describe_and_save)
        yield found


def described(figure: FigureBase, indent: str = "") -> Iterator[str]:
    """What a figure shows, a line for each thing."""
    if isinstance(figure, Figure):
        figure.draw_without_rendering()
        yield f"figure {_numbers(figure.get_size_inches())}"
    for text in figure.texts:
        yield from _text("text", text)
    for legend in figure.legends:
        yield from _legend(legend)
    for inner in figure.subfigs:
        yield from described(inner)
    for axis in figure.get_axes() if isinstance(figure, Figure) else ():
        yield from _axis(axis)


def _axis(axis: Axes) -> Iterator[str]:
    look = "without axes" if not axis.axison else "" if axis.get_frame_on() else "without a frame"
    yield f"panel at {_numbers(axis.get_position().bounds)} {look}".rstrip()
    for which, side in (("x", axis.xaxis), ("y", axis.yaxis)):
        ticks = [tick.get_text() for tick in side.get_ticklabels() if tick.get_text() and tick.get_visible()]
        grid = any(line.get_visible() for line in side.get_gridlines())
        yield (
            f"  {which} `{side.get_label_text()}` {side.get_scale()} {_numbers(side.get_view_interval())}"
            f"{' grid' if grid else ''} {ticks}"
        )
    for title in ("left", "center", "right"):
        if axis.get_title(loc=title):
            yield f"  title {title} {axis.get_title(loc=title)!r}"
    for line in axis.lines:
        style = f"{line.get_linestyle()} {line.get_marker()} {line.get_linewidth():g} {line.get_markersize():g}"
        colours = f"{_colour(line.get_color())} {_colour(line.get_markerfacecolor())} {line.get_alpha()}"
        yield f"  line {_label(line)} {style} {colours} z{line.get_zorder():g} {_points(line.get_xydata())}"
    for marks in axis.collections:
        yield f"  {_collection(marks)}"
    for patch in axis.patches:
        yield f"  {_patch(patch)}"
    for image in axis.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
        shown = f"{image.get_cmap().name} {_numbers(image.get_clim())} {_numbers(image.get_extent())}"
        yield (
            f"  image {values.shape} {shown} "
            f"mean {_numbers([np.nanmean(values), np.nanstd(values)])} {_numbers(_spread(values))}"
        )
    for text in axis.texts:
        yield from _text("  text", text)
    for container in axis.containers:
        if isinstance(container, ErrorbarContainer):
            yield f"  error bars {container.get_label()}"
    if axis.get_legend() is not None:
        yield from _legend(axis.get_legend())


def _text(kind: str, text: Text) -> Iterator[str]:
    if text.get_text() and text.get_visible():
        box = text.get_window_extent()
        # In tenths of an inch: fonts are the same everywhere, their rasters nearly.
        place = _numbers(np.array([box.x0, box.y0, box.x1, box.y1]) / text.get_figure(root=True).dpi * 10)
        style = f"{_colour(text.get_color())} {text.get_fontsize():g} {text.get_fontweight()} z{text.get_zorder():g}"
        yield f"{kind} {text.get_text()!r} {style} at {place}"


def _legend(legend: Legend) -> Iterator[str]:
    names = [text.get_text() for text in legend.get_texts()]
    yield f"legend {names} in {legend._ncols} columns, title {legend.get_title().get_text()!r}"
    for handle in legend.legend_handles:
        if hasattr(handle, "get_marker"):
            yield f"  {_colour(handle.get_color())} {handle.get_marker()} {handle.get_linestyle()}"
        elif isinstance(handle, Patch):
            yield f"  {_colour(handle.get_facecolor())}"


def _collection(marks: Collection) -> str:
    offsets = np.ma.filled(np.ma.asarray(marks.get_offsets(), dtype=float), np.nan)
    colours = sorted({_colour(colour) for colour in (*marks.get_facecolor(), *marks.get_edgecolor())})
    sizes = getattr(marks, "get_sizes", list)()
    paths = (
        np.concatenate([path.vertices for path in marks.get_paths()]) if len(marks.get_paths()) else np.empty((0, 2))
    )
    shape = "" if len(offsets) and len(sizes) else _points(paths)
    widths = _numbers(np.atleast_1d(marks.get_linewidth())[:3])
    return (
        f"{type(marks).__name__} {_label(marks)} {colours} {marks.get_alpha()} z{marks.get_zorder():g} "
        f"sizes {_numbers(sizes)} widths {widths} {_points(offsets)} {shape}"
    ).rstrip()


def _patch(patch: Patch) -> str:
    box = patch.get_path().get_extents(patch.get_patch_transform()).bounds
    look = f"{_colour(patch.get_facecolor())} {_colour(patch.get_edgecolor())} {patch.get_alpha()} {patch.get_hatch()}"
    width = f" w{patch.get_linewidth():g}" if to_rgba(patch.get_edgecolor())[3] else ""
    return f"patch {_label(patch)} {look}{width} z{patch.get_zorder():g} {_numbers(box)}"


def _label(artist: Artist) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else repr(label)


def _colour(colour: Any) -> str:
    if colour is None or (isinstance(colour, str) and colour in ("none", "auto")):
        return "-"
    return to_hex(colour, keep_alpha=True)


def _points(points: Any) -> str:
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return f"{len(points)} points " + " ".join(_numbers(point) for point in points[::step])


def _spread(values: np.ndarray) -> np.ndarray:
    """Values from all over an image."""
    flat = values.reshape(-1)
    return flat[:: max(1, len(flat) // 24)][:24]


def _numbers(values: Any, digits: int = DIGITS) -> str:
    return "(" + ", ".join(f"{0.0 if abs(value) < 1e-9 else value:.{digits}g}" for value in values) + ")"


def differences(kept: str, found: str) -> list[str]:
    """Lines that differ by more than rounding does."""
    before, after = kept.splitlines(), found.splitlines()
    said = [f"{len(before)} lines were kept, {len(after)} are found"] if len(before) != len(after) else []
    for number, (one, other) in enumerate(zip(before, after, strict=False), start=1):
        if not _same(one, other):
            said.append(f"line {number}:\n  - {one[:300]}\n  + {other[:300]}")
    return said


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs)
