"""A working directory in which tests run `posebench` as a user does, with studies that take a second."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from posemodel.config import CACHE_VARIABLE
from posemodel.synthetic import generate
from tests.support.commands import COMMANDS, ROOT
from tests.support.forking_process import DRAWN_VARIABLE, DROPPING_VARIABLE, FORKED_STARTS_VARIABLE
from tests.support.stores import empty_store
from tests.support.valley import VALLEY

TIMEOUT_S = 900
STUDY_FILE = """
kind = "optimizers"
network = "small"
size = 64
optimizers = ["sgd", "adam"]
tunings = 2
trials = 1
seeds = 1
tune_steps = 2
steps = 2
evaluations = 2
batch_size = 2
device = "cpu"
"""
VALLEY_FILE = f"""
kind = "optimizers"
optimizers = ["sgd", "adam"]
tunings = 2
trials = 1
seeds = 1
tune_steps = 20
steps = 20
evaluations = 2
batch_size = 2
device = "cpu"

[workload]
name = "{VALLEY}"
"""
LONG_FILE = VALLEY_FILE.replace("= 20", "= 1_000_000") + "sleep_ms = 2\n"
"""Its trials do not end while a test looks at them."""
WORKERS, MEASURING = ("bench.engines.processes",), ("bench.measure.loader.isolated",)
"""For `Place.forked_starts`: the modules that start a study's workers, and measuring processes."""
PLANNED = 8
"""Trials of either study: two tunings of each optimizer, with a tune and a confirm trial each."""


class Place:
    """A working directory with a study file in it, `tiny.toml`, and a command that runs it."""

    forked_starts: tuple[str, ...] = ()
    """Modules whose spawned processes are forked in commands run here: see `tests.support.forking_process`."""
    drawn = False
    """Whether the commands that are forked here render their figures."""
    drops_slices = False
    """Whether studies of loaders drop, as installed, slices that other programs disturbed: other tests are these."""

    def __init__(self, folder: Path, study_file: str = VALLEY_FILE, *, used: bool = True) -> None:
        """The study of ``study_file``; its data set is the folder `people`. ``used``: MLflow's tables are there."""
        self.folder = folder
        folder.mkdir(parents=True)
        if used:
            shutil.copy(empty_store(), folder / "mlflow.db")
        (folder / "tiny.toml").write_text(study_file)
        (folder / "long.toml").write_text(LONG_FILE)
        self.study = self.study_of("tiny.toml")
        self.long_study = self.study_of("long.toml")
        self.name = "optimizers-smoke-people"
        (folder / "people").mkdir()

    @staticmethod
    def study_of(file):
        """The command that runs a study file."""
        return ("study", "optimizers", "--preset", "smoke", "--study", file, "--data", "people")

    @property
    def environment(self):
        """The person's environment without settings of ours; one thread, as the machine is shared."""
        ours = ("POSEBENCH_", "MLFLOW_", "PYTHON")
        kept = {k: v for k, v in os.environ.items() if k == CACHE_VARIABLE or not k.startswith(ours)}
        forked = {FORKED_STARTS_VARIABLE: ",".join(self.forked_starts)} if self.forked_starts else {}
        drawn = {DRAWN_VARIABLE: "1"} if self.drawn else {}
        dropping = {DROPPING_VARIABLE: "1"} if self.drops_slices else {}
        return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | forked | drawn | dropping

    def command(self, *arguments):
        return [str(Path(sys.executable).with_name("posebench")), *map(str, arguments)]

    def run(self, *arguments, **environment):
        """Run a command to its end."""
        return COMMANDS.run(
            arguments, folder=self.folder, environment=self.environment | environment, timeout=TIMEOUT_S
        )

    def run_program(self, program, *arguments):
        """Run another program than `posebench` to its end, forked as that is: `module:function`."""
        return COMMANDS.run(
            arguments, folder=self.folder, environment=self.environment, timeout=TIMEOUT_S, program=program
        )

    def run_installed(self, *arguments):
        """Run the installed command, which imports its own libraries, to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start_installed(self, *arguments):
        """The installed command as a process in a group of its own."""
        # Where the tests run in a shell's background, SIGINT is ignored, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with (self.folder / "output.txt").open("a") as output:
                return subprocess.Popen(
                    self.command(*arguments),
                    cwd=self.folder,
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, before)

    def start(self, *arguments, **environment):
        """A process in a group of its own, so that a test can end it with all that it started."""
        with (self.folder / "output.txt").open("a") as output:
            return self.start_to(*arguments, stdout=output.fileno(), stderr=output.fileno(), **environment)

    def start_to(self, *arguments, stdout, stderr, **environment):
        """The same with its output in open descriptors."""
        with Path(os.devnull).open() as nothing:
            return COMMANDS.start(
                arguments,
                folder=self.folder,
                environment=self.environment | environment,
                stdin=nothing,
                stdout=stdout,
                stderr=stderr,
            )

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
        """Number of MLflow runs, the study's own included, by state; without one that came second, and was deleted."""
        return dict(self.query("SELECT status, count(*) FROM runs WHERE lifecycle_stage = 'active' GROUP BY status"))

    def files(self):
        """Everything here but the data and what SQLite keeps beside its files."""
        return sorted(
            path.name for path in self.folder.iterdir() if not path.name.endswith(("-wal", "-shm", "output.txt"))
        )


class PosePlace(Place):
    """The same with a pose network, and twelve images of people."""

    def __init__(self, folder: Path, study_file: str = STUDY_FILE, *, used: bool = True) -> None:
        """The study of ``study_file``; its data set is the folder `people`. ``used``: MLflow's tables are there."""
        super().__init__(folder, study_file, used=used)
        (folder / "people").rmdir()
        generate(folder / "people", images=12, seed=0, size=(96, 80))
