"""List the pages of docs/reference that are out of date, or write them."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from posemodel.atomic_write import atomic_path
from tests.support.reference.command_line import command_line
from tests.support.reference.study_files import study_files
from tests.support.reference.train_settings import train_settings

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "command-line.md": command_line,
    "study-files.md": study_files,
    "train-settings.md": train_settings,
}


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Compare the pages with their declarations, or write them.

    Returns:
        1 where a page is out of date and was not written.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.support.reference", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the pages")
    write = parser.parse_args(arguments).write
    outdated = {}
    for name, make in PAGES.items():
        text, file = make(), folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            outdated[file] = text
    for file, text in outdated.items():
        print(f"{file.name}: {'written' if write else 'out of date'}")
        if write:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as part:
                part.write_text(text, encoding="utf-8")
    return 1 if outdated and not write else 0


if __name__ == "__main__":
    sys.exit(main())
