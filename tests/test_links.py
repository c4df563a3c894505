"""Every link of the pages that people read leads to a file of the repository, and to a heading that is there."""

import itertools
import re
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.support.reference.markdown import anchor

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKDOWN = MarkdownIt("commonmark").enable("table")
IMAGE = re.compile(r'<img [^>]*src="([^"]+)"')


@cache
def tokens_of(page):
    return MARKDOWN.parse(page.read_text(encoding="utf-8"))


@cache
def links(page):
    """The targets of all links and images of a page."""
    found = []
    for token in tokens_of(page):
        found += IMAGE.findall(token.content)
        for child in token.children or ():
            found += [str(child.attrs[name]) for name in ("href", "src") if name in child.attrs]
    return found


@cache
def anchors(page):
    """The anchors of a page's headings."""
    headings = [after for before, after in itertools.pairwise(tokens_of(page)) if before.type == "heading_open"]
    return {anchor("".join(child.content for child in heading.children or ())) for heading in headings}


def leads_somewhere(page, link):
    """Whether the file of a link is in the repository, and has the heading that it names."""
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not heading or (target.suffix == ".md" and heading in anchors(target))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page):
    assert [link for link in links(page) if "://" not in link and not leads_somewhere(page, link)] == []


def test_every_guide_and_reference_page_can_be_found_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
    assert sorted(page.relative_to(ROOT).as_posix() for page in PAGES if page not in seen) == []


def test_the_readme_begins_with_its_two_commands_and_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("```")[1].strip().splitlines()
    assert [line.partition("#")[0].strip() for line in block] == ["make study", "make test"]
    assert len(text.splitlines()) <= 80
