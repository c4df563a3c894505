"""The scripts of `examples/` run as they stand, in a folder of their own and on tiny settings.

They are forked here; with each importing its own libraries: tests/proofs/test_programs.py.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from posemodel import build_network, save_weights
from posemodel.config import CACHE_VARIABLE
from posemodel.network.weights import CheckpointInfo
from tests.conftest import REPOSITORY
from tests.support.plain_programs import Programs

EXAMPLES = REPOSITORY / "examples"
TINY = ("--images", "12", "--steps", "2")
ARGUMENTS = {
    "train_on_synthetic_people.py": (*TINY, "--size", "64"),
    "predict_and_draw.py": ("last.safetensors", "one.png", "two.jpg", "--min-score", "0"),
    "compare_two_optimizers.py": (*TINY, "--size", "64", "--seeds", "2"),
    "own_network.py": TINY,
    "own_workload.py": (
        *("--optimizers", "adam,sgd", "--tunings", "2", "--trials", "2", "--tune-steps", "8", "--steps", "16"),
        *("--workers", "1"),
    ),
}
SAID = {
    "train_on_synthetic_people.py": ("complete after 2 steps", "averaged with the mirror image", "last.safetensors"),
    "predict_and_draw.py": ("one.png: ", "two.jpg: "),
    "compare_two_optimizers.py": ("seed 1, sgd: complete", "val_loss of adam minus sgd"),
    "own_workload.py": ("digits/s", "Report: reports/digits/report.md"),
    "own_network.py": ("complete: 101,145 parameters", "in a grey picture: "),
}


def test_every_example_is_run():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(ARGUMENTS)


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    with Programs() as programs:
        yield programs.folder / "python"


LONG = "own_workload.py"
"""A study, which tests/bench/test_own_workload.py runs too."""


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.long] * (each == LONG)) for each in ARGUMENTS])
def test_an_example_does_what_it_says(name, python, tmp_path):
    does_what_it_says(name, python, tmp_path)


def does_what_it_says(name: str, python: Path, folder: Path) -> None:
    """Run an example in a folder and look at what it prints and draws."""
    if name == "predict_and_draw.py":
        save_weights(folder / "last.safetensors", build_network("small", seed=0), CheckpointInfo("small", 64, {}))
        for file, size in (("one.png", (40, 70, 3)), ("two.jpg", (90, 50, 3))):
            assert cv2.imwrite(str(folder / file), np.random.default_rng(0).integers(0, 255, size, np.uint8))
    kept = {key: value for key, value in os.environ.items() if key == CACHE_VARIABLE or not key.startswith("POSEBENCH")}
    process = subprocess.run(
        [str(python), "-W", "error::DeprecationWarning:__main__", str(EXAMPLES / name), *ARGUMENTS[name]],
        cwd=folder,
        env=kept | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    for words in SAID[name]:
        assert words in process.stdout
    if name == "predict_and_draw.py":
        shapes = {path.name: cv2.imread(str(path)).shape for path in (folder / "drawn").iterdir()}
        assert shapes == {"000-one.png": (40, 70, 3), "001-two.png": (90, 50, 3)}
