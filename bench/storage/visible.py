"""Control characters of user-given texts, written out: ANSI escapes, line feeds, bidi overrides.

A file's name or an error's message that holds them would move the cursor, turn the reading direction or begin a line of
its own wherever it is printed; one with half a character (a file's name that is not UTF-8) could not be written at all.
"""

import re
import unicodedata

CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what acts on a text unseen: controls, formats, surrogates, line and paragraph separators."""

JOINERS = "\u200c\u200d"
"""Formats that belong to the spelling of some scripts and to emoji; they turn and hide nothing."""


def visible(text: str) -> str:
    r"""The text with control characters written out: `\x1b`, `\n`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(map(_written_out, text))


def visible_lines(text: str) -> str:
    """As `visible`, but for line feeds and tabs, which stay: for texts of several lines."""
    return re.sub(r"[^\n\t]+", lambda part: visible(part[0]), text)


def _written_out(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")
