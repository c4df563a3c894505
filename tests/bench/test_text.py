"""User-given texts in Markdown, as plain text and as HTML: they come out as they are, and as nothing else."""

import html
import re

import matplotlib.pyplot as plt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.lines import Line2D

from bench.report.prose import prose
from bench.report.style import RC, legend_below
from bench.report.text import cell, code, fence, figure_text, inline_html, literal, plain, visible
from bench.storage.visible import visible_lines
from tests.support.examples import few

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a & b &amp; &#27;",
    "*x* **y** _z_ __init__ ~~gone~~ `code` ``two``",
    "[here](https://example.org) ![](x.png) <https://example.org>",
    "https://example.org www.example.org a@example.org @somebody :rocket:",
    "# heading",
    "- item",
    "+ item",
    "> quote",
    "1. first",
    "2) second",
    "a\n\n# b",
    "a\r\nb\tc",
    "a | b",
    "a \\| b \\",
    "--- | ---",
    "===",
    "---",
    ":-:",
    "```",
    "`",
    " two  spaces ",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    "\u202egnp.exe",
    "\u2028\u2029\ufeff\u00ad",
    "\udcff",
    "$x$ $\\frac",
    "{{ 7 * 7 }}",
    "=1+2",
    "C:\\new\\table",
    "",
]

BEGINNINGS = ["#", "##", "-", "+", "*", "=", "==", "---", "1.", "2)", ">", "|", "---|", "|---", ":-:", "```", "~~~"]
OTHERS = [
    "_",
    "<div>",
    "word",
    "two-words",
    "-0.5",
    "--name",
    "`",
    "\\",
    "&lt;",
    "http://a.b",
    "www.a.b",
    "[x]",
    "[0.1, 2]",
    "$",
]
WORDS = st.lists(st.sampled_from([*BEGINNINGS, *OTHERS]), max_size=80).map(" ".join)

TEXTS = st.one_of(
    st.text(st.characters(), max_size=60), st.text("`*_~#->|[]()!\\<&;$ :=+1.\n\x1ba@", max_size=30), WORDS
)

PAGE = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def blocks(page: str) -> list[str]:
    return [token.type for token in PAGE.parse(page)]


@given(TEXTS)
def test_visible_writes_out_what_acts_unseen_and_changes_nothing_else(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert all(
        character.isprintable() or character.isspace() or character in "\u200c\u200d" or not character.isascii()
        for character in shown
    )
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown
    )
    shown.encode()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\u202ex", r"\u202ex"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("C:\\new", "C:\\new"),
        ("Ярослав 測試 👩\u200d👧 می\u200cخواهم é\u00a0", "Ярослав 測試 👩\u200d👧 می\u200cخواهم é\u00a0"),
    ],
)
def test_control_characters_are_written_as_in_a_program(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("mark", [literal, cell, code])
def test_hostile_texts_come_back(mark) -> None:
    for text in HOSTILE:
        assert plain(mark(text)) == visible(text)


@given(TEXTS)
def test_any_text_comes_back(text: str) -> None:
    assert plain(literal(text)) == plain(cell(text)) == plain(code(text)) == visible(text)


@given(TEXTS, TEXTS)
def test_texts_in_a_sentence_come_back(one: str, other: str) -> None:
    sentence = f"**{literal(one)}** beats {literal(other)}; see [{literal(one)}](records.csv) and {code(other)}."
    expected = f"{visible(one)} beats {visible(other)}; see {visible(one)} and {visible(other)}."
    if one:
        assert plain(sentence) == expected


@given(TEXTS)
def test_html_holds_no_tag_of_the_text(text: str) -> None:
    assert html.unescape(str(inline_html(literal(text)))) == visible(text)
    assert "<" not in inline_html(literal(text))
    inside = re.sub(r'^<code( class="short")?>|</code>$', "", str(inline_html(code(text))))
    assert html.unescape(inside) == visible(text)
    assert "<" not in inside


@given(TEXTS)
def test_markdown_of_any_content_becomes_safe_html(text: str) -> None:
    found = re.findall(r"<(/?[a-z]+)", str(inline_html(text)), re.IGNORECASE)
    assert {name.removeprefix("/") for name in found} <= {"a", "code", "em", "strong", "br"}
    assert not re.search(r"\x1b|\u202e", plain(text) + inline_html(text))


def test_html_loads_and_runs_nothing() -> None:
    page = inline_html("![p](https://example.org/p.png) [x](javascript:alert(1)) <script>alert(1)</script>")
    assert "<img" not in page
    assert "<script" not in page
    assert 'href="javascript' not in page


@given(TEXTS)
@example("x # y")
@example("a | b --- | ---")
def test_a_page_has_one_paragraph(text: str) -> None:
    for mark in (literal, code):
        page = prose(f"Some words of a sentence that is long enough to be wrapped: {mark(text)} and the end of it.")
        assert blocks(page) == ["paragraph_open", "inline", "paragraph_close"]
        assert (
            plain(page).split()
            == f"Some words of a sentence that is long enough to be wrapped: {visible(text)} and the end of it.".split()
        )


@given(TEXTS)
def test_a_text_alone_is_a_paragraph_a_heading_a_bullet_and_a_cell(text: str) -> None:
    if not text:
        return
    assert blocks(literal(text)) == ["paragraph_open", "inline", "paragraph_close"]
    assert blocks(f"# {literal(text)}") == ["heading_open", "inline", "heading_close"]
    assert PAGE.parse(f"# {literal(text)}")[1].content == literal(text)
    assert blocks(prose(f"{literal(text)}. Words.")) == ["paragraph_open", "inline", "paragraph_close"]
    assert blocks(prose(literal(text), "- ", "  ")).count("paragraph_open") == 1
    table = PAGE.parse(f"| a | b |\n| --- | --- |\n| {cell(text)} | {literal(text)} |\n")
    cells = [plain(token.content) for token in table if token.type == "inline"]
    assert cells == ["a", "b", visible(text), visible(text)]


@given(TEXTS)
def test_lines_to_paste_stay_in_their_block(text: str) -> None:
    (block,) = PAGE.parse(fence("python", f"first\n{text}"))
    assert (block.type, block.info) == ("fence", "python")
    assert block.content == f"first\n{visible_lines(text)}\n"


@given(TEXTS)
def test_nothing_becomes_a_link_on_github(text: str) -> None:
    assert not re.search(r"(?<!\\)://|www\.", literal(text), re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    [
        "torch.optim.SGD",
        "my_optimizer",
        "lr-0.5",
        "-0.5",
        "5.",
        "a: b",
        "C#",
        "< 0.001",
        "<= 1.6",
        "a & b",
        "lr: 0.1 -> 0.2",
    ],
)
def test_plain_names_stay_as_they_are(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize("text", ["-", "0.181 [0.160, 0.200]", "-0.5 [-1, 2.5]"])
def test_a_figure_in_a_cell_stays_as_it_is(text: str) -> None:
    assert cell(text) == text
    assert literal(text) != text


@few(10, of=25)
@given(st.text(st.sampled_from("$\\\\_ax{}^frac"), min_size=1, max_size=20))
@example(r"$\frac")
def test_matplotlib_draws_the_text_itself(text: str) -> None:
    with plt.rc_context(RC):
        figure, axis = plt.subplots()
        axis.set_title(figure_text(text))
        legend_below(figure, [Line2D([], [], label=text)])
        figure.draw_without_rendering()
        plt.close(figure)
    assert [shown.get_text().removeprefix("\u200b") for shown in (axis.title, *figure.legends[0].get_texts())] == [
        text
    ] * 2
