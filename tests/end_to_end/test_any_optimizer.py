"""Optimizers by dotted path, from the repository's tests and from the working directory, in workers too.

Workers are forked here; spawned ones: tests/bench/test_worker.py.
"""

import json

import pandas as pd
import pytest
from safetensors import safe_open

from tests.conftest import REPOSITORY
from tests.support.killed_moment import Moment
from tests.support.killed_runs import killed_at
from tests.support.line import LINE
from tests.support.long_tests import long
from tests.support.place import WORKERS
from tests.support.toy_protocols import EVALUATIONS

OWN = """
from torch.optim import SGD


class Half(SGD):
    \"\"\"SGD at half the rate.\"\"\"

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, lr=lr / 2, weight_decay=weight_decay)
"""
TUNINGS = 2
"""Of each optimizer, with a tune and a confirm trial each."""


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_torch_s_and_one_s_own_optimizers_are_compared(place):
    """`tests.support` is a package of the working directory here, as it is in the repository's root."""
    (place.folder / "tests").symlink_to(REPOSITORY / "tests")
    names = ["adamw", "torch.optim.RAdam", "tests.support.toy_optimizer.SignSGD", "adabound"]
    found = document(place.run(*place.study, "--optimizers", ",".join(names), "--controls", "--json"))
    assert {row["name"] for row in found["optimizers"]} == {*names}
    assert [control["name"] for control in found["controls"]] == ["adabound (limit)"], "beside them, and not ranked"
    assert found["trials"]["complete"] == found["trials"]["planned"] == TUNINGS * (2 * len(names) + 1)
    assert "(limit)" not in found["verdict"]


def test_a_module_of_the_working_directory_is_found_by_workers(place):
    place.forked_starts = WORKERS
    (place.folder / "own_rule.py").write_text(OWN)
    found = document(
        place.run(
            *place.study,
            *("--optimizers", "own_rule.Half", "--space", "own_rule.Half:lr=log(1e-4,1e-2)"),
            *("--workers", 2, "--json"),
        )
    )
    assert found["status"] == "complete"
    (row,) = found["optimizers"]
    assert row["name"] == "own_rule.Half"
    assert 1e-4 <= row["settings"]["lr"] <= 1e-2


STEPS = 8
TRAIN = (
    f"train --data people --network small --size 64 --batch-size 2 --device cpu --steps {STEPS} --log-every 1 "
    "--checkpoint-every 4 --lr 1e-3 --json"
).split()


def put_package(place):
    """The toys of every convention, as a module of the working directory."""
    toys = REPOSITORY / "tests" / "support" / "toy_protocols.py"
    (place.folder / "my_package.py").write_text(toys.read_text())


def tensors(path):
    with safe_open(str(path), framework="np") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118 (safe_open is not iterable)


@pytest.mark.parametrize(
    "name",
    ["MySAM", "Averaged", *(long(name) for name in ("Twice", "Curved", "ByModule"))],
)
def test_a_training_with_any_optimizer_is_killed_and_resumed(pose_place, name):
    put_package(pose_place)
    command = (*TRAIN, "--optimizer", f"my_package.{name}")
    straight = document(pose_place.run(*command, "--out", "straight"))
    killed_at(pose_place, Moment("os:replace", "after", match="resume.pt"), *command, "--out", "killed")
    resumed = document(pose_place.run(*command, "--out", "killed", "--resume"))
    for key in ("status", "steps", "loss", "val_loss", "ap", "updates"):
        assert straight.get(key) == resumed.get(key), key
    each = EVALUATIONS[name]
    assert (straight["steps"], straight.get("updates", STEPS)) == (STEPS, STEPS / each)
    one, other = (tensors(pose_place.folder / out / "last.safetensors") for out in ("straight", "killed"))
    assert one == other


ALL_KINDS = f"""
kind = "optimizers"
optimizers = [
    "sgd", "torch.optim.LBFGS", "my_package.Twice", "my_package.MySAM", "my_package.Curved", "my_package.Averaged",
    "my_package.ByModule",
]
tunings = 2
trials = 1
seeds = 1
tune_steps = 20
steps = 20
evaluations = 2
batch_size = 2
device = "cpu"

[workload]
name = "{LINE}"
"""


@pytest.mark.long
def test_a_study_of_all_conventions_is_killed_and_goes_on(place):
    put_package(place)
    (place.folder / "kinds.toml").write_text(ALL_KINDS)
    study = ("study", "optimizers", "--preset", "smoke", "--study", "kinds.toml", "--data", "people", "--json")
    killed_at(place, Moment("bench.ledger.store:Ledger.finish", call=5), *study)
    found = document(place.run(*study))
    assert found["status"] == "complete"
    assert found["trials"]["recorded"] == found["trials"]["planned"] == 7 * TUNINGS * 2
    assert found["trials"]["failed"] == 0
    records = pd.read_csv(place.folder / "reports" / "optimizers-smoke-people" / "records.csv")
    complete = records[records["status"] == "complete"]
    driven = complete.groupby("optimizer")[["driving", "gradient_evaluations_per_update"]].first()
    assert driven.loc["my_package.MySAM"].to_list() == ["gradients, then step(closure)", 2.0]
    assert driven.loc["my_package.Averaged", "driving"] == "step(), train() and eval()"
    assert driven.loc[["sgd", "my_package.ByModule"]].isna().all(axis=None)
    steps = complete.set_index("optimizer")["steps_done"]
    assert (steps.drop("torch.optim.LBFGS") == 20).all() and steps.between(20, 21).all(), "equal budgets"
