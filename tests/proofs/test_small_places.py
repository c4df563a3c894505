"""Installed commands work in unusual environments: 1 MiB of /dev/shm, a closed pipe, the C locale, no home, torchrun.

The siblings are tests/end_to_end/test_small_machines.py, test_closed_output.py, test_other_user.py, test_torchrun.py.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.test_other_user import STRANGER, as_stranger, environment, everybodys, own, run  # noqa: F401 (fixtures)
from tests.end_to_end.test_small_machines import OWN_MOUNTS, SMALL_SHM, TRAIN, in_shell, may_mount
from tests.end_to_end.test_torchrun import MANY, assert_one_process_goes_on, wait_for_metrics
from tests.support.place import PLANNED, TIMEOUT_S, Place, PosePlace

SHARD = "kills"
COVERS = (
    "bench/report/no_result.py", "bench/cli/app.py", "bench/engines/*.py",
    "bench/storage/streams.py", "bench/trials/*.py",
    "bench/storage/user_environment.py", "posemodel/data/worker_faults.py", "tests/end_to_end/test_small_machines.py",
    "tests/end_to_end/test_other_user.py", "tests/end_to_end/test_torchrun.py",
    "bench/cli/train.py", "bench/cli/actions/train*.py",
    "posemodel/training/*.py",
)  # fmt: skip


@pytest.fixture
def place(everybodys):  # noqa: F811
    return Place(everybodys / "here")


@pytest.mark.skipif(not may_mount(), reason="may not mount a small /dev/shm")
def test_a_study_with_a_small_dev_shm(tmp_path, figures):
    place = PosePlace(tmp_path / "here")
    study = ("study", "optimizers", "--preset", "smoke", "--study", "tiny.toml", "--data", "people", "--size", "368")
    few = ("--optimizers", "sgd", "--tunings", "1", "--trials", "1", "--seeds", "2")
    few += ("--num-workers", "1", "--batch-size", "4")
    done = in_shell(place, SMALL_SHM, *study, *few, shell=OWN_MOUNTS)
    assert done.returncode == 3
    assert "All 3 trials ran out of memory: 3 times /dev/shm is too small (1 MiB): " in " ".join(done.stdout.split())
    figures["trials out of memory"] = 3


def test_a_reader_that_leaves_the_installed_command(tmp_path, figures):
    place = Place(tmp_path / "here")
    command = " ".join(place.command(*place.study, "--workers", "2"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} 2>&1 | head -2"],
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2
    assert len(place.recorded()) == PLANNED
    assert (place.folder / "reports" / place.name / "report.md").is_file()
    figures["trials recorded"] = PLANNED


def test_a_study_of_names_with_umlauts_in_the_c_locale(tmp_path, figures):
    place = Place(tmp_path / "here")
    study = ("study", "optimizers", "--preset", "smoke", "--study", "tiny.toml", "--data", "M\u00fcller \u263a")
    done = in_shell(place, "export LC_ALL=C LANG=C", *study, "--name", "plain")
    assert done.returncode == 0, done.stderr
    assert (place.folder / "reports" / "plain" / "report.md").is_file()
    figures["trials recorded"] = len(place.recorded())


def test_a_user_without_a_name_or_a_home_runs_a_study(run, place, figures):  # noqa: F811
    own(place.folder, STRANGER)
    done = run(*place.study)
    assert done.returncode == 0, done.stderr
    assert (place.folder / "reports" / place.name / "report.md").is_file()
    assert "matplotlib" not in done.stderr.lower()
    figures["trials recorded"] = len(place.recorded())


def test_torchrun_asked_to_end_leaves_a_run_that_one_process_goes_on_with(tmp_path, figures):
    """SIGTERM to torchrun goes on to the processes and to their loaders' workers."""
    place = PosePlace(tmp_path / "here")
    torchrun = (str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", "--no-python")
    with (place.folder / "out.txt").open("w") as out, (place.folder / "err.txt").open("w") as err:
        process = subprocess.Popen(
            [*torchrun, *place.command(*MANY, "--batch-size", "2")],
            cwd=place.folder,
            env=place.environment,
            stdout=out,
            stderr=err,
        )
    wait_for_metrics(place)
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    assert_one_process_goes_on(place)
    figures["processes"] = 2


def test_a_low_limit_that_may_be_raised_is(tmp_path, figures):
    """Nobody gains by an error: what is allowed is taken. The sibling looks at a loader alone."""
    place = PosePlace(tmp_path / "here")
    done = in_shell(place, "ulimit -Sn 40", *TRAIN, "--size", "64", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert (place.folder / "run" / "last.safetensors").is_file()
    figures["open files allowed at first"] = 40


def test_in_another_user_s_folder_one_may_look(run, place, figures):  # noqa: F811
    assert place.run(*place.study).returncode == 0
    own(place.folder, 0)
    place.folder.chmod(0o755)
    before = place.files()
    listed = run("study", "list")
    assert listed.returncode == 0, listed.stderr
    assert place.name in listed.stdout
    assert place.files() == before
    figures["trials listed"] = len(place.recorded())
