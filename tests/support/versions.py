"""Print the requirements of an environment with the lowest or the newest versions that pyproject.toml allows.

`make lowest` and `make newest` install them and run the test suite. Tools of the tests alone (the extra `test`) are
taken as new as they are in both: their versions are nobody's concern but ours.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("postgres", "gpu")
"""Optional dependencies whose tests run where they are installed."""


def requirements(which: str, description: dict[str, Any]) -> list[str]:
    """Return the lines of a requirements file.

    Args:
        which: `lowest` pins each dependency to its lower bound, `newest` leaves the bounds as they are.
        description: The parsed pyproject.toml.

    Raises:
        ValueError: ``which`` is neither, or a dependency has no lower bound alone.
    """
    project = description["project"]
    optional = project["optional-dependencies"]
    own = [*project["dependencies"], *(line for extra in EXTRAS for line in optional[extra])]
    build = description["build-system"]["requires"]
    if which == "newest":
        return [*own, *optional["test"], *build]
    if which != "lowest":
        raise ValueError(f"must be lowest or newest, got {which!r}")
    pinned = []
    for line in own:
        name, bound, version = line.partition(">=")
        if not bound or "," in version:
            raise ValueError(f"{line}: must have a lower bound, and nothing else")
        pinned.append(f"{name}=={version}")
    return [*pinned, *optional["test"], *build]


if __name__ == "__main__":
    parsed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(requirements(sys.argv[1], parsed)))
