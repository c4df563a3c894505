"""Plant mutants (small faults) in both packages and list those that no test catches: `python -m tests.mutants`.

    python -m tests.mutants --measure                 run the suite once, record which tests run which lines
    python -m tests.mutants --list                    show the mutants of seed 0 without running a test
    python -m tests.mutants --seed 3 --count 60       plant 60, run their tests; exit code 1 under 85 % caught
    python -m tests.mutants --only bench/kinds/optimizers/plan.py:41   every mutant of one line

The choice depends on the seed, the sources and which lines are covered.
"""

import argparse
import json
import queue
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.mutants.covering import Covering, Test, digest, measure
from tests.mutants.planting import Mutant, choose, count_statements, mutants
from tests.mutants.running import NOT_CAUGHT, Verdict, judge, tests_s
from tests.mutants.working_copy import PACKAGES, WorkingCopy

REPOSITORY = Path(__file__).resolve().parents[2]
LEAST_CAUGHT = 0.85
"""The issue's threshold."""
COUNT = 60
"""The issue's number of mutants."""
LIMIT_S = 300.0
"""Time of a mutant's tests, at most."""
CONTEXTS = REPOSITORY / "reports" / "mutants-contexts.json"
OUT = REPOSITORY / "reports" / "mutants.json"

Judged = tuple[Mutant, Verdict]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    asked = _parser().parse_args(arguments)
    if asked.measure:
        with working_copies(1) as copies:
            covering = measure(copies[0], asked.tests, processes=asked.jobs)
        covering.write(asked.contexts)
        print(f"{len(covering.tests)} tests passed, {len(covering.failed)} failed: {asked.contexts}")
        print(*(f"left out, as it failed: {name}" for name in covering.failed), sep="\n")
        return 0 if covering.tests else 2
    if not asked.contexts.is_file():
        raise SystemExit(f"{asked.contexts} is not there: run `python -m tests.mutants --measure` first")
    covering = Covering.read(asked.contexts)
    sources = read_sources(covering)
    plantable = find(sources, covering, limit_s=asked.limit_s)
    if asked.only:
        path, _, line = asked.only.rpartition(":")
        chosen = [each for each in plantable if (each.path, each.line) == (path, int(line))]
    else:
        statements = dict.fromkeys(PACKAGES, 0)
        for path, content in sources.items():
            statements[path.partition("/")[0]] += count_statements(content)
        chosen = choose(list(plantable), count=asked.count, seed=asked.seed, statements=statements)
    if not chosen:
        raise SystemExit("there is nothing to plant: see `--only`, and which tests were measured")
    if asked.list:
        for mutant in chosen:
            before, after = mutant.shown(sources[mutant.path])
            print(
                f"{mutant.path}:{mutant.line}  {mutant.kind}, {len(plantable[mutant])} tests\n  - {before}\n  + {after}"
            )
        print(f"{len(chosen)} mutants")
        return 0
    judged = list(run(chosen, plantable, covering, sources, jobs=asked.jobs, limit_s=asked.limit_s))
    return report(judged, sources, seed=asked.seed, out=asked.out)


def read_sources(covering: Covering) -> dict[str, bytes]:
    """The packages' files that are as they were when measured."""
    sources = {}
    for package in PACKAGES:
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            sources[file.relative_to(REPOSITORY).as_posix()] = file.read_bytes()
    changed = [path for path, content in sources.items() if covering.digests.get(path) != digest(content)]
    if changed:
        print(f"{len(changed)} files are not as they were measured, and left out: {', '.join(changed)}")
    return {path: content for path, content in sources.items() if path not in changed}


def find(sources: dict[str, bytes], covering: Covering, *, limit_s: float) -> dict[Mutant, list[Test]]:
    """All mutants that a test covers, each with its tests, the fastest first; says how many others there are."""
    found, uncovered, slow = {}, 0, 0
    for path, content in sources.items():
        for mutant in mutants(path, content):
            tests = covering.of(path, mutant.lines)
            if not tests:
                uncovered += 1
            elif covering.seconds(tests[0]) > tests_s(limit_s):
                slow += 1
            else:
                found[mutant] = tests
    print(f"{len(found)} mutants can be planted; left out: {uncovered} in lines that no test runs", end=", ")
    print(f"{slow} whose tests do not fit into {limit_s:g} s")
    return found


