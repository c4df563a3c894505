"""Rebuild the pages of all reports in the repository: `python -m tests.support.rebuilt_reports`.

Their stores no longer exist; pages and plots are made from the files beside them.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.rebuilt_joint import rebuild_joint, rebuild_networks
from tests.support.rebuilt_loaders import rebuild_loaders
from tests.support.rebuilt_optimizers import rebuild_optimizers

REPORTS = Path(__file__).resolve().parents[2] / "reports"
KINDS: dict[str, Callable[[Path, Path], object]] = {
    "optimizers": rebuild_optimizers,
    "loaders": rebuild_loaders,
    "joint": rebuild_joint,
    "networks": rebuild_networks,
}
KEPT = ("study.toml",)
"""As it was written: other versions spell the same settings out in another way."""


def shipped() -> list[Path]:
    """The folders of reports that can be made again."""
    return sorted(path.parent for path in REPORTS.glob("*/result.json"))


def rebuild(folder: Path, out: Path) -> None:
    """Write the report of a folder into ``out``; its JSON names the shipped page."""
    document = json.loads((folder / "result.json").read_text())
    KINDS[document["kind"]](folder, out)
    made = json.loads((out / "result.json").read_text())
    made["report"] = f"reports/{folder.name}/report.md"
    (out / "result.json").write_text(json.dumps(made, indent=2) + "\n")
    for name in KEPT:
        if (folder / name).exists():
            shutil.copy(folder / name, out / name)


def main() -> None:
    """Make all of them again, or those that are named, in their places."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="e.g. optimizers-cpu; none: all")
    names = parser.parse_args().names
    for folder in shipped():
        if names and folder.name not in names:
            continue
        with tempfile.TemporaryDirectory() as made:
            rebuild(folder, Path(made))
            for old in folder.glob("*.png"):
                old.unlink()
            for file in Path(made).iterdir():
                shutil.copy(file, folder / file.name)
        print(folder)


if __name__ == "__main__":
    main()
