"""Write pages and plots as text and numbers, and compare them with stored versions that were reviewed.

`make test ARGS="--keep tests/bench/test_kept_pages.py"` stores them anew; review the difference before committing it.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure, FigureBase
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

from tests.support.empty_pictures import SVG, save_empty

DIGITS = 4
RELATIVE, ABSOLUTE = 5e-3, 2e-3
"""By how much a number may differ: what rounding on another machine may do."""
MOST_POINTS = 60
"""Of longer lines every so many points are written."""
NUMBER = re.compile(r"(?<![\w.#])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


@contextmanager
def described_figures(monkeypatch: Any) -> Iterator[dict[str, str]]:
    """Descriptions of the figures that are saved meanwhile, by their file's name.

    Each is laid out and drawn once, for its description; its file and the page get an empty picture.
    """
    found: dict[str, str] = {}

    def describe_and_save(figure: Figure, path: Any, **options: Any) -> None:
        saved = f"saved with {sorted(options.items())}"
        if not isinstance(path, (str, Path)):  # the same figure for a page that holds it in itself
            found["figures in the page"] = saved
            path.write(SVG)
            return
        name = Path(path).name.removesuffix(".part")
        found[name] = "\n".join([*described(figure), saved])
        save_empty(figure, path)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", describe_and_save)
        yield found


def described(figure: FigureBase, indent: str = "") -> Iterator[str]:
    """What a figure shows, a line for each thing."""
    if isinstance(figure, Figure):
        figure.draw_without_rendering()
        yield f"figure {_numbers(figure.get_size_inches())} {_colour(figure.get_facecolor())}"
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
    spines = [side for side, spine in axis.spines.items() if spine.get_visible()]
    yield f"panel at {_numbers(axis.get_position().bounds)} {_colour(axis.get_facecolor())} {spines} {look}".rstrip()
    for side in (axis.xaxis, axis.yaxis):
        yield from _side(side)
    for title in axis.get_children():
        if isinstance(title, Text) and title not in axis.texts:
            yield from _text("  title", title)
    for line in axis.lines:
        yield f"  line {_label(line)} {_line(line)} z{line.get_zorder():g} {_points(line.get_xydata())}"
    for marks in axis.collections:
        yield f"  {_collection(marks)}"
    for patch in axis.patches:
        yield f"  {_patch(patch)}"
    for image in axis.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
        shown = f"{image.get_cmap().name} {_numbers(image.get_clim())} {_numbers(image.get_extent())}"
        drawn = f"{image.get_interpolation()} {image.origin} {_more(image)} z{image.get_zorder():g}"
        yield (
            f"  image {values.shape} {shown} {drawn} "
            f"mean {_numbers([np.nanmean(values), np.nanstd(values)])} {_numbers(_spread(values))}"
        )
    for text in axis.texts:
        yield from _text("  text", text)
    for container in axis.containers:
        if isinstance(container, ErrorbarContainer):
            yield f"  error bars {container.get_label()}"
    if axis.get_legend() is not None:
        yield from _legend(axis.get_legend())


def _side(side: XAxis | YAxis) -> Iterator[str]:
    """An axis with its label, ticks and grid."""
    low, high = sorted(side.get_view_interval())
    name = side.axis_name
    yield f"  {name} {side.get_scale()} {_numbers(side.get_view_interval())}"
    yield from _text(f"  {name} label", side.label)
    major, minor = (
        [at for at in ticks if low <= at <= high] for ticks in (side.get_ticklocs(), side.get_minorticklocs())
    )
    if not side.axes.axison or not (major or minor):
        return
    labels = [label for label in side.get_ticklabels() if label.get_text() and label.get_visible()]
    bold = [label.get_text() for label in labels if label.get_fontweight() == "bold"]
    looks = {f"{_colour(label.get_color())} {_style(label)}" for label in labels}
    yield f"  {name} ticks {[label.get_text() for label in labels]} {sorted(looks)}{f' bold {bold}' if bold else ''}"
    marks = side.get_ticklines()
    lines = {f"{mark.get_marker()} {mark.get_markersize():g} {_colour(mark.get_color())}" for mark in marks}
    few = _numbers(minor) if len(minor) <= MOST_POINTS else f"{len(minor)}"
    yield f"  {name} ticks at {_numbers(major)} {sorted(lines)}{f' and {few}' if minor else ''}"
    grid = {_line(line) for line in side.get_gridlines() if line.get_visible()}
    if grid:
        yield f"  {name} grid {sorted(grid)} {side.axes.get_axisbelow()}"


def _text(kind: str, text: Text) -> Iterator[str]:
    if text.get_text() and text.get_visible():
        # In tenths of an inch: fonts are the same everywhere, their rasters nearly.
        style = f"{_colour(text.get_color())} {_style(text)} {_more(text)} z{text.get_zorder():g}"
        own = f" of {_numbers([*text.xy, *text.xyann])}" if isinstance(text, Annotation) else ""
        yield f"{kind} {text.get_text()!r} {style} at {_place(text)}{own}"
        if (box := text.get_bbox_patch()) is not None:
            yield f"    in a box {_surface(box)}"
        if (arrow := getattr(text, "arrow_patch", None)) is not None:
            yield f"    with an arrow {_surface(arrow)} z{arrow.get_zorder():g}"


def _style(text: Text) -> str:
    """A text's font and alignment."""
    aligned = f"{text.get_horizontalalignment()} {text.get_verticalalignment()}"
    turned = f" turned {text.get_rotation():g}" if text.get_rotation() else ""
    return f"{text.get_fontsize():.4g} {text.get_fontweight()} {aligned}{turned}"


