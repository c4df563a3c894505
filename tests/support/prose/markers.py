"""Check the markers of a page, and write the page with the sources' numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.prose import sources
from tests.support.prose.pages import Block, Comment, Number, Page, Table
from tests.support.prose.sources import Figure, SourceError

FROM, NO_SOURCE = "from ", "no source:"
TABLE = "table from "
_LINE_OF_TABLE = re.compile(r'(?P<line>row|column) "(?P<name>[^"]*)" from (?P<sources>.*)', re.S)
"""A marker of all numbers of a table's row, after its first cell, or of a column."""
ALL = "all numbers"
_SLACK = 1e-9
"""A half may be rounded up or down, also where binary fractions make it a little more."""


@dataclass(frozen=True)
class Fault:
    """What is wrong in a page, in words.

    Attributes:
        line: Line in the page, from 1.
        message: What is wrong.
        number: The number that differs from its source.
        should_be: What the source says, written as the number is.
    """

    line: int
    message: str
    number: Number | None = None
    should_be: str = ""


@dataclass(frozen=True)
class _Group:
    """One part of a marker: words that lead into its file, and columns."""

    file: str
    words: str
    columns: str

    @property
    def text(self) -> str:
        return _line(f"{self.file} {self.words}")


def faults(page: Page, root: Path, *, guarded: bool = True) -> list[Fault]:
    """What is wrong with a page's figures, from its top to its end.

    Args:
        page: The page.
        root: The folder from which the markers name their files.
        guarded: Figures that look measured need a source, or a reason for having none.
    """
    return sorted(_faults(page, root, guarded=guarded), key=lambda fault: fault.line)


def written(page: Page, found: list[Fault]) -> str:
    """The page with what the sources say in place of the numbers that differ."""
    text = page.text
    wrong = {fault.number: fault.should_be for fault in found if fault.number is not None}
    for number in sorted(wrong, key=lambda each: -each.start):
        text = text[: number.start] + wrong[number] + text[number.end :]
    return text


def _faults(page: Page, root: Path, *, guarded: bool) -> Iterator[Fault]:
    for comment in page.lost:
        if _is_marker(comment):
            yield Fault(
                page.line(comment.start),
                "a marker stands after its numbers, at a line's end or below the paragraph; a table's stands above it",
            )
    held: set[Number] = set()
    for table in page.tables:
        for comment in table.comments:
            if comment.text.startswith(TABLE):
                yield from _check_table(page, root, table, comment, held)
            elif line := _LINE_OF_TABLE.fullmatch(comment.text):
                numbers = _in_line(table, line, page)
                yield from _check(page, root, numbers, line["sources"], comment, held, all_of_them=True)
            elif _is_marker(comment) and not comment.text.startswith(NO_SOURCE):
                yield Fault(
                    page.line(comment.start), "above a table: `table from`, `row NAME from` or `column NAME from`"
                )
    for block in page.blocks:
        begin = block.start
        for comment in block.comments:
            if comment.text.startswith(FROM):
                before = [each for each in block.numbers if begin <= each.start < comment.start]
                yield from _check(page, root, before, comment.text.removeprefix(FROM), comment, held)
                begin = comment.end
            elif _is_marker(comment) and not comment.text.startswith(NO_SOURCE):
                yield Fault(page.line(comment.start), "a marker of a table stands above it")
    if guarded:
        yield from _unsourced(page, held)


def _is_marker(comment: Comment) -> bool:
    return comment.text.startswith((FROM, NO_SOURCE, TABLE)) or _LINE_OF_TABLE.fullmatch(comment.text) is not None


def _allows(comments: list[Comment], number: Number) -> bool:
    """Whether one of these comments says of a number that it has no source."""
    for comment in comments:
        if comment.text.startswith(NO_SOURCE):
            named = {each.text for block in Page(comment.text).blocks for each in block.numbers}
            if ALL in comment.text or number.text in named:
                return True
    return False


def _unsourced(page: Page, held: set[Number]) -> Iterator[Fault]:
    above = {cell.start: table.comments for table in page.tables for row in table.rows for cell in row}
    found: dict[int, list[str]] = {}
    for block in page.blocks:
        comments = [*block.comments, *above.get(block.start, ())]
        for number in block.numbers:
            if number.measured and number not in held and not _allows(comments, number):
                found.setdefault(page.line(number.start), []).append(number.text)
    for line, unsourced in found.items():
        yield Fault(
            line, f"{', '.join(unsourced)}: neither `<!-- from FILE ...: COLUMN -->` nor `<!-- no source: ... -->`"
        )


def _in_line(table: Table, line: re.Match[str], page: Page) -> list[Number]:
    """The numbers of the row or column that a marker is about, in their order; none where the table has no such one."""
    if line["line"] == "row":
        cells = [cell for row in table.rows[1:] if page.shown(row[0]) == line["name"] for cell in row[1:]]
    elif line["name"] in table.names:
        place = table.names.index(line["name"])
        cells = [row[place] for row in table.rows[1:] if place < len(row)]
    else:
        cells = []
    return [number for cell in cells for number in cell.numbers]


