"""The installed `posebench` in a folder of its own, as a person runs it; and a tiny study that takes seconds."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from posemodel.config import CACHE_VARIABLE
from posemodel.data.synthetic import generate

TIMEOUT_S = 900
STUDY_FILE = """
kind = "optimizers"
network = "small"
size = 64
optimizers = ["sgd", "adam"]
trials = 1
seeds = 2
tune_steps = 2
steps = 2
evaluations = 2
batch_size = 2
device = "cpu"
"""
PLANNED = 6


class Place:
    """A working directory with a study file and a data set in it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        generate(folder / "people", images=12, seed=0, size=(96, 80))
        (folder / "tiny.toml").write_text(STUDY_FILE)
        self.study = ("study", "optimizers", "--preset", "smoke", "--study", "tiny.toml", "--data", "people")
        self.name = "optimizers-smoke-people"

    @property
    def environment(self):
        """The person's environment without settings of ours; one thread, as the machine is shared."""
        ours = ("POSEBENCH_", "MLFLOW_", "PYTHON")
        kept = {k: v for k, v in os.environ.items() if k == CACHE_VARIABLE or not k.startswith(ours)}
        return kept | {"OMP_NUM_THREADS": "1"}

    def command(self, *arguments):
        return [str(Path(sys.executable).with_name("posebench")), *map(str, arguments)]

    def run(self, *arguments):
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start(self, *arguments, **environment):
        """A process in a group of its own, so that a test can end it with all that it started."""
        # Where the tests run in a shell's background, SIGINT is ignored, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with (self.folder / "output.txt").open("a") as output:
                return subprocess.Popen(
                    self.command(*arguments),
                    cwd=self.folder,
                    env=self.environment | environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, before)

    def query(self, sql):
        """Rows of the MLflow database, read as any other process may; none while there is no such table."""
        if not (self.folder / "mlflow.db").exists():
            return []
        connection = sqlite3.connect(self.folder / "mlflow.db", timeout=30)
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            connection.close()

    def recorded(self):
        """Trial ids of closed records, one for each run that counts."""
        return [
            row[0]
            for row in self.query(
                "SELECT trial.value FROM tags AS trial JOIN tags AS done USING (run_uuid) JOIN runs USING (run_uuid) "
                "WHERE trial.key = 'posebench.trial' AND done.key = 'posebench.recorded' "
                "AND runs.status IN ('FINISHED', 'FAILED')"
            )
        ]

    def run_states(self):
        """Number of MLflow runs, the study's own included, by state."""
        return dict(self.query("SELECT status, count(*) FROM runs GROUP BY status"))

    def files(self):
        """Everything here but the data and what SQLite keeps beside its files."""
        return sorted(
            path.name for path in self.folder.iterdir() if not path.name.endswith(("-wal", "-shm", "output.txt"))
        )


@pytest.fixture(scope="session")
def make_place():
    """For fixtures that live longer than a test."""
    return Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "here")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study that has run to its end: its place, and the process that ran it."""
    place = Place(tmp_path_factory.mktemp("finished") / "here")
    return place, place.run(*place.study, "--json")


@pytest.fixture
def document(finished):
    """The one JSON document of the finished study."""
    return json.loads(finished[1].stdout)
