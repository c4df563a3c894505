"""Pytest plugin that tells coverage which test runs, and records test times: `-p tests.mutants.recorder`.

What a fixture of a module or a session runs counts for every test that uses the fixture, not for the first alone.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.current_test import CURRENT_TEST

RECORDS = "MUTANTS_RECORDS"
"""Variable with the folder that each process writes its records to, a JSON document a line."""
KEY_CHARACTERS = 16


def key_of(name: str) -> str:
    """A test's or fixture's name in coverage's data: short, and without characters that mean something there."""
    return hashlib.sha256(name.encode()).hexdigest()[:KEY_CHARACTERS]


def pytest_configure(config: pytest.Config) -> None:
    """Record, where a measuring has asked for it."""
    if folder := os.environ.get(RECORDS):
        config.pluginmanager.register(Recorder(Path(folder)))


class Recorder:
    """What is known of the test that runs."""

    def __init__(self, folder: Path) -> None:
        """Writes to a file of this process in ``folder``."""
        self._file = folder / f"{os.getpid()}.jsonl"
        self._failed: set[str] = set()
        self._fixtures: set[str] = set()
        self._fixtures_s = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One test, from its first fixture's begin to its last one's end."""
        _forget()
        self._fixtures, self._fixtures_s = _shared_fixtures(item), 0.0
        os.environ[CURRENT_TEST] = key_of(item.nodeid)
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            seconds = time.perf_counter() - began - self._fixtures_s
            failed = item.nodeid in self._failed
            self._write(test=item.nodeid, seconds=seconds, failed=failed, fixtures=sorted(self._fixtures))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """A fixture's begin; one that more than a test may use has a context of its own."""
        if fixturedef.scope == "function":
            return (yield)
        name = _fixture_name(fixturedef)
        self._fixtures.add(name)
        user, os.environ[CURRENT_TEST] = os.environ[CURRENT_TEST], key_of(name)
        began, before = time.perf_counter(), self._fixtures_s
        try:
            return (yield)
        finally:
            seconds = time.perf_counter() - began - (self._fixtures_s - before)
            self._fixtures_s += seconds
            os.environ[CURRENT_TEST] = user
            self._write(fixture=name, seconds=seconds)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """How a part of a test has ended."""
        report = yield
        if report.failed:
            self._failed.add(item.nodeid)
        return report

    def _write(self, **record: Any) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _fixture_name(fixturedef: pytest.FixtureDef[Any]) -> str:
    return f"fixture {fixturedef.baseid}::{fixturedef.argname}"


def _shared_fixtures(item: pytest.Item) -> set[str]:
    """The fixtures that a test uses, directly or not, and that other tests may use as they are."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return {_fixture_name(each) for several in known.values() for each in several if each.scope != "function"}


def _forget() -> None:
    """Clear what functions of the packages have cached: else their lines would run for the first test alone."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("bench", "posemodel"):
            for value in list(vars(module).values()):
                if getattr(value, "__module__", None) == name and hasattr(value, "cache_clear"):
                    value.cache_clear()
