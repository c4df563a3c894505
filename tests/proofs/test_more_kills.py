"""Studies and trainings that are killed at more moments, and in more ways, than `make test` has time for.

The short siblings are in tests/end_to_end: test_deaths.py, test_killed_training.py, test_checkpoints.py and
test_extended_study.py.
"""

import pytest

from tests.end_to_end import test_checkpoints, test_deaths, test_killed_training
from tests.end_to_end import test_extended_study as extended
from tests.end_to_end.test_checkpoints import kill, terminate, undisturbed  # noqa: F401 (a fixture)
from tests.end_to_end.test_extended_study import place, small, three  # noqa: F401 (fixtures)
from tests.support.place import PosePlace

SHARD = "kills"
COVERS = (
    "bench/engines/*.py", "bench/ledger/*.py", "bench/records/*.py", "bench/study/*.py", "bench/trials/*.py",
    "posemodel/atomic_write.py", "posemodel/training/*.py", "tests/end_to_end/test_checkpoints.py",
    "tests/end_to_end/test_deaths.py", "tests/end_to_end/test_extended_study.py",
    "tests/end_to_end/test_killed_training.py",
)  # fmt: skip
TIMES = 10
TRAININGS = {
    "adam": tuple(test_killed_training.MOMENTS),
    "adabound, 2 loader workers": test_killed_training.FEW,
    "sgd in bf16, 2 loader workers": test_killed_training.FEW,
}


def test_trials_killed_with_their_driver_ten_times_in_a_row_complete(tmp_path, figures):
    test_deaths.complete_though_killed(tmp_path, TIMES)
    figures["times"] = TIMES


@pytest.mark.parametrize("run", TRAININGS)
def test_a_killed_training_ends_with_the_same_weights_and_its_loader_workers_with_it(tmp_path, run, figures):
    pose_place = PosePlace(tmp_path / "here")
    test_killed_training.ends_as_undisturbed(pose_place, test_killed_training.OPTIONS[run], TRAININGS[run])
    figures["moments at which it was killed"] = len(TRAININGS[run])


@pytest.mark.parametrize(
    ("workers", "url", "end"),
    [(1, False, terminate), (2, True, terminate), (1, True, kill), (2, False, kill)],
    ids=["interrupted", "workers interrupted", "killed", "workers killed"],
)
def test_a_trial_goes_on_in_another_process(tmp_path, undisturbed, workers, url, end, figures):  # noqa: F811
    test_checkpoints.goes_on(tmp_path, undisturbed, workers, url, end)
    figures["workers"] = workers


def test_a_study_that_gets_an_optimizer_is_killed_and_goes_on_to_the_same_end(place, three, figures):  # noqa: F811
    extended.goes_on(place, three, extended.ADD)
    figures["trials before"] = extended.BEFORE
