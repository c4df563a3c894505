"""`posebench networks`: every network for equal time, its report, and how it goes on."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from bench.cli.app import app
from bench.cli.networks import NO_CUDA
from bench.kinds.networks.run import Question, compare_networks
from posemodel.data.coco import open_split
from posemodel.errors import SettingsError

SHORT = {"seconds": 0.5, "evaluations": 2, "batch_size": 2, "size": 64, "device": torch.device("cpu")}


@pytest.fixture
def compared(tiny, tmp_path):
    folder = tmp_path / "networks"
    said: list[str] = []
    question = Question(data=tiny, networks=["small", "lightweight"], precisions=["fp32"], **SHORT)
    return question, folder, compare_networks(question, folder, said.append), said


def test_each_network_is_trained_scored_and_drawn(compared):
    _, folder, runs, said = compared
    assert [run.network for run in runs] == ["small", "lightweight"]
    assert len(said) == 2
    for run in runs:
        assert run.status == "complete"
        assert run.metrics["images_per_s"] > 0
        assert 0 <= run.metrics["ap"] <= 1
        assert run.metrics["train_seconds"] >= 0.5
        assert (folder / run.picture).stat().st_size > 1000
    text = (folder / "report.md").read_text()
    assert "4,091,698" in text
    assert "| small" in text
    curves = pd.read_csv(folder / "curves.csv")
    assert set(curves["network"]) == {"small", "lightweight"}
    assert curves.groupby("network")["ap"].count().min() >= 1
    assert (folder / "curves.png").stat().st_size > 10_000


def test_an_interrupted_comparison_goes_on_with_what_is_missing(compared):
    question, folder, runs, said = compared
    document = json.loads((folder / "runs.json").read_text())
    (folder / "runs.json").write_text(json.dumps(document | {"runs": document["runs"][:1]}))
    again = compare_networks(question, folder, said.append)
    assert again[0] == runs[0]
    assert [run.network for run in again] == ["small", "lightweight"]
    assert said[2:] == [said[1]]


def test_the_same_question_is_shown_again_and_another_is_refused(compared):
    question, folder, runs, said = compared
    assert compare_networks(question, folder, said.append) == runs
    assert len(said) == 2
    with pytest.raises(SettingsError, match=r"holds another comparison \(seconds: 0.5 -> 1"):
        compare_networks(Question(data=question.data, networks=["small"], **SHORT | {"seconds": 1.0}), folder)
    document = json.loads((folder / "runs.json").read_text())
    assert document["question"]["val_images"] == len(open_split(question.data, "val"))
    del document["question"]["val_images"]  # as it was before one could ask for fewer
    (folder / "runs.json").write_text(json.dumps(document))
    assert compare_networks(replace(question, val_images=500), folder) == runs
    (folder / "runs.json").write_text(json.dumps(document | {"question": document["question"] | {"val_images": 7}}))
    with pytest.raises(SettingsError, match=r"val_images: 7 -> \d+"):
        compare_networks(question, folder)
    elsewhere = document | {"question": document["question"] | {"machine": "a faster one"}}
    (folder / "runs.json").write_text(json.dumps(elsewhere))
    with pytest.raises(SettingsError, match="machine: 'a faster one' -> "):
        compare_networks(question, folder)
    (folder / "runs.json").unlink()
    with pytest.raises(SettingsError, match="is not empty"):
        compare_networks(question, folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(hermetic):
    done = CliRunner().invoke(app, ["networks"])
    assert (done.exit_code, done.output.strip()) == (0, NO_CUDA)
    document = json.loads(CliRunner().invoke(app, ["networks", "--json"]).output)
    assert document["skipped"] == NO_CUDA
    assert not list(hermetic.iterdir())
