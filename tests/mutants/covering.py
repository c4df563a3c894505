"""Measure which tests run each line of the packages and how long each test takes, and keep it in a JSON file."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutants.current_test import CURRENT_TEST, SEPARATOR
from tests.mutants.recorder import RECORDS, key_of
from tests.mutants.working_copy import PACKAGES, PYTEST, WorkingCopy

CONFIGURATION = """\
[run]
include =
    {copy}/bench/*
    {copy}/posemodel/*
data_file = {data}/.coverage
parallel = true
context = ${{{variable}-}}
patch =
    fork
    _exit
"""
"""Coverage's, for every process. Lines only, no branches: tests are looked up by line."""
AT_START = "from tests.mutants.current_test import follow\n\nfollow()\n"
"""`sitecustomize`, which Python imports when it starts."""


@dataclass(frozen=True)
class Test:
    """A test that has passed while it was measured."""

    __test__ = False  # for pytest: not one itself

    id: str
    seconds: float
    """Without those of shared fixtures."""
    fixtures: tuple[str, ...]
    """The shared fixtures (of a module, of the session) that it uses."""


@dataclass(frozen=True)
class Covering:
    """Which tests run which lines."""

    tests: tuple[Test, ...]
    fixture_seconds: dict[str, float]
    lines: dict[str, dict[int, frozenset[int]]]
    """By file and line number, indices of `tests`. Lines that only imports run have none."""
    digests: dict[str, str]
    """SHA-256 of each file as it was measured."""
    failed: tuple[str, ...]
    """Tests that failed while measured: they can tell nothing of a mutant, and are never run."""

    def of(self, path: str, lines: Iterable[int]) -> list[Test]:
        """The tests that run one of a file's lines, the fastest first."""
        known = self.lines.get(path, {})
        found = frozenset().union(*(known.get(line, frozenset()) for line in lines))
        return sorted((self.tests[index] for index in found), key=lambda test: (self.seconds(test), test.id))

    def seconds(self, test: Test) -> float:
        """How long a test takes alone, with its fixtures."""
        return test.seconds + sum(self.fixture_seconds.get(each, 0.0) for each in test.fixtures)

    def write(self, file: Path) -> None:
        """Write it as JSON; equal sets of tests are written once."""
        sets = {tests: index for index, tests in enumerate({s for own in self.lines.values() for s in own.values()})}
        document = {
            "tests": [asdict(test) for test in self.tests],
            "fixture_seconds": self.fixture_seconds,
            "digests": self.digests,
            "failed": self.failed,
            "sets": [sorted(tests) for tests in sets],
            "lines": {path: {line: sets[tests] for line, tests in own.items()} for path, own in self.lines.items()},
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Covering":
        """Read what `write` has written."""
        document = json.loads(file.read_text(encoding="utf-8"))
        sets = [frozenset(each) for each in document["sets"]]
        lines = document["lines"].items()
        return cls(
            tests=tuple(Test(each["id"], each["seconds"], tuple(each["fixtures"])) for each in document["tests"]),
            fixture_seconds=document["fixture_seconds"],
            lines={path: {int(line): sets[index] for line, index in own.items()} for path, own in lines},
            digests=document["digests"],
            failed=tuple(document["failed"]),
        )


def measure(copy: WorkingCopy, tests: Sequence[str], *, processes: int) -> Covering:
    """Run tests in a working copy and record which lines each runs, in processes that it starts too.

    A process that is killed, or started with an environment without `CURRENT_TEST`, leaves nothing.
    """
    folder = copy.folder.parent
    records, data, at_start = (folder / name for name in ("records", "coverage", "at-start"))
    for each in (records, data, at_start):
        each.mkdir()
    (at_start / "sitecustomize.py").write_text(AT_START)
    configuration = folder / "coverage.ini"
    configuration.write_text(CONFIGURATION.format(copy=copy.folder, data=data, variable=CURRENT_TEST))
    environment = copy.environment() | {
        "PYTHONPATH": os.pathsep.join([str(at_start), str(copy.folder)]),
        "COVERAGE_PROCESS_START": str(configuration),
        RECORDS: str(records),
    }
    command = [sys.executable, *PYTEST, "-p", "tests.mutants.recorder"]
    if processes > 1:
        command += ["-p", "xdist.plugin", "-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
    subprocess.run([*command, *tests], cwd=copy.folder, env=environment, check=False)
    return _read(copy.folder, records, data)


def digest(content: bytes) -> str:
    """What tells whether a file is the one that was measured."""
    return hashlib.sha256(content).hexdigest()


def _read(copy: Path, records: Path, data: Path) -> Covering:
    """What the recorder and coverage have written."""
    from coverage import CoverageData
    from coverage.exceptions import DataError

    rows = [json.loads(line) for file in sorted(records.glob("*.jsonl")) for line in file.read_text().splitlines()]
    fixture_seconds: dict[str, float] = {}
    for row in rows:
        if "fixture" in row:
            fixture_seconds[row["fixture"]] = max(row["seconds"], fixture_seconds.get(row["fixture"], 0.0))
    run = [row for row in rows if "test" in row]
    tests = [Test(row["test"], row["seconds"], tuple(row["fixtures"])) for row in run if not row["failed"]]
    users: dict[str, set[int]] = {}
    for index, test in enumerate(tests):
        for name in (test.id, *test.fixtures):
            users.setdefault(key_of(name), set()).add(index)
    lines: dict[str, dict[int, set[int]]] = {}
    for file in sorted(data.glob(".coverage.*")):
        measured = CoverageData(basename=str(file))
        try:
            measured.read()
        except DataError:
            continue  # of a process that was killed while it wrote
        for path in measured.measured_files():
            own = lines.setdefault(Path(path).relative_to(copy).as_posix(), {})
            for line, contexts in measured.contexts_by_lineno(path).items():
                for context in contexts:
                    own.setdefault(line, set()).update(users.get(context.rpartition(SEPARATOR)[2], ()))
    files = [file for package in PACKAGES for file in (copy / package).rglob("*.py")]
    return Covering(
        tests=tuple(tests),
        fixture_seconds=fixture_seconds,
        lines={path: {line: frozenset(each) for line, each in own.items()} for path, own in lines.items()},
        digests={file.relative_to(copy).as_posix(): digest(file.read_bytes()) for file in files},
        failed=tuple(row["test"] for row in run if row["failed"]),
    )
