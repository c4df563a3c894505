"""The reports that ship are what today's pages make of their files: else `python -m tests.support.rebuilt_reports`."""

import re

import pandas as pd
import pytest

from bench.report import findings_write
from tests.support.empty_pictures import empty_figure
from tests.support.rebuilt_reports import rebuild, shipped

IMAGE_ADDRESS = re.compile(r'src="data:[^"]*"')
MAIN_WORDS, SIX, ANOTHER_WORDS = 600, 6, 50
"""Most words of a page that compares up to six, and of what each further one adds: rows of tables, and its name."""


@pytest.mark.parametrize("folder", shipped(), ids=lambda folder: folder.name)
def test_its_pages_are_those_of_its_files(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(findings_write, "figure_of", empty_figure)
    rebuild(folder, tmp_path)
    for name in ("report.md", "appendix.md", "report.html"):
        kept, made = (IMAGE_ADDRESS.sub("", (place / name).read_text()) for place in (folder, tmp_path))
        assert kept == made, f"{folder.name}/{name} is not what its files give: python -m tests.support.rebuilt_reports"
    linked = {*re.findall(r"\]\(([^)]+)\)", (folder / "report.md").read_text() + (folder / "appendix.md").read_text())}
    assert {path.name for path in folder.iterdir()} == linked


@pytest.mark.parametrize("folder", shipped(), ids=lambda folder: folder.name)
def test_its_main_page_is_read_in_minutes(folder):
    text = re.sub(r"!\[[^]]*\]\([^)]*\)|[|>#`*-]{2,}|[|>]", " ", (folder / "report.md").read_text())
    compared = len(pd.read_csv(folder / "summary.csv")) if (folder / "summary.csv").exists() else 0
    assert len(text.split()) <= MAIN_WORDS + ANOTHER_WORDS * max(0, compared - SIX)