def _place(artist: Text | Legend) -> str:
    """The artist's edges in tenths of an inch."""
    box, figure = artist.get_window_extent(), artist.get_figure(root=True)
    return _numbers(np.array([box.x0, box.y0, box.x1, box.y1]) / figure.dpi * 10)


def _legend(legend: Legend) -> Iterator[str]:
    texts = legend.get_texts()
    looks = sorted({f"{_colour(text.get_color())} {_style(text)}" for text in texts})
    yield (
        f"legend {[text.get_text() for text in texts]} {looks} in {legend._ncols} columns, "
        f"title {legend.get_title().get_text()!r}, at {_place(legend)}{' framed' if legend.get_frame_on() else ''}"
    )
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D):
            yield f"  {_line(handle)}"
        elif isinstance(handle, Patch):
            yield f"  {_surface(handle)}"
        elif isinstance(handle, Collection):
            yield f"  {_collection(handle)}"


def _line(line: Line2D) -> str:
    style = f"{line.get_linestyle()} {line.get_marker()} {line.get_linewidth():g} {line.get_markersize():g}"
    faces = _colour(line.get_markerfacecolor())
    if line.get_marker() not in ("None", "", None):
        style += f" edge {line.get_markeredgewidth():g} {_colour(line.get_markeredgecolor())}"
    usual = "default", "projecting"
    drawn = "".join(f"{how} " for how in (line.get_drawstyle(), line.get_solid_capstyle()) if how not in usual)
    dashes = _dashes(line._unscaled_dash_pattern[1])
    return f"{style} {dashes} {_colour(line.get_color())} {faces} {drawn}{_more(line)}"


def _dashes(lengths: Sequence[float] | None) -> str:
    return "solid" if lengths is None else _numbers(lengths)


def _collection(marks: Collection) -> str:
    offsets = np.ma.filled(np.ma.asarray(marks.get_offsets(), dtype=float), np.nan)
    both = marks.get_facecolor(), marks.get_edgecolor()
    faces, edges = ([_colour(colour) for colour in colours] for colours in both)
    colours = f"{_run(faces)} edge {_run(edges)}"
    sizes = getattr(marks, "get_sizes", list)()
    paths = (
        np.concatenate([path.vertices for path in marks.get_paths()]) if len(marks.get_paths()) else np.empty((0, 2))
    )
    is_marker = len(offsets) and len(sizes)
    shape = f"{len(paths)} edges of {_numbers(np.ptp(paths, axis=0))}" if is_marker else _points(paths)
    widths, styles = (
        _numbers(np.unique(marks.get_linewidth())),
        _run([_dashes(dashes) for _, dashes in marks.get_linestyle()]),
    )
    return (
        f"{type(marks).__name__} {_label(marks)} {colours} {_more(marks)} z{marks.get_zorder():g} "
        f"sizes {_numbers(sizes)} widths {widths} {styles} {_points(offsets)} {shape}"
    ).rstrip()


def _patch(patch: Patch) -> str:
    box = patch.get_path().get_extents(patch.get_patch_transform()).bounds
    return f"patch {_label(patch)} {_surface(patch)} z{patch.get_zorder():g} {_numbers(box)}"


def _surface(patch: Patch) -> str:
    look = f"{_colour(patch.get_facecolor())} {_colour(patch.get_edgecolor())} {patch.get_hatch()} {_more(patch)}"
    width = f" w{patch.get_linewidth():g} {patch.get_linestyle()}" if to_rgba(patch.get_edgecolor())[3] else ""
    return f"{look}{width}"


def _more(artist: Artist) -> str:
    """The properties that every artist has."""
    clipped = "" if artist.get_clip_on() else " not clipped"
    hidden = "" if artist.get_visible() else " hidden"
    rim = "".join(f" rim {sorted(each._gc.items())}" for each in artist.get_path_effects() or ())
    alpha = artist.get_alpha()
    opacity = "" if alpha is None else f"alpha {_numbers([np.mean(alpha), np.std(alpha)])}"
    return f"{opacity}{clipped}{hidden}{rim}"


def _run(values: list[str]) -> list[str]:
    """The values in their order, one if all are equal."""
    return values if len({*values}) > 1 else values[:1]


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
