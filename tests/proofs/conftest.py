"""Fixtures of the proofs: the figures of a proof that passes are written to reports/proofs.json."""

from collections.abc import Generator
from datetime import date
from functools import cache
from typing import Any

import pytest

from tests.proofs.register import constants, drop, keep, sources_hash

FIGURES = pytest.StashKey[dict[str, Any]]()
SOURCES = pytest.StashKey[str]()
FAULT = pytest.StashKey[str]()

_sources_hash = cache(sources_hash)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Filled by a proof with what it measures: {a figure's name in words: a number, a text or a list of them}."""
    return request.node.stash.setdefault(FIGURES, {})


def pytest_itemcollected(item: pytest.Item) -> None:
    """Hash the sources now: those that are imported are not yet older than their files, as they may be in an hour."""
    try:
        item.stash[SOURCES] = _sources_hash(item.config.rootpath, item.path)
    except ValueError as error:
        item.stash[FAULT] = str(error)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A proof whose sources are not to be known fails."""
    if FAULT in item.stash:
        pytest.fail(item.stash[FAULT], pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Change the proof's entry: the report is made in the process that ran it, so also where workers share the run."""
    report = yield
    root = item.config.rootpath
    if report.failed:
        drop(root, item.nodeid)
    elif report.when == "call" and report.passed:
        entry = {
            "date": date.today().isoformat(),
            "seconds": round(report.duration, 1),
            "figures": item.stash.get(FIGURES, {}),
            "sources": item.stash[SOURCES],
            "covers": list(constants(item.path)["COVERS"]),
        }
        keep(root, item.nodeid, entry)
    return report
