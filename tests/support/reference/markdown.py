"""Write text, code and tables as Markdown that GitHub shows unchanged."""

import re
from collections.abc import Sequence

GENERATED = (
    "<!-- Generated from the declarations by `python -m tests.support.reference --write`: do not edit this page. -->"
)
_SPECIAL = re.compile(r"[\\*<>\[\]~]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that Markdown or HTML would take for markup; an underscore inside a word is none."""


def prose(text: str) -> str:
    """Plain text as Markdown that shows exactly it; spans of code stay code."""
    parts = re.split(r"(``[^\n]+?``|`[^`\n]+`)", text)
    return "".join(part if number % 2 else _SPECIAL.sub(r"\\\g<0>", part) for number, part in enumerate(parts))


def cell(text: str) -> str:
    """Markdown as the cell of a table, in one line."""
    return " ".join(text.replace("|", "\\|").split())


def code(text: str) -> str:
    """A span of code."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns in which nothing stands are left out."""
    shown = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    lines = [[columns[number] for number in shown], ["---"] * len(shown)]
    lines += [[cell(row[number]) for number in shown] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(title: str, *blocks: str) -> str:
    """A page, with the note that it is generated."""
    return "\n\n".join([f"# {title}", GENERATED, *(block for block in blocks if block)]) + "\n"
