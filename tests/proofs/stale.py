"""List which proofs are older than the sources that they cover: `python -m tests.proofs.stale`.

A line for each proof: fresh, stale (a source or the proof itself has changed since it passed), never run (or failed
when it last ran), or broken (its module cannot be imported, or its sources are not there). It informs: its exit code
is 0.
"""

import contextlib
import io
from pathlib import Path

import pytest

from tests.proofs.register import Entries, read_entries, sources_hash

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 10


class Collected:
    """A plugin that hears which proofs there are."""

    def __init__(self) -> None:
        self.proofs: dict[str, Path] = {}
        """The module of each, by its name."""
        self.broken: list[str] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Take a proof down."""
        self.proofs[item.nodeid] = item.path

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take a module down whose proofs are not to be known."""
        if report.failed:
            self.broken.append(report.nodeid)


def states(root: Path, proofs: dict[str, Path], entries: Entries) -> dict[str, str]:
    """The state of each proof, by name.

    Args:
        root: The repository.
        proofs: The module of each proof, by name.
        entries: From `read_entries`.
    """
    current = {module: _hash_or_none(root, module) for module in set(proofs.values())}
    found = {}
    for name, module in proofs.items():
        if current[module] is None:
            found[name] = "broken"
        elif name not in entries:
            found[name] = "never run"
        else:
            found[name] = "fresh" if entries[name]["sources"] == current[module] else "stale"
    return found


def _hash_or_none(root: Path, module: Path) -> str | None:
    try:
        return sources_hash(root, module)
    except ValueError:
        return None


def main() -> None:
    """Print a line for each proof, and how many are fresh."""
    collected = Collected()
    with contextlib.redirect_stdout(io.StringIO()):
        options = ("--proofs", "--collect-only", "--quiet", "-p", "no:cacheprovider", "--rootdir", str(ROOT))
        pytest.main([*options, str(ROOT / "tests" / "proofs")], plugins=[collected])
    entries = read_entries(ROOT)
    found = states(ROOT, collected.proofs, entries) | dict.fromkeys(collected.broken, "broken")
    for name, state in found.items():
        print(f"{state:{WIDTH}} {name}{_when(entries.get(name))}")
    print(f"{sum(state == 'fresh' for state in found.values())} of {len(found)} proofs are fresh")


def _when(entry: dict[str, object] | None) -> str:
    return f", {entry['date']}" if entry else ""


if __name__ == "__main__":
    main()
