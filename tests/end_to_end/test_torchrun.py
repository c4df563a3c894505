"""`posebench train` in two processes that `torchrun` starts: one voice, one folder, ended in good order, taken up.

What does not concern torchrun itself is asked of two commands in the environment that it would give them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.commands import COMMANDS

TRAIN = (
    *("train", "--data", "people", "--network", "small", "--size", "64", "--lr", "1e-3"),
    *("--device", "cpu", "--out", "run", "--log-every", "1"),
)
TORCHRUN = (str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", "--no-python")


def torchrun(place, *arguments):
    """torchrun and all that it starts; what the processes print goes to files."""
    with (place.folder / "out.txt").open("w") as out, (place.folder / "err.txt").open("w") as err:
        return subprocess.Popen(
            [*TORCHRUN, *place.command(*arguments)], cwd=place.folder, env=place.environment, stdout=out, stderr=err
        )


def test_two_processes_speak_with_one_voice(pose_place):
    place = pose_place
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
                (*TRAIN, "--steps", "3", "--batch-size", "2", "--num-workers", "1", "--json"),
                folder=place.folder,
                environment=place.environment | address | {"RANK": rank, "LOCAL_RANK": rank},
                stdin=nothing,
                stdout=out,
                stderr=err,
            )
            for rank in "01"
        ]
    try:
        codes = [process.wait(900) for process in processes]
    finally:
        for process in processes:
            process.kill()
    err = (place.folder / "err.txt").read_text()
    assert codes == [0, 0], err
    document = json.loads((place.folder / "out.txt").read_text())
    assert (document["status"], document["steps"]) == ("complete", 3)
    assert err.count("step 3: ") == 1
    lines = [json.loads(line) for line in (place.folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3]


def test_torchrun_asked_to_end_leaves_a_run_that_one_process_goes_on_with(pose_place):
    """SIGTERM to torchrun goes on to the processes and to their loaders' workers."""
    place = pose_place
    arguments = (*TRAIN, "--steps", "60", "--num-workers", "1")
    process = torchrun(place, *arguments, "--batch-size", "2")
    metrics = place.folder / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 600
    while not metrics.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    said = (place.folder / "err.txt").read_text()
    assert said.count("the same command goes on") == 1, said
    done = max(json.loads(line)["step"] for line in metrics.read_text().splitlines())
    assert done < 60, "the run ended before it was interrupted"
    assert (place.folder / "run" / "resume.pt").is_file()

    shorter = place.run(*arguments, "--batch-size", "2", "--resume")
    assert shorter.returncode == 1
    assert "batch_size: 4 -> 2" in shorter.stderr
    resumed = place.run(*arguments, "--batch-size", "4", "--resume", "--json", "--ap-every", "1000")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == 60
