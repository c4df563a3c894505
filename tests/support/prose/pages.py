"""Read a Markdown page as numbers and comments, by paragraph, list item and table cell."""

import bisect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w|\.\d)")
_UNIT = re.compile(
    r"[ \xa0]?(?:%|[muµ]?s\b|min\b|minutes?\b|hours?\b|seconds?\b|images/s|[kMG]i?B\b|GB/s|dB\b|times\b)"
)
_LIMIT = re.compile(r"(?:[<>]=|[Vv]ersion|Python)\s?$")
"""Ends what stands before a limit or a version, which nobody measures."""
_LIMIT_LENGTH = 10
_COMMENT = re.compile(r"(`+)[^`]+\1|<!--(?P<comment>.*?)-->", re.S)
"""A comment, or a span of code, which may show one."""
_FENCED = re.compile(r"^(```+|~~~+).*?^\1[`~]*$", re.S | re.M)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4,}\S.*\n)+")
_NO_PROSE = re.compile(r"(`+)[^`]+\1|(?<=\])\([^)\s]*\)|https?://[^\s)>]+|<[a-z/][^>]*>")
_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
_CELL_END = re.compile(r"(?<!\\)\|")
_DIVIDER = re.compile(r"[ |:-]+")


@dataclass(frozen=True)
class Number:
    """A number as it is written, and where it stands.

    Attributes:
        measured: It looks measured: a decimal, or with a unit of share, time, size or speed behind it.
    """

    text: str
    start: int
    end: int
    measured: bool

    @property
    def value(self) -> float:
        """What it says."""
        return float(self.text.replace(",", ""))

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class Comment:
    """An HTML comment: its text, and where it stands."""

    text: str
    start: int
    end: int


@dataclass
class Block:
    """A paragraph, list item, heading or table cell, with its numbers and comments in their order."""

    start: int
    end: int
    numbers: list[Number] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)


@dataclass
class Table:
    """A table: its columns' names, the cells of its rows, and the comments above it."""

    names: list[str]
    rows: list[list[Block]]
    comments: list[Comment]


class Page:
    """A page's text, its blocks and tables.

    Attributes:
        blocks: All blocks, table cells included.
        lost: Comments that belong to no block and no table, or would end a paragraph.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        without_code = _blank(_INDENTED, _blank(_FENCED, text))
        found = [m for m in _COMMENT.finditer(without_code) if m["comment"] is not None]
        self._comments = [Comment(m["comment"].strip(), m.start(), m.end()) for m in found]
        self._shown = _COMMENT.sub(lambda m: m[0] if m["comment"] is None else _spaces(m[0]), without_code)
        self._prose = _blank(_NO_PROSE, self._shown)
        self.blocks: list[Block] = []
        self.tables: list[Table] = []
        self.lost: list[Comment] = []
        for lines in self._chunks(without_code):
            self._read(lines)

    def line(self, place: int) -> int:
        """The number of the line in which a character stands, from 1."""
        return bisect.bisect_right(self._line_starts, place)

    def shown(self, block: Block) -> str:
        """A block as its reader sees it: without comments, links' targets and marks of code and emphasis."""
        return _plain(self._shown[block.start : block.end])

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(m.end() for m in re.finditer("\n", self.text))]

    def _chunks(self, without_code: str) -> Iterator[list[tuple[int, int]]]:
        """Runs of lines between blank ones and blocks of code: the lines' beginnings and ends."""
        lines: list[tuple[int, int]] = []
        for start, end in zip(self._line_starts, [*self._line_starts[1:], len(self.text)], strict=True):
            if without_code[start:end].strip():
                lines.append((start, end))
            elif lines:
                yield lines
                lines = []
        if lines:
            yield lines

    def _read(self, lines: list[tuple[int, int]]) -> None:
        """Add the blocks and tables of a chunk."""
        block: Block | None = None
        table: Table | None = None
        apart: list[Comment] = []  # on lines of their own, above the line that is read
        for start, end in lines:
            shown = self._shown[start:end].strip()
            if not shown:
                apart += [each for each in self._comments if start <= each.start < end]
                continue
            self.lost += self._comments_first(start, end)
            if shown.startswith("|"):
                if table is None:
                    table = Table([_plain(each) for each in _CELL_END.split(shown.strip("|"))], [], apart)
                    self.tables.append(table)
                    apart, block = [], None
                if _DIVIDER.fullmatch(shown):
                    continue
                cells = [self._block(*ends) for ends in self._cells(start, end)]
                table.rows.append(cells)
                continue
            begins = _ITEM.match(self._shown[start:end]) is not None or shown.startswith("#")
            if block is not None and begins:
                block.comments += apart
            else:
                self.lost += apart
            apart, table = [], None
            if block is None or begins:
                block = self._block(start, end)
            else:
                self._grow(block, end)
        if block is None or table is not None:
            self.lost += apart
        else:
            block.comments += apart

    def _comments_first(self, start: int, end: int) -> list[Comment]:
        """The comment that a line of text begins with, in a list."""
        first = re.compile(r"\s*").match(self.text, start, end)
        return [each for each in self._comments if first is not None and each.start == first.end() < end]

    def _cells(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        ends = [start + m.start() for m in _CELL_END.finditer(self._shown[start:end])]
        for left, right in itertools.pairwise(ends):
            yield left + 1, right

    def _block(self, start: int, end: int) -> Block:
        block = Block(start, start)
        self._grow(block, end)
        self.blocks.append(block)
        return block

    def _grow(self, block: Block, end: int) -> None:
        for m in _NUMBER.finditer(self._prose, block.end, end):
            limit = _LIMIT.search(self._prose[max(0, m.start() - _LIMIT_LENGTH) : m.start()])
            measured = limit is None and ("." in m[0] or _UNIT.match(self._prose, m.end()) is not None)
            block.numbers.append(Number(m[0], m.start(), m.end(), measured))
        block.comments += [each for each in self._comments if block.end <= each.start < end]
        block.end = end


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with spaces in place of what matches, so that every other character stays where it was."""
    return pattern.sub(lambda m: _spaces(m[0]), text)


def _spaces(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\[(.*?)\]\([^)\s]*\)", r"\1", text).replace("`", "").replace("*", "").split())
