"""Data model of a study's result: sentences, tables and the data of figures, the same for every kind of study.

A kind's analysis returns `Findings`; `bench.report.findings_write` writes them as files and knows nothing of the kind.
Texts are inline Markdown. Names given by users pass through `bench.report.text.literal` or `code` before they enter a
text. Cells, titles, labels and notes are plain text.

Example:
    Findings(answer="Use adam.", sections=[Section("Results", [Table(("optimizer", "AP"), [["adam", "0.312"]])])])
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd

from bench.report.text import plain


@dataclass(frozen=True)
class Code:
    """Lines to paste; ``language`` as in a fenced block: `python`, or empty. ``note``: a sentence below them."""

    language: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Bullets:
    """A bulleted list; each item is a paragraph of its own."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table of text cells, not wrapped; `-` where a value is not known."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Draw(StrEnum):
    """Drawing styles for the points of a series."""

    POINTS = "points"
    """Marks."""
    CROSSES = "crosses"
    """Crosses, for trials without a result."""
    FAINT = "faint"
    """Small grey marks, for points shown only as a comparison."""
    LINE = "line"
    """Marks joined by a line."""
    STEPS = "steps"
    """Steps: each y holds until the next x, and beyond the last one."""
    FRONT = "front"
    """Pareto front of two maximised values: a horizontal line to the left of each point, a vertical one below it."""
    LOW_FRONT = "low front"
    """Pareto front of a maximised x and a minimised y: a horizontal line to the left of each point, a vertical one
    above it."""
    RINGS = "rings"
    """Circles that highlight points of other series."""


@dataclass(frozen=True)
class Series:
    """Points that are drawn alike.

    Attributes:
        label: Legend entry, shown once for all panels; empty: none.
        x: One finite number for each point.
        y: One finite number for each point.
        draw: Drawing style.
        style_index: Index in the study's list of optimizers, networks or the like, which fixes colour and marker in all
            figures; None: black.
        low: Lower ends of a band around a line, in the units of ``y``; empty: no band.
        high: Upper ends of the band.
        names: A text beside each point; empty: none.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    draw: Draw
    style_index: int | None = None
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Span:
    """A shaded range of the x axis."""

    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Plot:
    """A panel with two numeric axes.

    Attributes:
        x_label: Label of the x axis, with the unit.
        y_label: Label of the y axis, with the unit.
        series: Series in the order of drawing; without any point the panel shows ``note``.
        title: Title above the panel; may be empty.
        spans: Shaded ranges of the x axis.
        zero: Axes that begin at 0: `x`, `y` or `xy`; the others fit the data.
        log: Logarithmic axes, named alike; their values must be above 0.
        integer: Axes with ticks at whole numbers only, named alike.
        note: Text in the panel: why it is empty, or what is unusual about it.
    """

    x_label: str
    y_label: str
    series: Sequence[Series]
    title: str = ""
    spans: Sequence[Span] = ()
    zero: str = "y"
    log: str = ""
    integer: str = ""
    note: str = ""


@dataclass(frozen=True)
class BarSeries:
    """One bar for each of the panel's names; NaN: none. ``faint``: which are drawn pale; empty: none."""

    label: str
    values: Sequence[float]
    faint: Sequence[bool] = ()


@dataclass(frozen=True)
class Bars:
    """A panel of horizontal bars from 0, the first name on top; bars of several series stand side by side.

    ``faint_label``: meaning of pale bars; ``note``: text in the panel if there is no bar.
    """

    x_label: str
    names: Sequence[str]
    series: Sequence[BarSeries]
    title: str = ""
    faint_label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Intervals:
    """A panel with a mark and an interval for each name, the first on top.

    Attributes:
        x_label: Label of the x axis, with the unit.
        names: Name of each row.
        middle: Position of each mark; NaN: none.
        low: Lower end of each interval; NaN: none.
        high: Upper end of each interval; NaN: none.
        style_indices: Index of each row in the study's list, which fixes its colour and marker; None: black.
        notes: A text of one or two lines at the right of each row; empty: none.
        title: Title above the panel; may be empty.
        line: Position of a vertical line; None: none.
        band: Shaded range of the x axis; None: none.
        band_label: Legend entry of the band.
        zero: Whether the axis begins at 0.
    """

    x_label: str
    names: Sequence[str]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    style_indices: Sequence[int | None] = ()
    notes: Sequence[str] = ()
    title: str = ""
    line: float | None = None
    band: tuple[float, float] | None = None
    band_label: str = ""
    zero: bool = False


Panel = Plot | Bars | Intervals


@dataclass(frozen=True)
class Chart:
    """A figure made of panels: ``file`` beside the report (`.png`), ``alt`` in words for those who cannot see it."""

    file: str
    alt: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Drawing:
    """A figure that panels cannot express: ``draw`` returns a Matplotlib figure, and is called under `style.RC`."""

    file: str
    alt: str
    draw: Callable[[], Any]


@dataclass(frozen=True)
class Picture:
    """An image that a trial made: ``file`` beside the report, ``alt`` in words, ``image`` the bytes of a JPEG file."""

    file: str
    alt: str
    image: bytes


Image = Chart | Drawing | Picture
Part = str | Code | Bullets | Table | Image
"""An element of a section; a text is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and its parts; without a title the parts stand right below the first screen."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class DataFile:
    """A table to write as a CSV file, unrounded; ``what`` describes its rows in a few words."""

    frame: pd.DataFrame
    what: str


@dataclass(frozen=True)
class TextFile:
    """A text to write as a file; ``what`` describes it in a few words."""

    text: str
    what: str


@dataclass(frozen=True)
class Findings:
    """The result of a study, ready for reports.

    The first screen is ``answer``, ``paste``, ``sureness`` and ``figure``: what a reader with one minute sees.

    Attributes:
        answer: What to use, in one to three sentences.
        sections: Sections of the main page below the first screen, in reading order.
        paste: Lines to paste.
        sureness: How certain the answer is, and what limits the certainty.
        figure: The one figure of the first screen; None if there is nothing to show yet.
        appendix: All other sections, in reading order.
        document: Further keys of the JSON document, converted by `to_json_safe`.
        tables_csv: Tables to write as files, by file name.
        texts: Other files, by file name.
        metrics: The answer in numbers, for MLflow.
        claims: Every claim in sentences, for the appendix and the JSON document; empty if the answer already states
            them all.
        footnote: The meaning of marks in tables, for where the main table stands without its section; Markdown.
    """

    answer: str
    sections: Sequence[Section]
    paste: Sequence[Code] = ()
    sureness: str = ""
    figure: Image | None = None
    appendix: Sequence[Section] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    tables_csv: Mapping[str, DataFile] = field(default_factory=dict)
    texts: Mapping[str, TextFile] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    claims: str = ""
    footnote: str = ""

    @property
    def verdict(self) -> str:
        """All claims, as plain text; if there are none, the answer and its sureness."""
        return plain(self.claims or f"{self.answer} {self.sureness}".strip())

    def images(self) -> list[Image]:
        """Return all figures and pictures in reading order, each file once."""
        parts = [part for section in (*self.sections, *self.appendix) for part in section.parts]
        candidates = [*([self.figure] if self.figure is not None else []), *parts]
        return [*{part.file: part for part in candidates if isinstance(part, Image)}.values()]

    def main_table(self) -> Table | None:
        """Return the first table of the main page, for a terminal; None if there is none."""
        tables = (part for section in self.sections for part in section.parts if isinstance(part, Table))
        return next(tables, None)
