"""The commands of docs/explained.md and the example scripts work when each process imports its own libraries.

Their short siblings, tests/end_to_end/test_explained.py and test_examples.py, fork them from one that has them loaded.
"""

import sys
from pathlib import Path

import pytest

from tests.end_to_end.test_examples import ARGUMENTS, does_what_it_says
from tests.end_to_end.test_explained import prints_what_it_shows

SHARD = "real"
COVERS = (
    "bench/cli/**/*.py",
    "bench/optimizers/*.py",
    "docs/explained.md",
    "examples/*.py",
    "posemodel/**/*.py",
    "tests/end_to_end/test_examples.py",
    "tests/end_to_end/test_explained.py",
    "tests/support/explained_page.py",
)


def test_every_command_prints_what_the_page_shows(tmp_path, figures):
    figures["commands"] = prints_what_it_shows(tmp_path, None)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_example_does_what_it_says(name, tmp_path):
    does_what_it_says(name, Path(sys.executable), tmp_path)
