"""A study of a pose network that is killed with SIGKILL at any moment ends with the same results as an undisturbed one.

The short sibling, on a workload of milliseconds, is `tests/end_to_end/test_killed_study.py`; that an interrupted making
of data goes on is in `tests/posemodel/test_synthetic_files.py`.
"""

import json
import shutil

from tests.end_to_end import test_killed_study as sibling
from tests.support.killed_moment import Moment
from tests.support.killed_runs import killed_at
from tests.support.place import PosePlace

SHARD = "kills"
COVERS = (
    "bench/ledger/*.py", "bench/records/*.py", "bench/engines/*.py", "bench/study/ledger_runner.py",
    "bench/study/*kind.py", "bench/kinds/optimizers/kind.py", "bench/kinds/optimizers/plan.py",
    "bench/kinds/optimizers/trial.py",
    "bench/trials/*.py", "bench/workloads/*.py", "bench/report/findings_write.py", "posemodel/atomic_write.py",
    "posemodel/synthetic/store.py", "tests/end_to_end/test_killed_study.py",
)  # fmt: skip
NAME = "optimizers-smoke-synthetic-12-seed0"
PLANNED = 2 * 3 * (3 + 1)
"""Optimizers, tunings, trials of each."""
COMMAND = ("study", "optimizers", "--preset", "smoke", "--study", "killed.toml", "--json")
STUDY_FILE = """
kind = "optimizers"
network = "small"
size = 64
optimizers = ["sgd", "adam"]
tunings = 3
trials = 3
seeds = 1
tune_steps = 2
steps = 2
evaluations = 2
pruner = "hyperband"
tune_evaluations = 2
batch_size = 2
device = "cpu"
synthetic_images = 12
foreground_weight = 8.0
"""
IMAGES = "/images/train2017/"
DATA_MOMENTS = {
    "between an image and its line": Moment(sibling.RENAMED, "after", call=3, match=IMAGES),
    "half of an image written": Moment(sibling.RENAMED, "torn", match=IMAGES),
    "between two annotation files": Moment(sibling.RENAMED, match="person_keypoints_select"),
    "before the data set is marked complete": Moment(sibling.RENAMED, call=2, match="synthetic.json"),
    "after the data set is marked complete": Moment(sibling.RENAMED, "after", call=2, match="synthetic.json"),
}


def prepared(folder):
    place = PosePlace(folder / "here", used=False)
    (place.folder / "killed.toml").write_text(STUDY_FILE)
    shutil.rmtree(place.folder / "people")  # the study makes its own
    return place


def test_a_study_that_makes_its_data_killed_at_every_moment_ends_as_if_undisturbed(tmp_path, figures, monkeypatch):
    monkeypatch.setattr(sibling, "NAME", NAME)
    monkeypatch.setattr(sibling, "PLANNED", PLANNED)
    other = prepared(tmp_path / "undisturbed")
    through = other.run(*COMMAND)
    assert through.returncode == 0, through.stderr
    place = prepared(tmp_path / "killed")
    moments = DATA_MOMENTS | {
        name: Moment(**{**vars(moment), "match": moment.match.replace("optimizers-smoke-people", NAME)})
        for name, moment in sibling.MOMENTS.items()
    }
    for name, moment in moments.items():
        print(f"killed {name}")  # shown where one fails
        killed_at(place, moment, *COMMAND)
    last = place.run(*COMMAND)
    assert last.returncode == 0, last.stderr
    sibling.assert_as_undisturbed(place, json.loads(last.stdout), (other, json.loads(through.stdout)))
    figures["moments at which it was killed"] = len(moments)
