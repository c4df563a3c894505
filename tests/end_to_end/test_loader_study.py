"""`posebench study loaders` as a person runs it: on the pose network, and on a data set of one's own.

Measuring processes are forked; in one long test they are spawned, as a person's are.
"""

import json
import re
import shutil
import signal

import pandas as pd
import pytest

from tests.support.forking_process import MEASURING
from tests.support.long_tests import long
from tests.support.running_study import DEADLINE_S, ended, output, wait_for

OWN = """
import os, signal, time
import torch
from torch.utils.data import Dataset, get_worker_info


class Points(Dataset):
    trouble = ""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        in_worker = get_worker_info() is not None
        if self.trouble == "killed" and in_worker and index == 36:  # in the second batch of four
            os.kill(os.getpid(), signal.SIGKILL)
        own = float(in_worker) if self.trouble == "different" else 0.0
        time.sleep(0.002)
        return torch.full((8,), index + own)


class Talking(Points):
    def __init__(self):
        print("loading annotations into memory...")
        os.system("echo from a program")

    def __len__(self):
        os.write(1, b"how many?")
        return 64

    def __getitem__(self, index):
        print("sample", index)
        os.system("echo from a program of a sample") if index == 5 else None
        return super().__getitem__(index)


class Killed(Points):
    trouble = "killed"


class Different(Points):
    trouble = "different"


class Drawn(Points):
    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __getitem__(self, index):
        return torch.rand(8, generator=self.generator)


class Broken(Points):
    def __getitem__(self, index):
        if index == 21:
            raise OSError("image file is truncated")
        return super().__getitem__(index)


def make_step():
    return lambda batch: time.sleep(0.01)


def no_step():
    return 7


def make_holding_step():
    def step(batch):
        if len(batch) > 5:
            raise MemoryError("too large")
    return step
"""
SMALL = ("--num-workers", "0,1", "--batch-size", "4", "--blocks", "1", "--slice-s", "0.2", "--preset", "smoke")
KEYS = {"num_workers", "pin_memory", "batch_size", "images_per_s", "low", "high", "data_wait_share", "status"}


@pytest.fixture
def own(place):
    (place.folder / "own.py").write_text(OWN)
    place.forked_starts = (MEASURING,)
    return place


def test_a_data_set_and_a_step_of_one_s_own_from_the_working_directory(own):
    command = ("study", "loaders", *SMALL, "--dataset", "own:Points", "--step", "own:make_step", "--json")
    done = own.run(*command)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["status"], found["study"]) == ("loaders", "complete", "loaders-smoke-Points")
    assert all(set(each) >= KEYS for each in found["configurations"])
    assert found["recommended"]["batch_size"] == 4
    assert found["dataloader"].startswith("DataLoader(dataset, batch_size=4")
    assert "pin_memory does nothing" in found["verdict"]
    recorded = own.recorded()
    assert len(recorded) == len(set(recorded)) == 2  # a process of each
    assert (found["trials"]["complete"], found["trials"]["failed"], found["trials"]["recorded"]) == (2, 0, 2)
    again = own.run(*command)
    assert json.loads(again.stdout)["configurations"] == found["configurations"]
    assert own.recorded() == recorded
    folder = own.folder / "reports" / "loaders-smoke-Points"
    before = (folder / "report.md").read_text()
    shutil.rmtree(folder)
    assert own.run("report", "loaders-smoke-Points").returncode == 0
    assert (folder / "report.md").read_text() == before
    listed = json.loads(own.run("study", "list", "--json").stdout)["studies"]
    assert [(each["study"], each["status"], each["done"]) for each in listed] == [
        ("loaders-smoke-Points", "complete", 2)
    ]
    assert "2 complete" in own.run("study", "status").stdout
    refused = own.run("compare", "loaders-smoke-Points", "loaders-smoke-Points")
    assert refused.returncode == 2
    assert "is of kind 'loaders'" in refused.stderr


