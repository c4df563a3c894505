"""Installed commands where there is little: a study with 1 MiB of /dev/shm, and one whose reader leaves early.

The siblings are tests/end_to_end/test_small_machines.py and test_closed_output.py.
"""

import subprocess

import pytest

from tests.end_to_end.test_small_machines import OWN_MOUNTS, SMALL_SHM, in_shell, may_mount
from tests.support.place import PLANNED, TIMEOUT_S, Place, PosePlace

SHARD = "kills"
COVERS = (
    "bench/analysis/no_result.py", "bench/cli/app.py", "bench/execute/*.py", "bench/streams.py", "bench/trials/*.py",
    "posemodel/worker_faults.py", "tests/end_to_end/test_small_machines.py",
)  # fmt: skip


@pytest.mark.skipif(not may_mount(), reason="may not mount a small /dev/shm")
def test_a_study_with_a_small_dev_shm(tmp_path, figures):
    place = PosePlace(tmp_path / "here")
    study = ("study", "optimizers", "--preset", "smoke", "--study", "tiny.toml", "--data", "people", "--size", "368")
    few = ("--optimizers", "sgd", "--trials", "1", "--seeds", "2", "--num-workers", "1", "--batch-size", "4")
    done = in_shell(place, SMALL_SHM, *study, *few, shell=OWN_MOUNTS)
    assert done.returncode == 3
    assert "All 3 trials ran out of memory: 3 times `/dev/shm is too small (1 MiB): " in done.stdout
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
