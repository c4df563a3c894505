"""Studies in which every trial failed end in a report that says so and why, whatever their kind and their verb."""

import json

import pytest

from bench.kinds.joint.kind import JointKind
from bench.records.writer import Tracker
from tests.support.forking_process import MEASURING
from tests.support.long_tests import long
from tests.support.place import PLANNED, VALLEY_FILE, Place
from tests.support.valley import VALLEY

JOINT_FILE = f"""
kind = "joint"
optimizers = ["sgd", "adam"]
trials = 3
startup_trials = 2
images = 40
seeds = 1
num_workers = [0]
pin_memory = [false]
batch_size = [2]
device = "cpu"
fixed = []

[workload]
name = "{VALLEY}"
"""
OWN = """
import torch
from torch.utils.data import get_worker_info

class Camera:
    def __len__(self):
        return 64

    def __getitem__(self, index):
        if get_worker_info() is not None:
            raise RuntimeError("the camera is gone")
        return torch.zeros(4)
"""


def shown(place, name):
    """The report of a finished study, made again: exit code, document, page."""
    done = place.run("report", name, "--json")
    document = json.loads(done.stdout)
    return done.returncode, document, (place.folder / document["report"]).read_text(encoding="utf-8")


FAILS = ("fails_at = 3", "failed: {} times `RuntimeError: the valley has ended`", "failed")
OOM = "out_of_memory"
TOO_WIDE = ("out_of_memory_at = 3", "ran out of memory: {} times `MemoryError: the valley is too wide`", OOM)


OPTIMIZERS, JOINT = ("optimizers", VALLEY_FILE, PLANNED), ("joint", JOINT_FILE, 3)


@pytest.mark.parametrize(
    ("kind", "file", "count", "trouble", "why", "status"),
    [
        (*OPTIMIZERS, *FAILS),
        (*JOINT, *TOO_WIDE),
        long(*OPTIMIZERS, *TOO_WIDE),
        long(*JOINT, *FAILS),
    ],
    ids=["optimizers fail", "joint too wide", "optimizers too wide", "joint fails"],
)
def test_it_ends_in_a_report_that_says_why(tmp_path, kind, file, count, trouble, why, status):
    said = f"All {count} trials {why.format(count)}"
    place = Place(tmp_path / "here", f"{file}{trouble}\n")
    done = place.run("study", kind, "--preset", "smoke", "--study", "tiny.toml", "--data", "people")
    assert done.returncode == 3, done.stderr
    plainly = said.replace("`", "")
    assert plainly in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr
    code, document, page = shown(place, f"{kind}-smoke-people")
    assert (code, document["status"]) == (3, "complete")
    assert document["verdict"].startswith(plainly)
    assert document["answer"].startswith(plainly)
    assert " ".join(page.replace("\n> ", " ").split()).count(said) == 1
    assert [(each["status"], each["count"]) for each in document["failures"]] == [(status, count)]
    assert document["trials"][status] == count


def test_an_analysis_that_cannot_do_without_a_result_does_not_hinder_the_report(tmp_path):
    place = Place(tmp_path / "here", f"{JOINT_FILE}fails_at = 3\n")
    assert place.run("study", "joint", "--preset", "smoke", "--study", "tiny.toml", "--data", "people").returncode == 3

    class Best(JointKind):
        def findings(self, spec, records, sessions):
            return records[records["status"] == "complete"].iloc[0]

    found = Best().load(Tracker(f"sqlite:///{place.folder}/mlflow.db", "joint-smoke-people", create=False)).findings
    assert found.answer.startswith("All 3 trials failed: 3 times `RuntimeError: the valley has ended`.")
    told = [part for section in found.sections for part in section.parts if isinstance(part, str)]
    assert any("The analysis of this kind needs a trial with a result (IndexError: " in part for part in told)
    table = found.main_table()
    assert table.rows == [["failed", "RuntimeError: the valley has ended", "3"]]


@pytest.mark.long
def test_one_of_two_optimizers_that_always_fails_is_named(tmp_path):
    place = Place(tmp_path / "here", f'{VALLEY_FILE}fails_at = 3\nonly = "Adam"\n')
    done = place.run(*place.study)
    assert done.returncode == 3, done.stderr
    assert (
        f"All {PLANNED // 2} trials of adam failed: {PLANNED // 2} times RuntimeError: the valley has ended."
        in " ".join(done.stdout.split())
    )
    assert place.run("report", place.name).returncode == 0, "there is a result"


@pytest.mark.long
def test_measurements_that_all_fail_end_in_a_report(tmp_path):
    place = Place(tmp_path / "here")
    (place.folder / "own.py").write_text(OWN)
    place.forked_starts = (MEASURING,)
    given = ("--dataset", "own:Camera", "--num-workers", "1,2", "--batch-size", "4", "--device", "cpu")
    done = place.run("study", "loaders", "--preset", "smoke", *given, POSEBENCH_SLICE_S="0.2")
    said, why = "All 2 measurements failed: ", "the camera is gone"
    assert done.returncode == 3, done.stderr
    assert said in " ".join(done.stdout.split())
    assert why in " ".join(done.stdout.split())
    code, document, page = shown(place, "loaders-smoke-Camera")
    assert (code, document["status"], document["recommended"]) == (3, "complete", None)
    assert document["verdict"].startswith(f"Nothing is recommended. {said}")
    assert said in " ".join(page.replace("\n> ", " ").split())
    assert [each["status"] for each in document["failures"]] == ["failed"] * len(document["failures"])
    assert sum(each["count"] for each in document["failures"]) == 2
    assert all(why in each["error"] for each in document["failures"])
    advised = place.run("loader", "advise", *given, POSEBENCH_SLICE_S="0.2")
    assert advised.returncode == 3, advised.stderr
    assert said in " ".join(advised.stdout.split())
    assert "reports/loader-advice-Camera-" in advised.stdout
