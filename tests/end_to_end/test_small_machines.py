"""Containers with little /dev/shm and shells with a low `ulimit -n`: the number and the remedy, and no traceback."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.place import TIMEOUT_S

TRAIN = (
    "train", "--data", "people", "--network", "small", "--batch-size", "4", "--device", "cpu", "--steps", "4",
    "--num-workers", "2",
)  # fmt: skip


SMALL_SHM, OWN_MOUNTS = "mount -t tmpfs -o size=1m tmpfs /dev/shm", ("unshare", "-m", "bash")


def may_mount():
    """Whether this process may give itself another /dev/shm."""
    if os.name == "nt" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*OWN_MOUNTS, "-c", SMALL_SHM], capture_output=True, check=False).returncode == 0


def in_shell(place, before, *arguments, shell=("bash",)):
    """The installed command in a shell after some other commands."""
    return subprocess.run(
        [*shell, "-c", f'{before} && exec "$@"', "shell", *place.command(*arguments)],
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.long
@pytest.mark.skipif(not may_mount(), reason="may not mount a small /dev/shm")
def test_a_small_dev_shm(pose_place):
    """A study there: tests/proofs/test_small_places.py."""
    done = in_shell(pose_place, SMALL_SHM, *TRAIN, "--size", "368", "--out", "run", shell=OWN_MOUNTS)
    assert done.returncode == 1
    assert "posebench: /dev/shm is too small (1 MiB): " in done.stderr
    assert "--shm-size" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_low_limit_of_open_files(pose_place):
    done = in_shell(pose_place, "ulimit -n 40", *TRAIN, "--size", "64", "--out", "run")
    assert done.returncode == 1
    assert "posebench: the limit of open files (40 here) is too low" in done.stderr
    assert "ulimit -n 4096" in done.stderr
    assert "Traceback" not in done.stderr


MANY = """
import torch
from torch.utils.data import DataLoader
from posemodel.data.worker_faults import require_open_files
if __name__ == "__main__":
    require_open_files(2)
    loader = DataLoader(range(40), batch_size=2, num_workers=2, collate_fn=lambda batch: [torch.ones(3)] * 80)
    held = [batch for batch in loader]
    print(len(held))
"""


@pytest.mark.long
def test_batches_of_many_tensors_under_a_soft_limit(pose_place):
    """Nobody knows how many tensors a batch will have: what may be raised is."""
    many = MANY.replace("[torch.ones(3)] * 80", "[torch.ones(3) for _ in range(80)]")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -Sn 200 && exec "$0" -c "$1"', sys.executable, many],
        env=pose_place.environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "20"), done.stderr


@pytest.mark.parametrize(("encoding", "verb"), [("ascii", "report"), ("cp1252", "status")])
def test_what_a_terminal_cannot_encode_ends_nothing(finished_copy, encoding, verb):
    command = ("report", finished_copy.name) if verb == "report" else ("study", "list")
    done = finished_copy.run(*command, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert finished_copy.name in done.stdout
    assert done.stdout.isascii()
    assert "| optimizer" in done.stdout or "| study" in done.stdout, "a table is drawn in ASCII"


UMLAUTS = "M\u00fcller \u263a"
TRAIN_UMLAUTS = ("train", "--data", UMLAUTS, *TRAIN[3:-1], "0", "--size", "64", "--out", "L\u00e4ufe")


def test_names_with_umlauts(pose_place):
    (pose_place.folder / "people").rename(pose_place.folder / UMLAUTS)
    done = pose_place.run(*TRAIN_UMLAUTS, LC_ALL="C", LANG="C")
    assert done.returncode == 0, done.stderr
    assert (pose_place.folder / "L\u00e4ufe" / "last.safetensors").is_file()


@pytest.mark.long
def test_names_with_umlauts_in_the_c_locale(pose_place):
    """A study of such names: tests/proofs/test_small_places.py."""
    (pose_place.folder / "people").rename(pose_place.folder / UMLAUTS)
    done = in_shell(pose_place, "export LC_ALL=C LANG=C", *TRAIN_UMLAUTS)
    assert done.returncode == 0, done.stderr
    assert (pose_place.folder / "L\u00e4ufe" / "last.safetensors").is_file()
