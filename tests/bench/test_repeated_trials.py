"""The `posebench train` command of a report, pasted: it repeats the trial whose AP stands beside it."""

import json
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from posemodel.config import AugmentSettings, LoaderSettings, TrainSettings
from posemodel.synthetic import generate
from posemodel.training.loop import train
from posemodel.training.run import LAST_FILE
from tests.support.long_tests import long

SIZE = 64
COCO = Path(__file__).resolve().parents[3] / "shared" / "coco-mini"
STUDY = (
    *("--preset", "smoke", "--optimizers", "adam,sgd", "--device", "cpu", "--seeds", 2, "--name", "mine"),
    *("--foreground-weight", 4, "--no-augment", "--schedule", "step", "--json"),
)
OPTIMIZERS = (
    *("study", "optimizers", *STUDY, "--tunings", 2, "--trials", 1, "--tune-steps", 3, "--steps", 6),
    *("--evaluations", 3, "--batch-size", 4),
)
JOINT = ("study", "joint", *STUDY, "--trials", 3, "--images", 24, "--batch-size", "2,4", "--num-workers", 0)
NETWORK = ("--network", "small", "--size", SIZE)
NUMBERS = ["ap", "ap50", "ar", "val_loss"]
"""Of the last step; `loss` is a mean since the last time that anything was measured."""


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A data set whose splits all show the same few people: what is learned by heart has an AP."""
    folder = tmp_path_factory.mktemp("same") / "people"
    generate(folder, images=24, seed=0, size=(96, 80))
    for left in ("synthetic.json", "synthetic.checksums.json"):
        (folder / left).unlink()
    for split in ("select", "val"):
        shutil.rmtree(folder / "images" / f"{split}2017")
        shutil.copytree(folder / "images" / "train2017", folder / "images" / f"{split}2017")
        annotations = folder / "annotations"
        shutil.copy(annotations / "person_keypoints_train2017.json", annotations / f"person_keypoints_{split}2017.json")
    return folder


@pytest.fixture(scope="module")
def train_alone(people, tmp_path_factory):
    """The same with `train` alone: `select` and `report` are tenths of it."""
    folder = tmp_path_factory.mktemp("alone") / "people"
    shutil.copytree(people, folder)
    for split in ("select", "val"):
        shutil.rmtree(folder / "images" / f"{split}2017")
        (folder / "annotations" / f"person_keypoints_{split}2017.json").unlink()
    return folder


@pytest.fixture(scope="module")
def learned(people, tmp_path_factory):
    """A checkpoint that has these people by heart."""
    out = tmp_path_factory.mktemp("learned") / "run"
    settings = TrainSettings(
        data=people,
        network="small",
        size=SIZE,
        steps=80,
        foreground_weight=4,
        augment=AugmentSettings(enabled=False),
        loader=LoaderSettings(batch_size=8),
        device="cpu",
        val_every=80,
    )
    torch.set_num_threads(1)  # as `torch_in_one_thread` does for each test, which comes later
    result = train(settings, lambda parameters: torch.optim.Adam(parameters, lr=3e-3), out=out)
    assert result.metrics["ap"] > 0.05
    return out / LAST_FILE


@pytest.fixture
def studied(posebench, plain_figures, storage_url, tracking_uri, hermetic, monkeypatch):
    """Run a study through the command line; returns its document and its records by trial."""
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)

    def run(*arguments):
        code, out, err = posebench(*arguments)
        assert code == 0, err
        records = pd.read_csv(hermetic / "reports" / "mine" / "records.csv").set_index("trial_id")
        return json.loads(out), records

    return run


@pytest.fixture
def pasted(posebench, tmp_path):
    """What a command of a report gives, run as it stands but for where it writes."""

    def run(command):
        words = shlex.split(command)
        assert words[:2] == ["posebench", "train"]
        code, out, err = posebench(*words[1:], "--out", tmp_path / f"run{len(list(tmp_path.iterdir()))}", "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def test_it_repeats_the_trials_that_an_optimizers_study_shows(studied, pasted, people):
    fewer = ("--optimizers", "adam", "--evaluations", 1, "--seeds", 1)
    document, records = studied(*OPTIMIZERS, *NETWORK, *fewer, "--data", people, "--precision", "bf16")
    for optimizer in document["optimizers"]:
        record = records.loc[optimizer["train_trial_id"]]
        assert (record["optimizer"], record["phase"]) == (optimizer["name"], "confirm")
        assert json.loads(record["hyperparameters"]) == optimizer["settings"]
        found = pasted(optimizer["train_command"])
        assert {name: found[name] for name in NUMBERS} == {name: record[name] for name in NUMBERS}


@pytest.mark.parametrize("data", [long("people"), long("train_alone")])
def test_it_repeats_trials_that_began_from_weights(data, studied, pasted, learned, request, hermetic):
    shutil.copy(learned, hermetic / "base.safetensors")
    folder = request.getfixturevalue(data)
    document, records = studied(*OPTIMIZERS, "--weights", "base.safetensors", "--data", folder, "--tunings", 1)
    assert (document["spec"]["network"], document["spec"]["size"]) == ("small", SIZE), "the checkpoint's"
    best = max(document["optimizers"], key=lambda each: records.loc[each["train_trial_id"]]["ap"])
    record = records.loc[best["train_trial_id"]]
    assert record["ap"] > 0
    assert "--weights base.safetensors" in best["train_command"]
    found = pasted(best["train_command"])
    assert {name: found[name] for name in NUMBERS} == {name: record[name] for name in NUMBERS}
    page = " ".join((hermetic / "reports" / "mine" / "report.md").read_text().split())
    assert "Every trial began from the weights base.safetensors (digest " in page.replace("\\", "")
    appendix = " ".join((hermetic / "reports" / "mine" / "appendix.md").read_text().split())
    assert f"Repeats the confirm trial of seed {record['seed']}: AP {record['ap']:.3f} on the report split" in appendix


@pytest.mark.long
def test_it_repeats_the_pick_of_a_joint_study(studied, pasted, people, learned, hermetic):
    document, records = studied(*JOINT, "--weights", learned, "--data", people, "--seeds", 1)
    (best,) = [each for each in document["recommended"] if each["role"] == "best AP"]
    assert document["train_command"] == best["train_command"]
    found = pasted(document["train_command"])
    seed = int(shlex.split(best["train_command"])[shlex.split(best["train_command"]).index("--seed") + 1])
    own = records[(records["phase"] == "confirm") & (records["seed"] == seed)]
    assert found["ap"] > 0
    same = [record for _, record in own.iterrows() if all(record[name] == found[name] for name in NUMBERS)]
    assert len(same) == 1
    assert same[0]["batch_size"] == best["settings"]["batch_size"]
    page = " ".join((hermetic / "reports" / "mine" / "report.md").read_text().split())
    assert f"Repeats the confirm trial of seed {seed}: AP {found['ap']:.3f} on the report split" in page


@pytest.mark.long
@pytest.mark.skipif(not COCO.is_dir(), reason="the extract of COCO is not there (shared/coco-mini)")
def test_it_repeats_a_trial_on_pictures_of_coco(studied, pasted):
    document, records = studied(*OPTIMIZERS, *NETWORK, "--data", COCO, "--tunings", 1, "--optimizers", "adam")
    (optimizer,) = document["optimizers"]
    found = pasted(optimizer["train_command"])
    record = records.loc[optimizer["train_trial_id"]]
    assert {name: found[name] for name in NUMBERS} == {name: record[name] for name in NUMBERS}


@pytest.mark.parametrize("splits", [long(("train",)), long(("train", "val"))], ids=" and ".join)
def test_it_repeats_a_trial_on_annotation_files_that_are_named(studied, pasted, people, splits):
    named = [
        option
        for split in splits
        for option in (
            f"--{split}-annotations={people}/annotations/person_keypoints_{split}2017.json",
            f"--{split}-images={people}/images/{split}2017",
        )
    ]
    document, records = studied(*OPTIMIZERS, *NETWORK, *named, "--tunings", 1, "--optimizers", "adam")
    (optimizer,) = document["optimizers"]
    found, record = pasted(optimizer["train_command"]), records.loc[optimizer["train_trial_id"]]
    assert {name: found[name] for name in NUMBERS} == {name: record[name] for name in NUMBERS}


def test_a_joint_study_s_trials_get_the_annotation_files_that_are_named(studied, people):
    named = (
        f"--train-annotations={people}/annotations/person_keypoints_train2017.json",
        f"--train-images={people}/images/train2017",
    )
    document, _ = studied(*JOINT, *NETWORK, *named, "--trials", 1, "--optimizers", "adam")
    assert document["trials"]["complete"] >= 1
