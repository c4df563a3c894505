"""Write out control characters in user-given texts: ANSI escapes, line feeds, bidi overrides.

A file name or error message with such characters would move the cursor, change the reading direction or begin a new
line when printed; one with a lone surrogate (a file name that is not UTF-8) could not be printed at all.
"""

import re
import unicodedata

CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of invisible control characters: controls, formats, surrogates, line and paragraph separators."""

JOINERS = "\u200c\u200d"
"""Format characters that are kept: some scripts and emoji are spelled with them, and they are harmless."""


def visible(text: str) -> str:
    r"""Return the text with control characters written out, as `\x1b`, `\n`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(map(_written_out, text))


def visible_lines(text: str) -> str:
    """Return `visible` of a text of several lines: line feeds and tabs are kept."""
    return re.sub(r"[^\n\t]+", lambda part: visible(part[0]), text)


def _written_out(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")
