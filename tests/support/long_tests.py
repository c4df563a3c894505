"""Tests that take seconds, and that `make test` therefore leaves out: how cases are marked, and how proofs run them.

A test or a case is marked `long` where a shorter sibling stands beside it: see `tests.proofs.collection`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.commands import ROOT

TIMEOUT_S = 2400


def long(*case: Any) -> Any:
    """A case of `pytest.mark.parametrize` that is marked long."""
    return pytest.param(*case, marks=pytest.mark.long)


def run_tests(figures: dict[str, Any], *options: str, files: Sequence[str]) -> None:
    """Run tests in a process of their own; all of them must pass, or be skipped. ``figures`` gets their number."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *files]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-10_000:]
    figures["tests"] = int(re.findall(r"(\d+) passed", done.stdout)[-1])
