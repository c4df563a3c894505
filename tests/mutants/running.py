"""Run the tests that cover a mutant until one fails."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.mutants.covering import Covering, Test
from tests.mutants.planting import Mutant
from tests.mutants.working_copy import PYTEST, WorkingCopy

FIRST_TESTS = 40
"""The fastest of the covering tests are run first, so many of them; the others only where these have passed."""
SLOWNESS = 3.0
"""A limit is so many times as long as the tests took when measured: what then still runs hangs."""
START_S = 20.0
"""Until pytest has imported what the tests need, at most: 4 to 8 seconds were measured on two busy cores."""
PASSED, FAILED = 0, 1
"""Exit codes of pytest; each other one says that the tests could not be run to their end."""
FAILURES = ("FAILED ", "ERROR ")
"""What a line of pytest's summary begins with: then come the test's id and, after a dash, its error."""


class Outcome(StrEnum):
    """What the tests said of a mutant."""

    CAUGHT = "caught"
    HUNG = "caught (hung)"
    BROKEN = "caught (does not start)"
    SURVIVED = "survived"
    UNCLEAR = "unclear"
    """The tests cannot be run without the mutant either: it counts as not caught."""


NOT_CAUGHT = (Outcome.SURVIVED, Outcome.UNCLEAR)


@dataclass(frozen=True)
class Verdict:
    """A mutant's outcome."""

    outcome: Outcome
    seconds: float
    by: str = ""
    """The test that failed."""
    run: int = 0
    """Tests that were run."""
    covering: int = 0
    """Tests that cover it; those that did not fit into the time limit were not run."""


def judge(mutant: Mutant, tests: Sequence[Test], covering: Covering, copy: WorkingCopy, *, limit_s: float) -> Verdict:
    """Plant a mutant in a working copy, run tests (the fastest first), and remove it.

    A test that fails without the mutant too (it depends on the clock, say) does not count, and is run no more; nor do
    tests that do not end in time without it either, since other programs keep the machine busy.
    """
    file = copy.folder / mutant.path
    clean = file.read_bytes()
    left, spent, seen = list(tests), 0.0, 0
    while batch := fitting(left if seen else left[:FIRST_TESTS], covering, tests_s(limit_s - spent)):
        timeout_s = limit_s - spent
        try:
            file.write_bytes(mutant.planted(clean))
            ended = copy.run([*PYTEST, "-x", *(test.id for test in batch)], timeout_s=timeout_s)
        finally:
            file.write_bytes(clean)
        spent += ended.seconds
        if ended.code == PASSED:
            seen += len(batch)
            left = [test for test in left if test not in batch]
            continue
        hung = ended.code is None
        failed = _failed(ended.output, batch) if ended.code == FAILED else batch
        without = copy.run([*PYTEST, "-x", *(test.id for test in failed)], timeout_s=timeout_s if hung else limit_s)
        if without.code == PASSED:
            outcome = Outcome.HUNG if hung else Outcome.CAUGHT if ended.code == FAILED else Outcome.BROKEN
            return Verdict(outcome, spent, "" if hung else failed[0].id, seen + len(batch), len(tests))
        left = [test for test in left if test not in failed]
    return Verdict(Outcome.SURVIVED if seen else Outcome.UNCLEAR, spent, run=seen, covering=len(tests))


def tests_s(limit_s: float) -> float:
    """How long tests may have taken when measured, to be run within a limit."""
    return (limit_s - START_S) / SLOWNESS


def fitting(tests: Iterable[Test], covering: Covering, seconds: float) -> list[Test]:
    """The first of ``tests`` that together take no longer, each shared fixture once."""
    found: list[Test] = []
    fixtures: set[str] = set()
    for test in tests:
        seconds -= test.seconds + sum(covering.fixture_seconds.get(each, 0.0) for each in {*test.fixtures} - fixtures)
        if seconds < 0:
            break
        fixtures.update(test.fixtures)
        found.append(test)
    return found


def _failed(output: str, batch: Sequence[Test]) -> list[Test]:
    """The tests that pytest's summary names; of a file that could not be imported, its first one."""
    lines = [line.partition(" ")[2] for line in output.splitlines() if line.startswith(FAILURES)]

    def named(name: str) -> bool:
        return any(line == name or line.startswith(f"{name} - ") for line in lines)

    found = [test for test in batch if named(test.id)]
    return found or [test for test in batch if named(test.id.partition("::")[0])][:1] or list(batch)
