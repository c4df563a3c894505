"""Paragraphs that a terminal shows well."""

import textwrap

LINE = 110
"""Characters of a line of prose."""


def prose(text: str) -> str:
    """A paragraph, wrapped."""
    return textwrap.fill(text, LINE, break_long_words=False, break_on_hyphens=False)


def linked(file: str) -> str:
    """A link to a file beside the report, by its name."""
    return f"[{file}]({file})"
