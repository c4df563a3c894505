"""The command line in this process: contracts of its documents, exit codes, and mistakes refused in words."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib

import pytest
import torch

from bench.cli import app
from bench.optimizers import OPTIMIZERS, OptimizerEntry
from bench.optimizers.space import Log
from posemodel.network import build_network
from tests.support.long_tests import long

SCORES = {"ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large"}
COUNTS = {"images", "people", "crowds", "unlabelled"}


@pytest.fixture
def document(posebench):
    """Run a command with --json that must succeed; its one document."""

    def run(*arguments):
        code, out, err = posebench(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def stores(monkeypatch, tracking_uri, storage_url):
    """Stores in the test's folder, by absolute URL: MLflow keeps connections by their text."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)


TINY_STUDY = (
    *("--preset", "smoke", "--optimizers", "sgd,adam", "--trials", 1, "--seeds", 1, "--tune-steps", 2, "--steps", 2),
    *("--size", 64, "--batch-size", 2, "--device", "cpu"),
)


@pytest.fixture
def valleys(valley_file, hermetic):
    """The same study, of valleys."""
    (hermetic / "people").mkdir()
    return (
        *("--preset", "smoke", "--optimizers", "sgd,adam", "--trials", 1, "--seeds", 1, "--tune-steps", 2),
        *("--steps", 2, "--batch-size", 2, "--device", "cpu", "--data", "people", "--study", valley_file()),
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["stduy"], 2, "No such command 'stduy'"),
        (["study", "optimisers"], 2, "No such command"),
        (["study", "optimizers", "--preset", "nonsense"], 2, "no preset 'nonsense'"),
        (["study", "optimizers", "--preset", "smal", "--dry-run"], 2, "Did you mean small?"),
        (["study", "optimizers", "--optimizers", "adm"], 2, "did you mean adam?"),
        (["study", "optimizers", "--study", "none.toml"], 2, "none.toml: cannot be read"),
        (["study", "optimizers", "--network", "smal"], 2, "Did you mean small?"),
        (["study", "optimizers", "--preset", "smoke", "--size", "65"], 2, "needs a multiple of 16, got 65. Try 64."),
        (["study", "optimizers", "--preset", "smoke", "--size", "16"], 2, "size"),
        (["study", "optimizers", "--device", "gpu"], 2, "device"),
        (["study", "optimizers", "--trials", "0"], 2, "trials: must be 1 or more (got '0', from: command line)"),
        (["study", "optimizers", "--schedule", "cosin", "--dry-run"], 2, "schedule"),
        (["study", "optimizers", "--data", "no/such/folder"], 1, "no/such/folder: no such folder"),
        (["data", "check", "no/such/folder"], 1, "no/such/folder: no such folder"),
        (["data", "synth", "new", "--images", "2"], 2, "--images"),
        (["eval"], 2, "give one of --checkpoint FILE, --predictions FILE, --oracle"),
        (["eval", "--oracle", "--checkpoint", "x", "--data", "y"], 2, "give one of"),
        (["eval", "--oracle"], 2, "--data"),
        (["eval", "--predictions", "x.json"], 2, "--annotations"),
        (["eval", "--checkpoint", "none.safetensors", "--data", "no/such/folder"], 1, "none.safetensors"),
        (["eval", "--oracle", "--data", "no/such/folder"], 1, "no/such/folder"),
        (["train", "--data", "no/such/folder", "--steps", "2"], 1, "no/such/folder: no such folder"),
        (["train", "--data", "x"], 2, "steps"),
        (["train", "--data", "x", "--steps", "2", "--epochs", "2"], 2, "steps"),
        (["train", "--data", "x", "--steps", "2", "--optimizer", "sdg"], 2, "did you mean sgd?"),
        (["train", "--data", "x", "--steps", "2", "-O", "beta_1=0.5"], 2, "did you mean beta1?"),
        (["train", "--data", "x", "--steps", "2", "-O", "beta1"], 2, "must be NAME=VALUE"),
        (["train", "--data", "x", "--steps", "2", "--prefetch-factor", "2"], 2, "prefetch_factor needs num_workers"),
        (["info", "rtpose"], 2, "rtpose_vgg"),
        (["report", "nonsense"], 2, "there is no study 'nonsense', nor any other"),
        (["compare", "nonsense", "other"], 2, "no such file here"),
        (["compare", "nonsense"], 2, "Missing argument"),
        (["study", "optimizers", "--space", "adam:lr=log(1e-5,1e-2),bta=0.9"], 2, "did you mean betas?"),
        (["ui"], 2, "no such file here"),
        (["ui", "--port", "99999"], 2, "--port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_refused_in_words(posebench, hermetic, arguments, code, message):
    found, out, err = posebench(*arguments)
    assert found == code
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert "--debug" not in err, "an error that nobody has worded"
    assert out == ""
    assert [path for path in hermetic.rglob("*") if path.is_file()] == []


def test_a_command_without_arguments_shows_its_help(posebench):
    code, out, err = posebench()
    assert code in (0, 2)
    assert "study" in out + err


HEAVY = {"torch", "mlflow", "pandas", "matplotlib", "optuna"}
IMPORTED = """
import contextlib, io, json, sys
from bench.cli.app import main
found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["posebench", *arguments]
    said, code = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(said):
            main()
    except SystemExit as end:
        code = end.code
    found.append([code, sorted({name.partition(".")[0] for name in sys.modules}), said.getvalue()])
print(json.dumps(found))
"""
HELP = [
    ["--help"],
    ["study", "--help"],
    ["study", "optimizers", "--help"],
    ["optimizers", "--help"],
    ["optimizers", "check", "--help"],
    ["speed", "--help"],
    ["predict", "--help"],
]


@pytest.fixture(scope="module")
def helped():
    """Of each help, in one new process: exit code, modules imported by then, text."""
    process = subprocess.run(
        [sys.executable, "-c", IMPORTED, json.dumps(HELP)], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(process.stdout)


@pytest.mark.parametrize("number", range(len(HELP)), ids=lambda number: " ".join(HELP[number]))
def test_help_imports_no_heavy_library(helped, number):
    code, modules, text = helped[number]
    assert code == 0
    assert "Usage" in text
    assert "typer" in modules
    assert HEAVY.isdisjoint(modules), "their import costs seconds before the first word"


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["posebench", "--debug", "data", "check", "no/such/folder"])
    with pytest.raises(Exception, match="no such folder"):
        app.main()


def test_the_version_is_printed(posebench):
    code, out, _ = posebench("--version")
    assert code == 0
    assert out.startswith("posebench ")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_synthetic_data_of_a_seed_is_the_same_bytes(document, hermetic):
    for folder, seed in (("one", 3), ("same", 3), ("other", 4)):
        made = document("data", "synth", folder, "--images", 4, "--seed", seed)
        assert made == {"directory": folder, "images": 4, "splits": {"train": 2, "select": 1, "val": 1}}
    assert contents(hermetic / "one") == contents(hermetic / "same")
    one, other = contents(hermetic / "one"), contents(hermetic / "other")
    assert not set(one.values()) & {other[name] for name in one if name.endswith(".jpg")}
    document("data", "synth", "one", "--images", 4, "--seed", 3)  # a finished one is left as it is
    assert contents(hermetic / "one") == contents(hermetic / "same")


def test_synthetic_data_never_goes_over_somebody_s_files(posebench, hermetic):
    (hermetic / "own").mkdir()
    (hermetic / "own" / "thesis.txt").write_text("years of work")
    code, _, err = posebench("data", "synth", "own", "--images", 4)
    assert code == 1
    assert "already holds files" in err
    assert [path.name for path in (hermetic / "own").iterdir()] == ["thesis.txt"]


def test_a_data_check_counts(document, tiny):
    found = document("data", "check", tiny)
    assert set(found) >= {"splits", "problems"} | COUNTS
    assert {name: set(counts) for name, counts in found["splits"].items()} == dict.fromkeys(
        ("train", "select", "val"), COUNTS
    )
    assert found["images"] == 12
    assert found["people"] > 0
    assert found["problems"] == []
    assert all(found[name] == sum(split[name] for split in found["splits"].values()) for name in COUNTS)


def test_a_data_check_names_what_is_wrong_and_fails(posebench, document, hermetic):
    document("data", "synth", "people", "--images", 3)
    (image,) = (hermetic / "people" / "images" / "val2017").iterdir()
    image.unlink()
    code, out, err = posebench("data", "check", "people", "--json")
    (problem,) = json.loads(out)["problems"]
    assert code == 1
    assert set(problem) >= {"file", "id", "problem"}
    assert problem["file"].endswith("person_keypoints_val2017.json") or image.name in problem["file"]
    assert image.name in json.dumps(problem)
    assert "Traceback" not in err
    code, out, _ = posebench("data", "check", "people")
    assert code == 1
    assert out.endswith("1 problem\n")


@pytest.mark.parametrize("network", ["small", long("rtpose_vgg"), "openpose_2019", "lightweight_2"])
def test_info_says_what_a_network_costs(document, network):
    found = document("info", network, "--size", 64)
    assert set(found) >= {"network", "parameters", "gmacs", "size"}
    assert (found["network"], found["size"]) == (network, 64)
    with torch.device("meta"):  # without numbers, which take most of the time
        parameters = [*build_network(network).parameters()]
    assert found["parameters"] == sum(weight.numel() for weight in parameters)
    twice = document("info", network, "--size", 128)
    assert twice["gmacs"] == pytest.approx(4 * found["gmacs"], rel=0.02)


def test_a_checkpoint_and_its_predictions_score_the_same(document, tiny, hermetic):
    trained = document(
        *("train", "--data", tiny, "--size", 64, "--steps", 3, "--batch-size", 2, "--device", "cpu", "--out", "run"),
        *("--optimizer", "adam", "--lr", 1e-3, "--seed", 1),
    )
    assert (trained["status"], trained["steps"], trained["out"]) == ("complete", 3, "run")
    files = {path.name for path in (hermetic / "run").iterdir()}
    assert {"last.safetensors", "best.safetensors", "resume.pt", "metrics.jsonl"} <= files
    lines = [json.loads(line) for line in (hermetic / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["ap"] for line in lines if "ap" in line][-1] == trained["ap"]

    checkpoint = ("eval", "--checkpoint", "run/last.safetensors", "--data", tiny, "--device", "cpu")
    scored = document(*checkpoint, "--write-predictions", "people.json")
    assert set(scored) >= SCORES | {"images", "people"}
    assert (scored["network"], scored["size"]) == ("small", 64)
    assert scored["ap"] == trained["ap"]
    annotations = tiny / "annotations" / "person_keypoints_val2017.json"
    again = document("eval", "--predictions", "people.json", "--annotations", annotations)
    keys = SCORES | {"images", "people"}
    assert {key: again[key] for key in keys} == {key: scored[key] for key in keys}


def test_predictions_are_never_written_over(posebench, document, tiny, hermetic):
    (hermetic / "people.json").write_text("[]")
    code, _, err = posebench(
        "eval", "--checkpoint", "x.safetensors", "--data", tiny, "--write-predictions", "people.json"
    )
    assert code == 2
    assert "people.json: exists" in err
    assert (hermetic / "people.json").read_text() == "[]"


def test_the_annotations_themselves_score_one(document, tiny, hermetic):
    annotations = tiny / "annotations" / "person_keypoints_val2017.json"
    results = [
        {key: found[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for found in json.loads(annotations.read_text())["annotations"]
        if found["num_keypoints"] and not found["iscrowd"]
    ]
    (hermetic / "perfect.json").write_text(json.dumps(results))
    found = document("eval", "--predictions", "perfect.json", "--annotations", annotations)
    assert found["ap"] == pytest.approx(1.0)
    assert found["people"] == len(results)


def test_oracle_scores_come_with_their_ceiling(document, tiny):
    found = document("eval", "--oracle", "--data", tiny, "--split", "train", "--size", 128)
    assert set(found) >= SCORES | {"images", "people", "ceiling"}
    assert found["images"] == 10
    assert 0.3 < found["ap"] <= found["ceiling"] + 0.05 <= 1.05


def test_training_leaves_a_folder_with_files_alone(posebench, tiny, hermetic):
    (hermetic / "run").mkdir()
    (hermetic / "run" / "notes.txt").write_text("mine")
    code, _, err = posebench("train", "--data", tiny, "--size", 64, "--steps", 1, "--out", "run")
    assert code == 2
    assert "--out run: is not empty" in err
    assert [path.name for path in (hermetic / "run").iterdir()] == ["notes.txt"]


def test_an_interrupted_training_says_how_to_go_on(posebench, tiny, hermetic):
    (hermetic / "run").mkdir()
    for name in ("resume.pt", "metrics.jsonl"):
        (hermetic / "run" / name).write_bytes(b"")
    code, _, err = posebench("train", "--data", tiny, "--size", 64, "--steps", 1, "--out", "run")
    assert code == 2
    assert "--resume to go on" in err


def test_a_dry_run_shows_the_plan_and_leaves_no_file(document, measured_here, tiny, hermetic):
    found = document("study", "optimizers", *TINY_STUDY, "--data", tiny, "--dry-run")
    assert found["status"] == "planned"
    assert found["study"] == "optimizers-smoke-tiny"
    assert found["trials"] == {"tune": 4, "confirm": 4, "planned": 8}
    assert [planned["optimizer"] for planned in found["plan"]] == ["sgd", "adam"] * 2
    assert list(hermetic.iterdir()) == []


def test_a_dry_run_without_data_makes_none(posebench, made_up_costs, hermetic):
    code, out, _ = posebench("study", "optimizers", *TINY_STUDY, "--dry-run")
    assert code == 0
    assert "Nothing was run" in out
    assert list(hermetic.iterdir()) == []


def test_the_environment_reaches_a_study(document, made_up_costs, tiny, monkeypatch):
    monkeypatch.setenv("POSEBENCH_SIZE", "96")
    monkeypatch.setenv("POSEBENCH_TUNE_STEPS", "30")
    spec = document("study", "optimizers", "--preset", "smoke", "--data", tiny, "--steps", 50, "--dry-run")["spec"]
    assert (spec["size"], spec["steps"], spec["tune_steps"]) == (96, 50, 30)


def test_few_steps_shorten_the_preset_s_tune_trials_too(document, made_up_costs, tiny):
    arguments = ("study", "optimizers", "--preset", "smoke", "--data", tiny, "--steps", 5, "--dry-run")
    assert document(*arguments)["spec"]["tune_steps"] == 5
    assert document(*arguments, "--tune-steps", 7)["spec"]["tune_steps"] == 7


@pytest.mark.long
def test_a_study_with_failed_trials_is_reported_and_exits_3(
    posebench, stores, valleys, plain_figures, hermetic, monkeypatch
):
    def build(parameters, lr=0.1, weight_decay=0.0):
        raise RuntimeError("the dog ate it")

    monkeypatch.setitem(OPTIMIZERS, "breaking", OptimizerEntry("breaking", build, {"lr": Log(1e-3, 1.0)}, "nobody", ""))
    arguments = ("study", "optimizers", *valleys, "--optimizers", "breaking,adam", "--json")
    code, out, err = posebench(*arguments)
    found = json.loads(out)
    assert code == 3
    assert found["status"] == "complete"
    assert (found["trials"]["complete"], found["trials"]["failed"]) == (4, 4)
    assert {row["name"]: row["failed"] for row in found["optimizers"]} == {"adam": 0, "breaking": 4}
    assert "RuntimeError: the dog ate it" in err
    assert "RuntimeError: the dog ate it" in (hermetic / found["report"]).with_name("appendix.md").read_text()
    code, again, _ = posebench(*arguments)
    assert (code, json.loads(again)) == (3, found)


@pytest.mark.long
def test_a_study_with_diverged_trials_is_done(posebench, stores, valleys, valley_file, plain_figures):
    valley_file(above="[spaces.sgd]\nlr = {log = [1e18, 1e19]}")
    arguments = ("study", "optimizers", *valleys, "--steps", 3, "--tune-steps", 3)
    code, out, _ = posebench(*arguments, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["trials"]["diverged"], found["trials"]["complete"]) == (4, 4)
    (sgd,) = (row for row in found["optimizers"] if row["name"] == "sgd")
    assert (sgd["diverged"], sgd["ap_mean"], sgd["score_mean"]) == (found["trials"]["diverged"], None, 0.0)
    assert sgd["collapsed"] == sgd["tunings"] == len(sgd["finalists"])

    code, _, err = posebench(*arguments, "--weight-decay", 0.5)
    assert code == 2
    assert "weight_decay: 0.0 -> 0.5" in err
    assert "--name" in err

    code, _, err = posebench("report", "optimizers-smok")
    assert code == 2
    assert "no study 'optimizers-smok'" in err
    assert "optimizers-smoke-people" in err


@pytest.mark.usefixtures("stores", "made_up_costs", "plain_figures")
@pytest.mark.long
def test_a_report_is_made_again_and_its_study_file_plans_the_same(document, tiny, hermetic):
    found = document("study", "optimizers", *TINY_STUDY, "--data", tiny)
    report = hermetic / found["report"]
    before = {path.name: path.read_bytes() for path in report.parent.iterdir()}
    shutil.rmtree(hermetic / "reports")
    assert document("report", found["study"]) == found
    after = {path.name: path.read_bytes() for path in report.parent.iterdir()}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if not name.endswith(".png"))

    settings = tomllib.loads((report.parent / "study.toml").read_text())
    assert (settings["steps"], settings["size"], settings["optimizers"]) == (2, 64, ["sgd", "adam"])
    again = ("--study", report.parent / "study.toml", "--preset", "smoke", "--data", tiny, "--name", "again")
    planned = document("study", "optimizers", *again, "--dry-run")
    with (report.parent / "records.csv").open() as file:
        tuned = [row["trial_id"] for row in csv.DictReader(file) if row["phase"] == "tune"]
    assert [trial["id"] for trial in planned["plan"]] == tuned


def test_records_without_their_store_are_missed(posebench, stores, valleys, plain_figures, new_store, monkeypatch):
    """The ledger says that trials have run; an MLflow store that knows none of them is the wrong one."""
    arguments = ("study", "optimizers", *valleys, "--optimizers", "sgd")
    assert posebench(*arguments)[0] == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store("other.db"))
    code, _, err = posebench(*arguments)
    assert code == 2
    assert "holds 0 records" in err
