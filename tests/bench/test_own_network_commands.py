"""`--network my_package:MyNet`, a class of the working directory, in every command that takes a network."""

import json
import sys

import cv2
import numpy as np
import pytest

from posemodel.network.weights import checkpoint_info
from tests.support.asked import resolved
from tests.support.long_tests import long
from tests.support.own_networks import TINY

NAME = "mine_here:Tiny"
STEPS = ("--steps", 2, "--batch-size", 2, "--device", "cpu")
SMOKE = ("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--size", 64, "--batch-size", 2)
SHORT = ("--device", "cpu", "--seconds", 0.2, "--evaluations", 1, "--batch-size", 2, "--num-workers", 0)


@pytest.fixture(autouse=True)
def own(hermetic):
    """A working folder with the class `Tiny` in mine_here.py."""
    (hermetic / "mine_here.py").write_text(TINY)
    yield
    sys.modules.pop("mine_here", None)


@pytest.fixture
def stored(monkeypatch, tracking_uri, storage_url):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)


def document(done):
    code, out, err = done
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("start_method", ["fork", long("spawn")])
def test_train_resume_eval_and_predict(posebench, tiny, hermetic, start_method):
    workers = ("--num-workers", 1, "--start-method", start_method)
    trained = document(posebench("train", "--data", tiny, "--network", "mine_here.Tiny", *STEPS, *workers, "--json"))
    assert (trained["status"], trained["out"]) == ("complete", "runs/mine_here.Tiny-adam-seed0")
    checkpoint = hermetic / trained["out"] / "last.safetensors"
    assert checkpoint_info(checkpoint).network == NAME
    again = ("train", "--data", tiny, "--network", NAME, *STEPS, *workers, "--resume")
    assert document(posebench(*again, "--json"))["steps"] == 2
    scored = document(posebench("eval", "--checkpoint", checkpoint, "--data", tiny, "--device", "cpu", "--json"))
    assert (scored["network"], scored["size"]) == (NAME, 64)
    cv2.imwrite("grey.png", np.full((40, 50, 3), 128, np.uint8))
    code, _, err = posebench("predict", "grey.png", "--checkpoint", checkpoint, "--json", "found.json")
    assert code == 0, err
    more = document(posebench("train", "--data", tiny, "--weights", checkpoint, *STEPS, "--out", "more", "--json"))
    assert more["status"] == "complete"
    assert checkpoint_info(hermetic / "more" / "last.safetensors").network == NAME


def test_info_and_speed(posebench):
    assert document(posebench("info", "mine_here.Tiny", "--json"))["network"] == NAME
    found = document(posebench("speed", "train", "--network", NAME, "--device", "cpu", "--repeats", 3, "--json"))
    assert (found["network"], found["size"]) == (NAME, 64)


def test_a_study_of_optimizers(posebench, tiny, stored):
    size = ("--optimizers", "sgd", "--tunings", 1, "--trials", 1, "--seeds", 1, "--tune-steps", 1, "--steps", 2)
    found = document(
        posebench(*SMOKE, *size, "--network", "mine_here.Tiny", "--data", tiny, "--json", "--name", "own-network")
    )
    assert (found["status"], found["spec"]["network"]) == ("complete", NAME)
    assert found["trials"]["complete"] == found["trials"]["planned"] == 2


@pytest.mark.long
def test_a_study_of_networks(posebench, tiny, stored, hermetic):
    asked = ("networks", "--networks", "small,mine_here.Tiny", "--precisions", "fp32", *SHORT, "--size", 64)
    found = document(posebench(*asked, "--data", tiny, "--out", "mine", "--json"))
    assert [(run["network"], run["status"]) for run in found["runs"]] == [("small", "complete"), (NAME, "complete")]
    own = found["runs"][1]
    assert (own["parameters"], own["size"]) == ((3 * 64 + 1) * 8 + 16 + (8 + 1) * 57, 64)
    assert own["gmacs"] == pytest.approx((3 * 64 * 8 + 8 * 57) * 8**2 / 1e9)
    assert own["picture"] == "mine_here.Tiny-fp32.jpg"
    (hermetic / "mine_here.py").unlink()
    sys.modules.pop("mine_here")
    for file in ("result.json", "report.md"):
        (hermetic / "mine" / file).unlink()
    rebuilt = document(posebench("report", found["study"], "--json"))
    assert rebuilt["runs"][1] == own, "a report needs no class"


@pytest.mark.parametrize("kind", ["optimizers", "joint", "loaders"])
def test_what_does_not_fit_the_data_is_refused_before_anything_runs(kind, posebench, tiny, stored, hermetic):
    (hermetic / "mine_here.py").write_text(TINY.replace("+ skeleton.num_pafs", "+ 3"))
    code, _, err = posebench(
        *("study", kind, "--preset", "smoke", "--device", "cpu", "--network", NAME, "--size", 64, "--data", tiny),
        "--dry-run",
    )
    assert code == 2
    assert "mine_here:Tiny: stage 1 of 1: its pafs are (1, 3, 8, 8); (1, 38, 8, 8) floats are needed" in " ".join(
        err.split()
    )


def test_networks_that_do_not_fit_are_refused_too(posebench, tiny, stored, hermetic):
    (hermetic / "mine_here.py").write_text(TINY.replace("+ skeleton.num_pafs", "+ 3"))
    code, _, err = posebench("networks", "--networks", f"small,{NAME}", *SHORT, "--data", tiny, "--out", "mine")
    assert code == 2
    assert "its pafs are (1, 3, 8, 8)" in " ".join(err.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere_here:Net", "there is no module 'nowhere_here'. It must be installed, or in the folder from which"),
        ("mine_here:Tine", "the module mine_here has no class 'Tine'. Did you mean Tiny?"),
        ("smal", "Did you mean small?"),
    ],
)
@pytest.mark.parametrize("command", [("train", *STEPS), SMOKE, ("networks", *SHORT)])
def test_a_class_that_is_not_found_is_refused(command, name, said, posebench, tiny, stored):
    flag = "--networks" if command[0] == "networks" else "--network"
    code, _, err = posebench(*command, flag, name, "--data", tiny)
    assert code == 2
    assert said in " ".join(err.split())


def test_a_study_file_may_spell_it_either_way(hermetic):
    file = hermetic / "mine.toml"
    file.write_text('kind = "optimizers"\nnetwork = "mine_here.Tiny"\n')
    assert resolved("optimizers", {}, study_file=file)["network"].value == NAME
    several = resolved("networks", {"networks": "small,mine_here.Tiny"})
    assert several["networks"].value == ("small", NAME)
