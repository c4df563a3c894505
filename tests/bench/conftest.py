"""Fixtures of the suite's tests: a hermetic working directory, study specifications, real stores, the command line."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from bench.cli import app
from bench.optimizers.spaces import spaces_of
from bench.settings import build_spec, resolve
from posemodel.data.layout import fingerprint
from posemodel.data.synthetic import generate
from tests.support.stores import empty_store

TINY_IMAGES = 12
TINY_SIZE = (96, 80)


@pytest.fixture(autouse=True)
def hermetic(monkeypatch, tmp_path):
    """Every test stands in a folder of its own, with no setting in the environment."""
    for name in list(os.environ):
        if name.startswith(("POSEBENCH_", "MLFLOW_TRACKING")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture(autouse=True)
def torch_in_one_thread():
    """On a machine that is shared, threads that wait for each other take longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A synthetic data set: 10 images to train on, 1 to select on, 1 to report on."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    generate(folder, images=TINY_IMAGES, seed=0, size=TINY_SIZE)
    return folder


@pytest.fixture(scope="session")
def make_spec():
    """A StudySpec of small numbers; keyword arguments change settings as a command line does."""

    def make(*, data=Path("/no/such/people"), digest="feed", name="study", **changes):
        command_line = {
            "optimizers": ["sgd", "adam"],
            "trials": 1,
            "seeds": 2,
            "tune_steps": 2,
            "steps": 2,
            "size": 64,
            "evaluations": 1,
            "batch_size": 2,
            "device": "cpu",
        } | changes
        settings = resolve(command_line=command_line, study_file=None, preset="smoke", environ={})
        return build_spec(
            settings,
            name=name,
            preset="smoke",
            data=Path(data),
            data_digest=digest,
            spaces=spaces_of(settings["optimizers"].value, settings["spaces"].value, settings["spaces"].origins),
            device=settings["device"].value,
        )

    return make


@pytest.fixture(scope="session")
def tiny_spec(make_spec, tiny):
    """The smallest study that runs: two optimizers, one tune trial, two seeds, two steps."""

    def make(**changes):
        return make_spec(data=tiny, digest=fingerprint(tiny), **changes)

    return make


@pytest.fixture
def new_store(hermetic):
    """Make a real MLflow store in the test's folder; its URI is absolute, since MLflow keeps connections by it."""

    def make(name="mlflow.db"):
        shutil.copy(empty_store(), hermetic / name)
        return f"sqlite:///{hermetic / name}"

    return make


@pytest.fixture
def tracking_uri(new_store):
    """The URI of a new store."""
    return new_store()


@pytest.fixture
def storage_url(hermetic):
    """Where a ledger can be made."""
    return f"sqlite:///{hermetic / 'optuna.db'}"


@pytest.fixture
def posebench(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["posebench", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run