def _check(
    page: Page,
    root: Path,
    numbers: list[Number],
    text: str,
    comment: Comment,
    held: set[Number],
    *,
    all_of_them: bool = False,
) -> Iterator[Fault]:
    """Compare numbers with what a marker names: the last of them, or ``all_of_them``."""
    try:
        named = [
            (figure, group)
            for group in _groups(text)
            for figure in sources.figures(sources.choose(sources.read(root, group.file), group.words), group.columns)
        ]
    except SourceError as error:
        yield Fault(page.line(comment.start), f"`{_line(comment.text)}`: {error}")
        held.update(numbers)
        return
    if len(named) > len(numbers) or (all_of_them and len(named) < len(numbers)):
        yield Fault(
            page.line(comment.start),
            f"`{_line(comment.text)}` names {len(named)},"
            f" the numbers here are {' '.join(each.text for each in numbers) or 'none'}",
        )
        held.update(numbers)
        return
    for number, (figure, group) in zip(numbers[len(numbers) - len(named) :], named, strict=True):
        yield from _compare(page, number, figure, group, held)


def _check_table(page: Page, root: Path, table: Table, comment: Comment, held: set[Number]) -> Iterator[Fault]:
    """Compare a table's cells with what a marker above it names for its columns."""
    try:
        file, words, columns = _mapping(table, comment)
        document = sources.read(root, file)
    except SourceError as error:
        yield Fault(page.line(comment.start), f"`{_line(comment.text)}`: {error}")
        return
    for row in table.rows[1:]:
        cells = dict(zip(table.names, row, strict=False))
        filled = words
        for name, cell in cells.items():
            filled = filled.replace(f"{{{name}}}", page.shown(cell))
        for name, column in columns.items():
            yield from _check_cell(page, cells.get(name), _Group(file, filled, column), document, held)


def _mapping(table: Table, comment: Comment) -> tuple[str, str, dict[str, str]]:
    """Of a table's marker: its file, its words, and expressions by the table's columns.

    Raises:
        SourceError: It cannot be read, or the table has no such column.
    """
    head, mapped = _cut(comment.text.removeprefix(TABLE), ":")
    file, _, words = _line(head).partition(" ")
    columns = {}
    for part in _split(mapped, ";"):
        name, expression = _cut(part, "=")
        name = name.strip().strip('"')
        if table.names.count(name) != 1:
            raise SourceError(f"the table has not one column {name}: {', '.join(table.names)}")
        columns[name] = expression.strip()
    return file, words, columns


def _check_cell(page: Page, cell: Block | None, group: _Group, document: Any, held: set[Number]) -> Iterator[Fault]:
    """Compare a cell's numbers with their sources; a cell without numbers says that there is nothing to compare."""
    if cell is None:
        return
    line = page.line(cell.start)
    try:
        named = sources.figures(sources.choose(document, group.words), group.columns)
    except SourceError as error:
        if cell.numbers:
            yield Fault(line, f"{group.text}: {error}")
            held.update(cell.numbers)
        return
    if len(named) != len(cell.numbers):
        yield Fault(line, f"{group.text}: {group.columns} names {len(named)}, the cell has {len(cell.numbers)}")
        return
    for number, figure in zip(cell.numbers, named, strict=True):
        yield from _compare(page, number, figure, group, held)


def _compare(page: Page, number: Number, figure: Figure, group: _Group, held: set[Number]) -> Iterator[Fault]:
    """Compare a number with its source, to as many decimals as it has."""
    if figure.value is None:
        return
    held.add(number)
    if abs(figure.value - number.value) > 0.5 * 10**-number.decimals + _SLACK * max(1, abs(figure.value)):
        should_be = as_written(figure.value, number)
        yield Fault(
            page.line(number.start),
            f"the page says {number.text}, {group.text} says {should_be} ({figure.expression}: {figure.value:.6g})",
            number,
            should_be,
        )


def as_written(value: float, number: Number) -> str:
    """A value in the form of a number: as many decimals, its sign, its separators."""
    sign = "+" if number.text.startswith("+") else ""
    return f"{value:{sign},.{number.decimals}f}"


def _groups(text: str) -> Iterator[_Group]:
    file = ""
    for part in _split(text, ";"):
        words, columns = _cut(part, ":")
        first, _, others = _line(words).partition(" ")
        if sources.is_source(first):
            file, words = first, others
        yield _Group(file, words.strip(), columns)


def _split(text: str, mark: str) -> list[str]:
    """The parts between marks that stand outside of double quotes."""
    return [each.strip() for each in re.findall(rf'((?:"[^"]*"|[^"{mark}])+)', text) if each.strip()]


def _cut(text: str, mark: str) -> tuple[str, str]:
    """The text before and after the first mark that stands outside of double quotes.

    Raises:
        SourceError: There is none.
    """
    found = re.match(rf'((?:"[^"]*"|[^"{mark}])*){mark}', text, re.S)
    if found is None:
        raise SourceError(f"`{mark}` is missing in {_line(text)!r}")
    return found[1], text[found.end() :]


def _line(text: str) -> str:
    """The text as one line."""
    return " ".join(text.split())
