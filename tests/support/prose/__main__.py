"""List numbers in README and docs that their sources contradict, or correct them: `python -m tests.support.prose`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from posemodel.atomic_write import atomic_path
from tests.support.prose.markers import Fault, faults, written
from tests.support.prose.pages import Page

ROOT = Path(__file__).resolve().parents[3]
LOG = Path("docs", "decisions.md")
"""A log of what was measured for each decision: its figures need no source, and are held where they name one."""


def prose(root: Path = ROOT) -> Iterator[Path]:
    """The pages that people write: README, CONTRIBUTING, docs, and what stands beside the reports."""
    yield from (file for file in (root / "README.md", root / "CONTRIBUTING.md") if file.exists())
    yield from sorted([*(root / "docs").glob("*.md"), *(root / "docs" / "guide").glob("*.md")])
    yield from sorted((root / "reports").rglob("README.md"))


def read(file: Path, root: Path = ROOT) -> tuple[Page, list[Fault]]:
    """A page, and what is wrong with its figures."""
    page = Page(file.read_text(encoding="utf-8"))
    return page, faults(page, root, guarded=file.relative_to(root) != LOG)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Go through all pages.

    Returns:
        1 where a figure is wrong or has no source, and is so still.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.support.prose", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write into the pages what the sources say")
    write = parser.parse_args(arguments).write
    left = 0
    for file in prose(root):
        page, found = read(file, root)
        for fault in found:
            print(f"{file.relative_to(root).as_posix()}:{fault.line}: {fault.message}")
        if write and any(fault.number for fault in found):
            with atomic_path(file) as part:
                part.write_text(written(page, found), encoding="utf-8")
        left += sum(not (write and fault.number) for fault in found)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
