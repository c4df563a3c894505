"""User-given texts on pages, in terminals and in figures, and Markdown as plain text and as HTML.

In: any text, such as a study's name, a file's name or an error message. Out: a text that shows it as it is and can
do nothing else, whatever marks or control characters it holds.
"""

import html
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from bench.storage.visible import visible, visible_lines

__all__ = ["cell", "code", "drawn", "fence", "inline_html", "literal", "plain", "visible", "visible_lines"]

INLINE_MARKS = r"""
      (?P<entity> <(?![\s\d=]) | &(?![\s\d=])               # tags, links, entities
        | \$                                                # formulas: GitHub sets `$x$` as one
        | (?<!\S)\s | \s$ )                                 # a page shows no space at an end, and one of several
    | (?P<mark> [\\`*\[\]|~]                                # code, emphasis, links, cells, strikethrough
        | (?<![^\W_])_ | _(?![^\W_])                        # emphasis, other than inside a word
        | :(?=//|[\w+-]+:) | (?<=www)\. | (?<!\S)@          # links without brackets, `:emoji:`, `@somebody`
        | !$ )                                              # an image, if a link follows
"""
BLOCK_MARKS = r"""
      (?<!\S) (?: > | (?: (?P<number> \d{1,9}) [.)] | \#{1,6} | [+-] | -+ | =+ | :?-+:? ) (?!\S) )
"""
"""What begins a quote, a heading, a list, a rule or a table at the start of a line, where wrapping may put any word."""
INTERVAL = r"(?P<interval> \[ [\d\s,.%+-]+ \] (?! [(\[:] ) )"
"""`[0.160, 0.200]`, `[95 %]`: no link, since nothing follows in a cell."""

OF_CELL = re.compile(f"{INTERVAL} | {INLINE_MARKS}", re.VERBOSE | re.IGNORECASE)
OF_LINE = re.compile(f"{BLOCK_MARKS} | {INLINE_MARKS}", re.VERBOSE | re.IGNORECASE)

INLINE = MarkdownIt("commonmark", {"html": False}).disable("image")
"""Markdown without HTML, and without images: a page loads nothing."""
SHORT_CODE = 30
"""Characters of inline code that is not broken: `--tunings` would end a line behind its hyphens."""


def _code_inline(_self: object, tokens: Sequence[Token], place: int, *_: object) -> str:
    shown = tokens[place].content
    kind = ' class="short"' if len(shown) <= SHORT_CODE else ""
    return f"<code{kind}>{html.escape(shown)}</code>"


INLINE.add_render_rule("code_inline", _code_inline)


def literal(text: str) -> str:
    """Markdown for a paragraph, a bullet or a heading that shows the text as it is, on one line."""
    return OF_LINE.sub(_escaped, visible(text))


def cell(text: str) -> str:
    """Markdown for a table's cell that shows the text as it is; no block can begin there."""
    return OF_CELL.sub(_escaped, visible(text))


def code(text: str) -> str:
    """The text as inline code, for paragraphs and bullets: a table's cell would end at its first `|`."""
    shown = visible(text)
    marks = "`" * (1 + _longest_run(shown))
    stripped = shown.startswith(" ") and shown.endswith(" ") and not shown.isspace()
    pad = " " if stripped or shown.startswith("`") or shown.endswith("`") else ""
    return f"{marks}{pad}{shown}{pad}{marks}" if shown else ""


def fence(language: str, text: str) -> str:
    """Lines to paste as a block of code, whatever backticks they hold; ``language``: `python`, or empty."""
    marks = "`" * max(3, 1 + _longest_run(text))
    return f"{marks}{language}\n{visible_lines(text)}\n{marks}"


def plain(markdown: str) -> str:
    """What a reader sees of inline Markdown, on one line, without marks and control characters."""
    return "".join(
        " " if token.type in {"softbreak", "hardbreak"} else token.content for token in _inline_tokens(markdown)
    )


def inline_html(markdown: str) -> Markup:
    """Inline Markdown as HTML."""
    return Markup(INLINE.renderer.render(_inline_tokens(markdown), INLINE.options, {}))


def drawn(text: str) -> str:
    """The text for a figure: Matplotlib leaves a label that begins with `_` out of legends."""
    shown = visible(text)
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _longest_run(text: str) -> int:
    """Of backticks."""
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