def test_the_pose_network_s_study_goes_on_after_an_interruption(pose_place):
    place = pose_place
    place.forked_starts = (MEASURING,)
    command = ("study", "loaders", *SMALL, "--blocks", "2", "--data", "people", "--size", "64")
    slices = "SELECT count(*) FROM tags WHERE key LIKE 'posebench.slices.%'"
    with ended(place.start(*command)) as process:
        wait_for(lambda: place.query(slices) >= [(3,)], process, place)  # of the second block
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130, output(place)
    assert place.run_states().get("RUNNING", 0) == 0
    before = place.recorded()
    unfinished = place.run("report", "loaders-smoke-people")
    assert unfinished.returncode == 0, unfinished.stderr
    folder = place.folder / "reports" / "loaders-smoke-people"
    assert "**Unfinished: " in (folder / "report.md").read_text()
    finished = pd.read_csv(folder / "slices.csv")
    assert set(finished["block"]) == {0, 1}, "what was finished of the interrupted block counts"
    done = place.run(*command)
    assert done.returncode == 0, done.stderr
    assert "Report: reports/loaders-smoke-people/report.md" in done.stdout
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded))
    assert set(before) <= set(recorded)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "slices.csv").head(len(finished)), finished)
    rows = pd.read_csv(folder / "measurements.csv")
    assert set(rows["page_cache"].dropna()) == {"warm"}
    assert (rows.loc[rows["block"] == 0, "hashes"].str.len() > 2).all()
    assert place.run_states().get("RUNNING", 0) == 0


@pytest.mark.long
def test_a_worker_that_is_killed_is_a_row_and_the_study_goes_on(own):
    done = own.run("study", "loaders", *SMALL, "--dataset", "own:Killed", "--json")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert {each["num_workers"]: each["status"] for each in found["configurations"]} == {
        0: "complete",
        1: "out_of_memory",
    }
    assert found["recommended"]["num_workers"] == 0
    assert "No step was given" in found["verdict"]
    assert "ran out of memory" in found["verdict"]


@pytest.mark.long
def test_configurations_that_deliver_other_samples_are_rows_and_never_recommended(own):
    command = ("study", "loaders", *SMALL, "--dataset", "own:Different")
    done = own.run(*command, "--json")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert {each["num_workers"]: each["status"] for each in found["configurations"]} == {0: "complete", 1: "failed"}
    assert found["recommended"]["num_workers"] == 0
    assert (
        "1 worker with batches of 4 made 64 of 64 samples differently from a single process (the first: sample 0)"
        in found["verdict"]
    )
    assert "--worker-init" in found["verdict"]
    assert "--random-samples" in found["verdict"]
    shown = " ".join(own.run("report", "loaders-smoke-Different").stdout.split())
    assert shown.count("delivered different samples") == 1
    assert "Of 2 configurations, 1 delivered different samples." in shown
    listed = json.loads(own.run("study", "list", "--json").stdout)["studies"]
    assert listed[0]["trials"] == {"complete": 1, "failed": 1}
    recorded = own.recorded()
    random = own.run(*command, "--random-samples", "--json")
    assert random.returncode == 0, random.stderr
    assert json.loads(random.stdout)["recommended"] is not None
    assert own.recorded() == recorded, "what is measured is read again, not made again"
    assert own.run(*command, "--json").returncode == 3


@pytest.mark.long
def test_a_data_set_that_is_another_each_time_has_its_speeds_and_no_recommendation(own):
    command = ("study", "loaders", *SMALL, "--dataset", "own:Drawn")
    done = own.run(*command, "--json")
    assert done.returncode == 3, done.stderr
    said = "no settings will be recommended. Sample 0 of own:Drawn differed when the same process made it again"
    assert said in done.stderr
    found = json.loads(done.stdout)
    assert [each["status"] for each in found["configurations"]] == ["complete", "complete"]
    assert found["recommended"] is None
    assert "--random-samples" in found["verdict"]
    assert json.loads(own.run(*command, "--random-samples", "--json").stdout)["recommended"] is not None


