"""What a study found as plain data: sentences, tables, what figures show. One report writes it, for any kind of study.

A kind's analysis returns `Findings`; `bench.report.findings_write` makes files of it and knows nothing of the kind.
Texts are Markdown, of which only what stands within a line is used; what a user has named goes through
`bench.report.text.literal` or `code` before it enters one. Cells, titles, labels and notes are plain text.
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
    """A list, each item a paragraph of its own."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Cells as text, as wide as they are; a `-` stands for what is not known."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Draw(StrEnum):
    """How the points of a series are drawn."""

    POINTS = "points"
    """Marks."""
    CROSSES = "crosses"
    """Marks of trials without a result."""
    FAINT = "faint"
    """Small grey marks: what is there for comparison only."""
    LINE = "line"
    """Joined, with marks."""
    STEPS = "steps"
    """Each y holds until the next x, and beyond the last one."""
    FRONT = "front"
    """The edge of what the points reach, more of both being better: level to the left of each point, down below it."""
    RINGS = "rings"
    """Circles around points of other series, to point these out."""


@dataclass(frozen=True)
class Series:
    """Points that are drawn alike.

    Attributes:
        label: In the legend, once for all panels; empty: not there.
        x: One number a point, finite.
        y: One number a point, finite.
        draw: How they are drawn.
        place: Of the optimizer in the study's list, which has one look in all figures; None: black.
        low: Lower ends of a band around a line, in the units of ``y``; empty: no band.
        high: Upper ends.
        names: A text beside each point; empty: none.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    draw: Draw
    place: int | None = None
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Span:
    """A stretch of the x axis that is shaded."""

    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Plot:
    """A panel with two axes of numbers.

    Attributes:
        x_label: With the unit.
        y_label: With the unit.
        series: In the order of drawing; none, or none with a point: the panel says ``note``.
        title: Above the panel; may be empty.
        spans: Shaded parts of the x axis.
        zero: The axes that begin at 0: `x`, `y` or `xy`; the others fit what is shown.
        log: The axes that are logarithmic, named alike; what they show must be above 0.
        whole: The axes that count, named alike: ticks at whole numbers only.
        note: Words in the panel: why it is empty, or what is odd about it.
    """

    x_label: str
    y_label: str
    series: Sequence[Series]
    title: str = ""
    spans: Sequence[Span] = ()
    zero: str = "y"
    log: str = ""
    whole: str = ""
    note: str = ""


@dataclass(frozen=True)
class BarSeries:
    """A bar for each of the panel's names; NaN: none. ``faint``: which are drawn pale; empty: none."""

    label: str
    values: Sequence[float]
    faint: Sequence[bool] = ()


@dataclass(frozen=True)
class Bars:
    """A panel of horizontal bars from 0, the first name on top; the bars of the series stand beside each other.

    ``faint_label``: what pale bars mean; ``note``: words in the panel where there is no bar.
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
        x_label: With the unit.
        names: A row each.
        middle: The marks; NaN: none.
        low: Lower ends, NaN where there is no interval.
        high: Upper ends.
        places: Of each row in the study's list, which gives its look; None: black.
        notes: A text at the right of each row, of one line or two; empty: none.
        title: Above the panel; may be empty.
        line: Where a vertical line stands; None: nowhere.
        band: What is shaded; None: nothing.
        band_label: What the shade means, for the legend.
        zero: Whether the axis begins at 0.
    """

    x_label: str
    names: Sequence[str]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    places: Sequence[int | None] = ()
    notes: Sequence[str] = ()
    title: str = ""
    line: float | None = None
    band: tuple[float, float] | None = None
    band_label: str = ""
    zero: bool = False


Panel = Plot | Bars | Intervals


@dataclass(frozen=True)
class Chart:
    """A figure: ``file`` beside the report (`.png`), ``alt`` in words for those who cannot see it, its panels."""

    file: str
    alt: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Drawing:
    """A figure that no panel can say: ``draw`` gives a figure of Matplotlib's, and is called under `style.RC`."""

    file: str
    alt: str
    draw: Callable[[], Any]


@dataclass(frozen=True)
class Picture:
    """An image that a trial made: ``file`` beside the report, ``alt`` in words, the bytes of a JPEG file."""

    file: str
    alt: str
    image: bytes


Image = Chart | Drawing | Picture
Part = str | Code | Bullets | Table | Image
"""A text is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and what follows; without a title the parts stand right below the first screen."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class DataFile:
    """A table as a file: unrounded, with what its rows are in a few words."""

    frame: pd.DataFrame
    what: str


@dataclass(frozen=True)
class TextFile:
    """A text as a file, with what it is in a few words."""

    text: str
    what: str


@dataclass(frozen=True)
class Findings:
    """What a study found.

    The first screen is ``answer``, ``paste``, ``sureness`` and ``figure``: what a reader with one minute sees.

    Attributes:
        answer: What to use, in one to three sentences.
        sections: The main page below the first screen, in the order of reading.
        paste: Lines to paste.
        sureness: How sure the answer is, and why not surer.
        figure: The one figure of the first screen; None: there is nothing to show yet.
        appendix: Everything else, in the order of reading.
        document: More keys of the JSON document; `to_json_safe` makes it plain.
        tables_csv: Tables to be written as files, by file name.
        texts: Other files, by file name.
        metrics: The answer in numbers, for MLflow.
        claims: Every claim in sentences, for the appendix and the JSON document; empty: the answer says all.
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

    @property
    def verdict(self) -> str:
        """All that is claimed, as plain text."""
        return plain(self.claims or f"{self.answer} {self.sureness}".strip())

    def images(self) -> list[Image]:
        """All figures and pictures, in the order of reading, each file once."""
        parts = [part for section in (*self.sections, *self.appendix) for part in section.parts]
        found = [*([self.figure] if self.figure is not None else []), *parts]
        return [*{part.file: part for part in found if isinstance(part, Image)}.values()]

    def main_table(self) -> Table | None:
        """The first table of the main page, for a terminal; None where there is none."""
        tables = (part for section in self.sections for part in section.parts if isinstance(part, Table))
        return next(tables, None)
