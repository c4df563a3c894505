"""Pytest plugin of the proofs, tests that take minutes: they are collected with `--proofs` only, and then alone.

A proof is a test that takes minutes: thousands of simulated studies, kills at dozens of moments, a study on real images
to its end. Each stands in a module of this folder with two constants: ``SHARD``, one of `SHARDS`, and ``COVERS``, a
tuple of globs from the repository's root: the sources whose change makes it stale. What it measures it writes into the
fixture ``figures``. When it passes, figures and date go to reports/proofs.json (`tests.proofs.register`);
`python -m tests.proofs.stale` says which proofs are older than their sources. Each has a short sibling in `make test`.

A test that takes seconds, and has a shorter sibling beside it, is marked `long`: `make test` leaves it out, `--long`
runs such tests alone, and the proofs tests/proofs/test_long_*.py run them so.
"""

from pathlib import Path

import pytest

from tests.proofs.register import SHARDS, constants


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--proofs` and `--shard`; `--keep` of the tests that hold pages and figures against kept ones."""
    parser.addoption("--proofs", action="store_true", help="run the long proofs (tests/proofs), and nothing else")
    parser.addoption("--shard", choices=SHARDS, help="of the proofs, run those of one shard")
    parser.addoption("--long", action="store_true", help="run the tests that are marked long, and nothing else")
    parser.addoption("--keep", action="store_true", help="write what tests hold pages and figures against anew")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a shard of nothing; declare the marker."""
    config.addinivalue_line("markers", "long: takes seconds, and a shorter sibling stands beside it; see --long")
    if config.getoption("shard") and not config.getoption("proofs"):
        raise pytest.UsageError("--shard needs --proofs")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pytest does not ask about a path that it was given by name: that one is run in any case."""
    folder = config.rootpath / "tests" / "proofs"
    inside = folder in (collection_path, *collection_path.parents)
    if not config.getoption("proofs"):
        return True if inside else None
    if not inside:
        return None if collection_path in folder.parents else True
    shard = config.getoption("shard")
    return True if shard and _shard_of(collection_path) not in (shard, None) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are marked long, or all others."""
    if config.getoption("proofs"):
        return
    wanted = config.getoption("long")
    left_out = [item for item in items if (item.get_closest_marker("long") is not None) != wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if (item.get_closest_marker("long") is not None) == wanted]


def _shard_of(path: Path) -> str | None:
    """The shard of a module of proofs; None of any other path, and of a module at fault, whose proofs then fail."""
    if path.suffix != ".py" or not path.name.startswith("test_"):
        return None
    try:
        return constants(path)["SHARD"]
    except ValueError:
        return None
