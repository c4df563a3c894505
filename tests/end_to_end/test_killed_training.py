"""`posebench train` killed with SIGKILL, again and again, and resumed: it ends as one that ran through, bit for bit.

At all moments, with each of the optimizers, precisions and loaders: tests/proofs/test_more_kills.py.
"""

import json
import time

import psutil
import pytest
from safetensors import safe_open

from tests.support.killed_moment import Moment
from tests.support.killed_runs import killed_at
from tests.support.long_tests import long

STEPS, CHECKPOINT_EVERY, VAL_EVERY = 12, 4, 3
COMMAND = (
    f"train --data people --network small --size 64 --batch-size 2 --device cpu --steps {STEPS} --log-every 1 "
    f"--checkpoint-every {CHECKPOINT_EVERY} --val-every {VAL_EVERY} --foreground-weight 8 --json"
).split()
"""10 train images: an epoch has at most 5 steps, so that no checkpoint but perhaps one falls on its end."""
STEP, SAVED = "torch.optim:Optimizer.zero_grad", "os:replace"

MOMENTS = {
    "before the first checkpoint": Moment(STEP, call=2),
    "half of the first resume.pt written": Moment(SAVED, "torn", match="resume.pt"),
    "right after best.safetensors": Moment(SAVED, "after", match="best.safetensors"),
    "between last.safetensors and resume.pt": Moment(SAVED, match="resume.pt"),
    "right after resume.pt": Moment(SAVED, "after", match="resume.pt"),
    "between two checkpoints, within an epoch": Moment(STEP, call=3),
    "while it validates": Moment("posemodel.training.run:validate"),
    "half of best.safetensors written": Moment(SAVED, "torn", match="best.safetensors"),
    "after the last step's state": Moment(SAVED, "after", call=2, match="resume.pt"),
}
FEW = ("right after resume.pt", "between two checkpoints, within an epoch")
SOME = (
    "half of the first resume.pt written",
    "between last.safetensors and resume.pt",
    "between two checkpoints, within an epoch",
    "half of best.safetensors written",
)
OPTIONS = {
    "adam": ("--optimizer", "adam", "--lr", "2e-3"),
    "adabound, 2 loader workers": ("--optimizer", "adabound", "--num-workers", "2", "--persistent-workers"),
    "sgd in bf16, 2 loader workers": (
        *("--optimizer", "sgd", "--lr", "1e-2", "--num-workers", "2", "--precision", "bf16"),
    ),
}


def tensors(path):
    with safe_open(str(path), framework="np") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118 (safe_open is not iterable)


def measured(folder):
    """What metrics.jsonl says of each step, without what a clock measured."""
    names = ("step", "loss", "lr", "val_loss", "ap")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in names if name in line} for line in lines]


def assert_nobody_is_left(place):
    """A worker looks after its parent every 5 s."""
    deadline = time.monotonic() + 300
    while left := [p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(place.folder)]:
        assert time.monotonic() < deadline, f"processes {left} have outlived their parent"
        time.sleep(0.2)


@pytest.mark.parametrize(("run", "moments"), [("adam", SOME), long("adabound, 2 loader workers", FEW[1:])])
def test_a_killed_training_ends_with_the_same_weights_and_its_loader_workers_with_it(pose_place, run, moments):
    ends_as_undisturbed(pose_place, OPTIONS[run], moments)


def ends_as_undisturbed(place, options, moments):
    """Train once through, and once killed at each of the moments."""
    straight = place.run(*COMMAND, *options, "--out", "straight")
    assert straight.returncode == 0, straight.stderr

    resume = []
    for name in moments:
        print(f"killed {name}")  # shown where one fails
        killed_at(place, MOMENTS[name], *COMMAND, *options, "--out", "killed", *resume)
        resume = ["--resume"]
    last = place.run(*COMMAND, *options, "--out", "killed", "--resume")
    assert last.returncode == 0, last.stderr

    folders = [place.folder / out for out in ("straight", "killed")]
    for file in ("last.safetensors", "best.safetensors"):
        one, other = (tensors(folder / file) for folder in folders)
        assert any("running_mean" in key for key in one), "batch norm's statistics are compared too"
        assert one == other, file
    assert measured(folders[0]) == measured(folders[1])
    assert {line["step"] for line in measured(folders[1])} == set(range(1, STEPS + 1))
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [
        ["best.safetensors", "last.safetensors", "metrics.jsonl", "resume.pt"]
    ] * 2
    said = [json.loads(process.stdout) for process in (straight, last)]
    assert said[0].keys() == said[1].keys()
    for key in ("status", "steps", "loss", "lr", "val_loss", "ap", "ap_best", "ap_best_step"):
        assert said[0][key] == said[1][key], key
    assert_nobody_is_left(place)