def run(
    chosen: Sequence[Mutant],
    tests: dict[Mutant, list[Test]],
    covering: Covering,
    sources: dict[str, bytes],
    *,
    jobs: int,
    limit_s: float,
) -> Iterator[Judged]:
    """Judge mutants, ``jobs`` at a time, each in a copy of its own; prints a line for each that is done."""
    with working_copies(min(jobs, max(len(chosen), 1))) as copies, ThreadPoolExecutor(len(copies)) as pool:
        for copy in copies:
            copy.check()
            if any((copy.folder / each.path).read_bytes() != sources[each.path] for each in chosen):
                raise SystemExit("the sources have changed while they were copied: start again")
        free: queue.SimpleQueue[WorkingCopy] = queue.SimpleQueue()
        for copy in copies:
            free.put(copy)

        def one(mutant: Mutant) -> Judged:
            copy = free.get()
            try:
                verdict = judge(mutant, tests[mutant], covering, copy, limit_s=limit_s)
            finally:
                free.put(copy)
            print(_line(mutant, verdict, sources), flush=True)
            return mutant, verdict

        yield from pool.map(one, chosen)


def report(judged: Sequence[Judged], sources: dict[str, bytes], *, seed: int, out: Path) -> int:
    """Write the outcomes, list the survivors, print the share last; returns the exit code."""
    survivors = [each for each in judged if each[1].outcome in NOT_CAUGHT]
    caught, count = len(judged) - len(survivors), len(judged)
    share = caught / count if count else 0.0
    document = {
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "count": count,
        "caught": caught,
        "caught_share": round(share, 4),
        "kinds": Counter(mutant.kind for mutant, _ in judged),
        "survivors": [_row(*each, sources) for each in survivors],
        "mutants": [_row(*each, sources) for each in judged],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if survivors:
        print("\nNot caught:")
        print(*(_line(*each, sources) for each in survivors), sep="\n")
    print(f"caught {caught} of {count} ({share:.0%})")
    return 0 if share >= LEAST_CAUGHT else 1


@contextmanager
def working_copies(count: int) -> Iterator[list[WorkingCopy]]:
    """Copies of the repository in temporary folders, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        copies = []
        for index in range(count):
            (own := Path(folder) / str(index)).mkdir()
            copies.append(WorkingCopy(REPOSITORY, own))
        yield copies


def _row(mutant: Mutant, verdict: Verdict, sources: dict[str, bytes]) -> dict[str, Any]:
    before, after = mutant.shown(sources[mutant.path])
    place = {"path": mutant.path, "line": mutant.line, "kind": mutant.kind, "before": before, "after": after}
    found = {"outcome": verdict.outcome, "seconds": round(verdict.seconds, 1), "by": verdict.by}
    return place | found | {"tests_run": verdict.run, "tests_covering": verdict.covering}


def _line(mutant: Mutant, verdict: Verdict, sources: dict[str, bytes]) -> str:
    before, after = mutant.shown(sources[mutant.path])
    by = f"by {verdict.by}" if verdict.by else f"{verdict.run} of {verdict.covering} tests run"
    head = f"{verdict.outcome:<10} {verdict.seconds:5.1f} s  {mutant.path}:{mutant.line}  {mutant.kind}"
    return f"{head}\n    {before}\n    -> {after}\n    {by}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", default=["tests"], help="with --measure: files of tests (all by default)")
    parser.add_argument("--measure", action="store_true", help="run the tests and record which lines each runs")
    parser.add_argument("--list", action="store_true", help="show the chosen mutants, run nothing")
    parser.add_argument("--only", metavar="PATH:LINE", help="all mutants of one line, instead of a choice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds of a mutant's tests, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes (--measure), mutants at a time")
    parser.add_argument("--contexts", type=Path, default=CONTEXTS, help="which tests run which lines: a JSON file")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser


if __name__ == "__main__":
    sys.exit(main())
