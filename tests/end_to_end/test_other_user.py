"""A user whom the machine does not know, without a name or a home, in a folder that belongs to another.

Commands are forked. In a folder of their own they run a study, as installed: tests/proofs/test_small_places.py.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.commands import Commands
from tests.support.place import Place
from tests.support.postgres import OPEN

STRANGER = 54321
TIMEOUT_S = 600


@pytest.fixture(scope="module")
def as_stranger():
    """What a command begins with to be run by an unknown user, who may read everything and write what is theirs."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, can be another user")
    reads = "+dac_read_search"  # the interpreter may stand in a home
    words = ["setpriv", "--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"]
    words += ["--inh-caps", reads, "--ambient-caps", reads, "--bounding-set", reads]
    words = [str(word) for word in words]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody be another user")
    return words


@pytest.fixture
def everybodys():
    """A folder that everybody may enter: those of pytest are private."""
    with tempfile.TemporaryDirectory(prefix="posebench-others-", dir=OPEN) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def place(everybodys):
    return Place(everybodys / "here")


@pytest.fixture
def environment(place, everybodys):
    """An environment of nothing, and a folder for temporary files, in which nothing may be left."""
    temporary = everybodys / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": place.environment["PYTHONPATH"]}
    yield kept | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    left = [path.name for path in temporary.iterdir() if path.name.endswith(".lock") or path.name.startswith("db_init")]
    assert left == []


@pytest.fixture
def run(as_stranger, place, environment):
    """Run the installed command as the stranger."""

    def run_it(*arguments):
        return subprocess.run(
            [*as_stranger, *place.command(*arguments)],
            cwd=place.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run_it


@pytest.fixture
def run_forked(as_stranger, place, environment):
    """The same, forked from a process of the stranger's that has its libraries loaded."""
    commands = Commands(as_stranger, environment | {"MPLCONFIGDIR": environment["TMPDIR"]})  # else one of its own
    yield lambda *arguments: commands.run(arguments, folder=place.folder, environment=environment, timeout=TIMEOUT_S)
    commands.close()


def own(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)


def test_in_another_user_s_folder_one_is_told_what_cannot_be_written(run_forked, place):
    assert place.run(*place.study).returncode == 0
    own(place.folder, 0)
    place.folder.chmod(0o755)
    before = place.files()
    study = run_forked(*place.study)
    assert study.returncode == 2
    assert study.stderr.count("\n") == 1
    assert (
        "MLFLOW_TRACKING_URI sqlite:///mlflow.db: cannot be opened (the folder . cannot be written to)" in study.stderr
    )
    report = run_forked("report", place.name)
    assert report.returncode == 1
    assert report.stderr.count("\n") == 1
    assert f"reports/{place.name}/" in report.stderr
    assert "work in a folder of your own" in report.stderr
    assert place.files() == before
