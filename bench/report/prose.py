"""Paragraphs that a terminal shows well."""

import re
import textwrap

LINE = 110
"""Characters of a line of prose."""

BLOCK_START = re.compile(
    r"""(?: (?P<mark> \d{1,9}[.)] | \#{1,6} | [+*-] | =+ ) (?!\S) | (?P<table> \| | :?-+:?(?![^\s|]) ) | (?P<quote> > )
        | `{3} | ~{3} | <[a-z/!?] )""",
    re.VERBOSE | re.IGNORECASE,
)
"""What begins another block of Markdown where a line begins with it, even inside a code span."""

HELD = "\x1f"
"""Stands for a space at which no line ends: no space to `textwrap`, and in no text of a page."""


def prose(text: str, first: str = "", later: str = "") -> str:
    """A paragraph, wrapped so that no line of it begins another block; ``first`` and ``later`` begin its lines."""
    if (start := BLOCK_START.match(text)) and start.lastgroup:
        text = f"{text[: start.end() - 1]}\\{text[start.end() - 1 :]}"
    lines = textwrap.fill(
        re.sub(rf"\s+(?={BLOCK_START.pattern})", HELD, text, flags=BLOCK_START.flags),
        LINE,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(HELD, " ")


def linked(file: str) -> str:
    """A link to a file beside the report, by its name."""
    return f"[{file}]({file})"
