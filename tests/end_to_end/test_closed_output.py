"""Output whose reader has gone: a study and a training go on to their end, and leave no process behind."""

import os
import time

import psutil
import pytest

from tests.support.long_tests import long
from tests.support.place import PLANNED, TIMEOUT_S, WORKERS
from tests.support.running_study import DEADLINE_S, ended, holding, wait_for


def piped(place, *arguments, stdout, stderr, **environment):
    """A command whose output goes into a pipe, and the end that is read."""
    read, write = os.pipe()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 (a descriptor is wanted)
        ends = {"pipe": write, "nothing": nothing.fileno()}
        process = place.start_to(*arguments, stdout=ends[stdout], stderr=ends[stderr], **environment)
    os.close(write)
    return process, read


def session_of(pid):
    """Processes of a session that live, or are dead and not waited for."""
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == pid:
                found.append(each.pid)
        except (ProcessLookupError, PermissionError):
            continue
    return found


@pytest.mark.parametrize(
    ("options", "stdout", "stderr"),
    [
        long(("--workers", "2"), "pipe", "pipe"),
        long((), "pipe", "pipe"),
        (("--json",), "pipe", "nothing"),
        long(("--json", "--workers", "2"), "nothing", "pipe"),
    ],
)
def test_a_study_goes_on_without_its_reader(place, options, stdout, stderr):
    place.forked_starts = WORKERS
    process, read = piped(place, *place.study, *options, stdout=stdout, stderr=stderr)
    os.read(read, 10)
    os.close(read)
    assert process.wait(TIMEOUT_S) == 0
    assert len(place.recorded()) == PLANNED
    assert place.run_states() == {"FINISHED": PLANNED + 1}
    assert (place.folder / "reports" / place.name / "report.md").is_file()
    deadline = time.monotonic() + DEADLINE_S
    while left := session_of(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@pytest.mark.long
def test_a_study_whose_reader_never_was(place):
    place.forked_starts = WORKERS
    process, read = piped(place, *place.study, "--workers", "2", stdout="pipe", stderr="pipe")
    os.close(read)
    assert process.wait(TIMEOUT_S) == 0
    assert len(place.recorded()) == PLANNED


def test_a_training_goes_on_without_its_reader(pose_place):
    process, read = piped(
        pose_place, "train", "--data", "people", "--network", "small", "--size", "64", "--steps", "3", "--batch-size",
        "2", "--device", "cpu", "--num-workers", "1", "--out", "run", stdout="pipe", stderr="pipe"
    )  # fmt: skip
    os.close(read)
    assert process.wait(TIMEOUT_S) == 0, "the pipe is no reason to fail"
    assert [path.name for path in (pose_place.folder / "run").glob("*.safetensors")]


def test_who_watches_a_study_ends_with_the_reader(place):
    with ended(place.start(*place.long_study)) as study:
        wait_for(lambda: holding(place, 1), study, place)
        watcher, read = piped(place, "study", "status", "--watch", stdout="pipe", stderr="pipe")
        with ended(watcher):
            assert os.read(read, 20)
            os.close(read)
            assert watcher.wait(TIMEOUT_S) == 0
            assert study.poll() is None
