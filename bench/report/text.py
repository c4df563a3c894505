"""Show user-given texts safely on pages, in terminals and in figures; render inline Markdown as plain text and HTML.

In: any text, such as a study's name, a file's name or an error message. Out: a text that shows it literally and can do
nothing else, even if it holds markup or control characters.
"""

import html
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from bench.storage.visible import visible, visible_lines

__all__ = ["cell", "code", "fence", "figure_text", "inline_html", "literal", "plain", "visible", "visible_lines"]

INLINE_MARKS = r"""
      (?P<entity> <(?![\s\d=]) | &(?![\s\d=])               # tags, links, entities
        | \$                                                # formulas: GitHub sets `$x$` as one
        | (?<!\S)\s | \s$ )                                 # pages drop spaces at the ends and collapse runs
    | (?P<mark> [\\`*\[\]|~]                                # code, emphasis, links, cells, strikethrough
        | (?<![^\W_])_ | _(?![^\W_])                        # emphasis, other than inside a word
        | :(?=//|[\w+-]+:) | (?<=www)\. | (?<!\S)@          # links without brackets, `:emoji:`, `@somebody`
        | !$ )                                              # an image, if a link follows
"""
BLOCK_MARKS = r"""
      (?<!\S) (?: > | (?: (?P<number> \d{1,9}) [.)] | \#{1,6} | [+-] | -+ | =+ | :?-+:? ) (?!\S) )
"""
"""Text that begins a quote, heading, list, rule or table at the start of a line, where wrapping may put any word."""
INTERVAL = r"(?P<interval> \[ [\d\s,.%+-]+ \] (?! [(\[:] ) )"
"""Intervals such as `[0.160, 0.200]` or `[95 %]`: not a link, since nothing follows in a cell."""

CELL_PATTERN = re.compile(f"{INTERVAL} | {INLINE_MARKS}", re.VERBOSE | re.IGNORECASE)
LINE_PATTERN = re.compile(f"{BLOCK_MARKS} | {INLINE_MARKS}", re.VERBOSE | re.IGNORECASE)

INLINE = MarkdownIt("commonmark", {"html": False}).disable("image")
"""Markdown renderer without HTML and images: a page loads nothing."""
SHORT_CODE = 30
"""Maximum number of characters of inline code that is not broken between lines: `--tunings` could break after its
hyphens."""


def _code_inline(_self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    shown = tokens[index].content
    kind = ' class="short"' if len(shown) <= SHORT_CODE else ""
    return f"<code{kind}>{html.escape(shown)}</code>"


INLINE.add_render_rule("code_inline", _code_inline)


def literal(text: str) -> str:
    """Return Markdown that shows the text literally on one line of a paragraph, bullet or heading."""
    return LINE_PATTERN.sub(_escaped, visible(text))


def cell(text: str) -> str:
    """Return Markdown that shows the text literally in a table cell, where no block can begin."""
    return CELL_PATTERN.sub(_escaped, visible(text))


def code(text: str) -> str:
    """Return the text as inline code, for paragraphs and bullets: a table's cell would end at its first `|`."""
    shown = visible(text)
    marks = "`" * (1 + _longest_run(shown))
    stripped = shown.startswith(" ") and shown.endswith(" ") and not shown.isspace()
    pad = " " if stripped or shown.startswith("`") or shown.endswith("`") else ""
    return f"{marks}{pad}{shown}{pad}{marks}" if shown else ""


def fence(language: str, text: str) -> str:
    """Return lines to paste as a code block, whatever backticks they hold; ``language``: `python`, or empty."""
    marks = "`" * max(3, 1 + _longest_run(text))
    return f"{marks}{language}\n{visible_lines(text)}\n{marks}"


def plain(markdown: str) -> str:
    """Return inline Markdown as plain text on one line, without markup and control characters."""
    return "".join(
        " " if token.type in {"softbreak", "hardbreak"} else token.content for token in _inline_tokens(markdown)
    )


def inline_html(markdown: str) -> Markup:
    """Return inline Markdown as HTML."""
    return Markup(INLINE.renderer.render(_inline_tokens(markdown), INLINE.options, {}))


def figure_text(text: str) -> str:
    """Return the text for a figure: Matplotlib leaves a label that begins with `_` out of legends."""
    shown = visible(text)
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _longest_run(text: str) -> int:
    """Return the length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _escaped(special: re.Match[str]) -> str:
    text, groups = special[0], special.groupdict()
    if groups.get("interval"):
        return text
    if groups["entity"]:
        named = html.escape(text, quote=False)
        return named if named != text else f"&#{ord(text)};"
    number = groups.get("number") or ""
    return f"{number}\\{text.removeprefix(number)}"


def _inline_tokens(markdown: str) -> Sequence[Token]:
    tokens = [token for block in INLINE.parseInline(markdown) for token in block.children or ()]
    for token in tokens:
        token.content = visible(token.content)
    return tokens
