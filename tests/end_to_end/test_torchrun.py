"""`posebench train` in two processes: one voice, one folder, ended in good order, taken up.

They are two commands in the environment that `torchrun` gives; torchrun itself: tests/proofs/test_small_places.py.
"""

import json
import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import COMMANDS

TRAIN = (
    *("train", "--data", "people", "--network", "small", "--size", "64", "--lr", "1e-3"),
    *("--device", "cpu", "--out", "run", "--log-every", "1"),
)
STEPS = 40
MANY = (*TRAIN, "--steps", str(STEPS), "--num-workers", "1")


@contextmanager
def two_processes(place, *arguments):
    """The command in two processes of one training; what they print goes to out.txt and err.txt."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1]), "WORLD_SIZE": "2"}
    with (
        (place.folder / "out.txt").open("w") as out,
        (place.folder / "err.txt").open("w") as err,
        Path(os.devnull).open() as nothing,
    ):
        processes = [
            COMMANDS.start(
                arguments,
                folder=place.folder,
                environment=place.environment | address | {"RANK": rank, "LOCAL_RANK": rank},
                stdin=nothing,
                stdout=out,
                stderr=err,
            )
            for rank in "01"
        ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def wait_for_metrics(place):
    """Until the training has said something of its steps."""
    deadline = time.monotonic() + 600
    while not (place.folder / "run" / "metrics.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)


def assert_one_process_goes_on(place):
    """Of an interrupted training of two processes, with batches of 2."""
    said = (place.folder / "err.txt").read_text()
    assert said.count("the same command goes on") == 1, said
    metrics = place.folder / "run" / "metrics.jsonl"
    done = max(json.loads(line)["step"] for line in metrics.read_text().splitlines())
    assert done < STEPS, "the run ended before it was interrupted"
    assert (place.folder / "run" / "resume.pt").is_file()

    shorter = place.run(*MANY, "--batch-size", "2", "--resume")
    assert shorter.returncode == 1
    assert "batch_size: 4 -> 2" in shorter.stderr
    resumed = place.run(*MANY, "--batch-size", "4", "--resume", "--json", "--ap-every", "1000")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == STEPS


def test_two_processes_speak_with_one_voice(pose_place):
    place = pose_place
    arguments = (*TRAIN, "--steps", "3", "--batch-size", "2", "--num-workers", "1", "--json")
    with two_processes(place, *arguments) as processes:
        codes = [process.wait(900) for process in processes]
    err = (place.folder / "err.txt").read_text()
    assert codes == [0, 0], err
    document = json.loads((place.folder / "out.txt").read_text())
    assert (document["status"], document["steps"]) == ("complete", 3)
    assert err.count("step 3: ") == 1
    lines = [json.loads(line) for line in (place.folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3]


@pytest.mark.long
def test_processes_asked_to_end_leave_a_run_that_one_process_goes_on_with(pose_place):
    """SIGTERM comes to both, as torchrun sends it."""
    with two_processes(pose_place, *MANY, "--batch-size", "2") as processes:
        wait_for_metrics(pose_place)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(120) for process in processes]
    assert codes == [130, 130]
    assert_one_process_goes_on(pose_place)