def test_a_sample_that_cannot_be_made_leaves_no_study_in_the_way_of_the_mended_one(own):
    command = ("study", "loaders", *SMALL, "--dataset", "own:Broken")
    done = own.run(*command, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "posebench: --dataset own:Broken, sample 21 of 64: __getitem__ raised OSError: image file is truncated. Fix "
        "what it reads, or leave that sample out of the data set."
    )
    source = (own.folder / "own.py").read_text()
    (own.folder / "own.py").write_text(source.replace("if index == 21", "if index == 1000"))
    mended = own.run(*command, "--json")
    assert mended.returncode == 0, mended.stderr


@pytest.mark.parametrize("starts", [(MEASURING,), long(())], ids=["forked", "spawned"])
def test_what_a_data_set_prints_is_not_in_the_document(own, starts):
    """The data set reaches measuring processes, and their workers, from the working directory."""
    own.forked_starts = starts
    done = own.run("study", "loaders", *SMALL, "--num-workers", "1", "--dataset", "own:Talking", "--json")
    assert json.loads(done.stdout)["status"] == "complete"
    assert "loading annotations" in done.stderr


@pytest.mark.long
def test_a_search_for_the_largest_batch_is_done_however_it_ends(own):
    done = own.run(
        "study", "loaders", *SMALL, "--num-workers", "0", "--dataset", "own:Points", "--step", "own:make_holding_step",
        "--largest-batch", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["largest_batch"] == {"largest": 5, "limited": True, "ended": ""}
    assert found["trials"]["out_of_memory"] == 0
    rows = pd.read_csv(own.folder / "reports" / "loaders-smoke-Points" / "measurements.csv")
    assert set(rows.loc[rows["phase"] == "largest", "hashes"]) == {"[]"}, "what a try delivers is nobody's question"
    folder = own.folder / "reports" / "loaders-smoke-Points"
    report, appendix = ((folder / name).read_text() for name in ("report.md", "appendix.md"))
    assert "5 images fit into memory" in appendix
    assert "Measurements without a result" not in appendix
    for linked in re.findall(r"\]\(([^)]+)\)", report + appendix):
        assert (folder / linked).is_file(), linked


def test_a_grid_of_many_combinations_can_be_shown(own):
    """What is kept of a study must fit into MLflow's tags."""
    many = ",".join(map(str, range(1, 61)))
    command = ("study", "loaders", "--preset", "smoke", "--dataset", "own:Points", "--num-workers", "0")
    command += ("--batch-size", many, "--blocks", "1", "--slice-s", "0.05")
    with ended(own.start(*command)) as process:
        wait_for(lambda: len(own.recorded()) >= 1, process, own)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130, output(own)
    shown = own.run("report", "loaders-smoke-Points", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["status"] == "unfinished"


def test_a_step_that_is_none_is_wrong_usage(own):
    done = own.run("study", "loaders", *SMALL, "--dataset", "own:Points", "--step", "own:no_step")
    assert done.returncode == 2, done.stderr
    assert "posebench: --step own:no_step: must return a function of a batch, got int." in done.stderr


def test_a_plan_is_shown_and_nothing_run(own):
    (own.folder / "mlflow.db").unlink()
    done = own.run("study", "loaders", *SMALL, "--dataset", "own:Points", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert (found["status"], len(found["plan"])) == ("planned", 2)
    assert not (own.folder / "mlflow.db").exists()


def test_advice_in_one_line(own):
    command = ("loader", "advise", "--dataset", "own:Points", "--step-ms", "5")
    done = own.run(
        *command,
        "--num-workers",
        "0,1",
        "--batch-size",
        "4",
        POSEBENCH_SLICE_S="0.1",
        POSEBENCH_BLOCKS="2",
        POSEBENCH_MIN_BLOCKS="2",
    )
    assert done.returncode == 0, done.stderr
    assert "    DataLoader(dataset, batch_size=4" in done.stdout
    assert "reports/loader-advice-Points-" in done.stdout
