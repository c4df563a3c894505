"""Wrap Markdown paragraphs so that they also read well in a terminal."""

import re
import textwrap

LINE = 110
"""Maximum number of characters of a line."""

BLOCK_START = re.compile(
    r"""(?: (?P<mark> \d{1,9}[.)] | \#{1,6} | [+*-] | =+ ) (?!\S) | (?P<table> \| | :?-+:?(?![^\s|]) ) | (?P<quote> > )
        | `{3} | ~{3} | <[a-z/!?] )""",
    re.VERBOSE | re.IGNORECASE,
)
"""Text that begins another Markdown block at the start of a line, even inside a code span."""

UNBREAKABLE_SPACE = "\x1f"
"""Stands for a space at which no line may break: not a space to `textwrap`, and in no page's text."""


def prose(text: str, first: str = "", later: str = "") -> str:
    """Wrap a paragraph so that no line begins another block; ``first`` and ``later`` are put before its lines."""
    if (start := BLOCK_START.match(text)) and start.lastgroup:
        text = f"{text[: start.end() - 1]}\\{text[start.end() - 1 :]}"
    lines = textwrap.fill(
        re.sub(rf"\s+(?={BLOCK_START.pattern})", UNBREAKABLE_SPACE, text, flags=BLOCK_START.flags),
        LINE,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(UNBREAKABLE_SPACE, " ")


def linked(file: str) -> str:
    """Return a Markdown link to a file beside the report, labelled with its name."""
    return f"[{file}]({file})"
