"""`posebench networks`: every network for equal time, its report, and how it goes on."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from bench.cli.actions.networks import NO_CUDA, study_name
from bench.cli.app import app
from bench.kinds.networks.analysis import NetworkRun, network_findings
from bench.kinds.networks.plan import plan_networks
from bench.report import findings_write
from posemodel.errors import SettingsError
from tests.support.asked import prepared
from tests.support.empty_pictures import empty_figure

NAN = float("nan")
SHORT = ("--device", "cpu", "--seconds", 0.2, "--evaluations", 2, "--batch-size", 2, "--size", 64, "--num-workers", 0)
TWO = ("networks", "--networks", "small,lightweight", "--precisions", "fp32", *SHORT)


@pytest.fixture
def compared(posebench, monkeypatch, tracking_uri, storage_url, tiny):
    """The command on a small data set: exit code, stdout, stderr."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)

    def run(*arguments):
        return posebench(*TWO, "--data", tiny, "--out", "shown/mine", *arguments)

    return run


def test_each_network_is_trained_scored_and_drawn_and_shown_again(compared, hermetic, monkeypatch):
    code, out, err = compared("--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["study"], document["kind"]) == (study_name(Path("shown/mine")), "networks")
    assert document["report"] == "shown/mine/report.md"
    assert [run["network"] for run in document["runs"]] == ["small", "lightweight"]
    folder = hermetic / "shown" / "mine"
    for run in document["runs"]:
        assert (run["status"], run["precision"], run["curve"]) == ("complete", "fp32", None)
        assert run["metrics"]["images_per_s"] > 0
        assert 0 <= run["metrics"]["ap"] <= 1
        assert run["metrics"]["train_seconds"] >= 0.2
        assert run["wall_s"] > 0.2
        assert (folder / run["picture"]).stat().st_size > 1000
    assert [run["learning_rate"] for run in document["runs"]] == [2e-3, 1e-3]
    text = (folder / "report.md").read_text() + (folder / "appendix.md").read_text()
    assert "4,091,698" in text
    assert "![People found by small in fp32](small-fp32.jpg)" in text
    assert "data:image/jpeg;base64," in (folder / "report.html").read_text()
    curves = pd.read_csv(folder / "curves.csv")
    assert set(curves["network"]) == {"small", "lightweight"}
    assert curves.groupby("network")["ap"].count().min() >= 1
    assert (folder / "loss.png").stat().st_size > 10_000

    monkeypatch.setattr(findings_write, "figure_of", empty_figure)  # drawn above
    code, out, err = compared("--json")
    assert (code, json.loads(out)["runs"]) == (0, document["runs"])
    assert "confirm small" not in err, "a finished one is shown again"
    for name in ("result.json", "report.md", "study.toml"):
        (folder / name).unlink()  # it was killed while it wrote its report
    code, out, _ = compared("--json")
    assert (code, json.loads(out)["runs"]) == (0, document["runs"])
    assert "--study shown/mine/study.toml" in (folder / "appendix.md").read_text()
    code, _, err = compared("--seconds", 2)
    assert code == 2
    assert "seconds: 0.2 -> 2.0" in err
    assert "another --out" in err


def test_a_folder_is_a_comparison_whatever_its_name(hermetic):
    assert study_name(Path("reports/x")) == "x"
    assert study_name(Path("other/x")) not in ("x", study_name(Path("third/x")))
    names = [study_name(Path(each)) for each in (".", "reports/my out", "reports/_x", "x" * 130)]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", name) for name in names)


def test_stores_are_looked_at_before_data_is_made(posebench, monkeypatch, hermetic):
    monkeypatch.setenv("POSEBENCH_STORAGE", "nonsense://x")
    code, _, err = posebench("networks", "--device", "cpu")
    assert code == 2
    assert "nonsense" in err
    assert list(hermetic.iterdir()) == []


@pytest.mark.parametrize(("file", "said"), [("runs.json", "of an earlier version"), ("mine.txt", "is not empty")])
def test_what_somebody_has_put_there_stays(compared, hermetic, file, said):
    (hermetic / "shown" / "mine").mkdir(parents=True)
    (hermetic / "shown" / "mine" / file).write_text("mine")
    code, _, err = compared()
    assert code == 2
    assert said in err
    assert (hermetic / "shown" / "mine" / file).read_text() == "mine"


def test_each_network_has_its_own_rate_and_is_planned_in_each_precision(tiny):
    spec = prepared("networks", {"data": tiny, "device": "cpu"}, preset="full").spec
    trials = plan_networks(spec)
    assert [(trial.train.network, trial.train.precision) for trial in trials] == [
        (network, precision)
        for network in ("rtpose_vgg", "openpose_2019", "lightweight")
        for precision in ("fp32", "bf16")
    ]
    assert [trial.hyperparameters["lr"] for trial in trials] == [1e-4] * 4 + [1e-3] * 2
    assert len({trial.id for trial in trials}) == len(trials)
    assert all(trial.train.seconds == spec.seconds for trial in trials)
    with pytest.raises(SettingsError, match=r"no network.*smal"):
        prepared("networks", {"data": tiny, "device": "cpu", "networks": ["small", "smal"]})
    with pytest.raises(SettingsError, match="must name at least one, each once"):
        prepared("networks", {"data": tiny, "device": "cpu", "networks": ["small", "small"]})


NO_CURVES = pd.DataFrame(columns=["network", "precision", "train_seconds", "ap", "val_loss"])


def run(network="small", precision="fp32", ap=0.1, speed=10.0, **more):
    metrics = {"ap": ap, "images_per_s": speed}
    given = (network, precision, "complete", 10, 2e-3, 5, 0.1, 64, metrics, None, 3.0)
    return replace(NetworkRun(*given), **more)


def found_in(runs, curves=NO_CURVES, **more):
    return network_findings(runs, curves, **({"terms": "Each for 60 s.", "seconds": 60.0} | more))


def test_the_answer_names_network_precision_ap_and_speed():
    best = run("lightweight", "bf16", 0.33, 118.0, command="posebench train --network lightweight")
    found = found_in([run(ap=0.1), best])
    assert found.answer == (
        "Try lightweight in bf16 first: the highest AP, 0.330, after 60 s of training, at 118 images/s. One seed each: "
        "a lead may be luck."
    )
    assert [code.text for code in found.paste] == ["posebench train --network lightweight"]
    assert "trained once" in found.sureness
    assert found.metrics == {"ap": 0.33, "images_per_s": 118.0}
    assert found.document["recommended"] == {"network": "lightweight", "precision": "bf16"}


def test_bf16_is_told_against_fp32():
    found = found_in([run(), run(precision="bf16", ap=0.2, speed=25.0)])
    assert "Images/s in bf16 against fp32: small 2.50 times." in found.sections[0].parts


def test_chance_is_no_winner():
    point = {"network": "small", "precision": "fp32", "train_seconds": 9.0, "ap": 0.01, "val_loss": 1.0}
    curves = pd.DataFrame([point])
    found = found_in([run(ap=0.0199), run("lightweight", ap=float("nan"))], curves)
    assert found.answer.startswith("Nothing to recommend: in 60 s of training no network reached AP 0.02")
    assert (found.paste, found.figure, found.sureness, found.metrics) == ((), None, "", {})
    assert found.document["recommended"] is None
    assert found_in([run(ap=0.0199), run("lightweight", ap=0.0)], floor=0.01).answer.startswith("Try small")
    beaten = found_in([run(ap=0.2), run("rtpose_vgg", ap=0.0)], curves)
    assert "These had not begun to learn in that time (AP under 0.02): rtpose_vgg in fp32." in beaten.sureness


def test_before_a_training_is_complete_there_is_nothing_to_say():
    assert found_in([]).answer == "No training is complete yet."
    assert found_in([]).sections == []
    failed = found_in([run(status="out_of_memory", metrics={})])
    assert failed.answer == "Nothing to recommend: the one training so far has no result."
    both = found_in([run(ap=float("nan")), run("lightweight", status="failed")])
    assert both.answer == "Nothing to recommend: none of the 2 trainings has a result."
    assert failed.main_table().rows[0][2] == "out of memory"


def test_a_single_result_is_not_called_the_highest():
    found = found_in([run(ap=0.3), run("lightweight", status="failed")])
    assert found.answer == (
        "Only small in fp32 has a result: AP 0.300 after 60 s of training, at 10 images/s. There is nothing to "
        "compare it with."
    )


def test_the_figure_is_ap_over_seconds_and_nothing_without_a_point_is_drawn():
    curves = pd.DataFrame(
        [
            {"network": "small", "precision": "fp32", "train_seconds": second, "ap": second / 100, "val_loss": NAN}
            for second in (10.0, 20.0)
        ]
    )
    found = found_in([run(), run("lightweight")], curves)
    (panel,) = found.figure.panels
    assert [(each.label, list(each.x), list(each.y)) for each in panel.series] == [
        ("small, fp32", [10.0, 20.0], [0.1, 0.2])
    ]
    assert [image.file for image in found.images()] == ["curves.png"]


def test_the_main_table_fits_a_terminal():
    named = run("openpose_2019", "bf16", ap=0.1, speed=1234.5, status="out_of_memory")
    named.metrics.update(data_wait_share=1.0, gpu_memory_peak_bytes=1.4e11)
    table = found_in([named]).main_table()
    assert sum(max(map(len, column)) + 3 for column in zip(table.columns, *table.rows, strict=True)) + 1 <= 80


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(hermetic):
    done = CliRunner().invoke(app, ["networks"])
    assert (done.exit_code, done.output.strip()) == (0, NO_CUDA)
    document = json.loads(CliRunner().invoke(app, ["networks", "--json"]).output)
    assert document["skipped"] == NO_CUDA
    assert not list(hermetic.iterdir())
