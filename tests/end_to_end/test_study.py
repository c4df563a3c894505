"""A study by its command: what it prints and leaves, the same again at no cost, and its report."""

import json
import math
import re

import cv2
import pandas as pd

from bench.kinds.optimizers.analysis.verdict import SCOPE
from tests.support.place import PLANNED
from tests.support.running_study import DEADLINE_S, ended, output

CONTRACT = {
    "study",
    "kind",
    "preset",
    "status",
    "trials",
    "optimizers",
    "verdict",
    "report",
    "best",
    "tunings",
    "seeds",
}
ROW = {
    "name",
    "settings",
    "ap_mean",
    "ap_low",
    "ap_high",
    "n",
    "images_per_s",
    "optimizer_step_ms",
    "collapsed",
    "finalists",
}

RATE = {"sgd": "effective_lr", "adam": "lr"}
"""What is searched as the rate of each."""


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_it_ends_well_and_prints_one_document(finished_pose):
    _, process = finished_pose
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout, parse_constant=refuse)
    assert set(found) >= CONTRACT
    assert (found["study"], found["kind"], found["preset"]) == ("optimizers-smoke-people", "optimizers", "smoke")
    assert found["status"] == "complete"
    assert found["trials"] == {
        "complete": PLANNED,
        "diverged": 0,
        "failed": 0,
        "out_of_memory": 0,
        "timed_out": 0,
        "pruned": 0,
        "skipped": 0,
        "recorded": PLANNED,
        "planned": PLANNED,
    }
    assert found["verdict"].endswith(SCOPE)


def test_every_optimizer_has_its_row(document):
    assert {row["name"] for row in document["optimizers"]} == {"sgd", "adam"}
    for row in document["optimizers"]:
        assert set(row) >= ROW
        assert row["n"] == 2
        if row["ap_low"] is not None:  # several tunings, none of which collapsed
            assert row["ap_low"] <= row["ap_mean"] <= row["ap_high"]
        assert row["images_per_s"] > 0
        assert row["optimizer_step_ms"] > 0
        assert RATE[row["name"]] in row["settings"]


def test_progress_goes_to_stderr_a_line_a_trial(finished_pose):
    _, process = finished_pose
    for number in range(1, PLANNED + 1):
        assert process.stderr.count(f"[{number}/{PLANNED}]") == 1
    assert "Traceback" not in process.stderr
    assert "Warning" not in process.stderr
    assert "This command runs no trial" not in process.stderr


def test_the_report_has_its_files(finished_pose, document):
    place, _ = finished_pose
    report = place.folder / document["report"]
    assert document["answer"] in " ".join(report.read_text().replace("\n> ", " ").split())
    text = report.read_text() + report.with_name("appendix.md").read_text()
    assert document["verdict"] in " ".join(text.split())
    assert "posebench study optimizers" in text
    files = {path.name for path in report.parent.iterdir()}
    assert files == {*re.findall(r"\]\(([^)]+)\)", text)}
    assert files >= {
        "records.csv",
        "seeds.csv",
        "summary.csv",
        "curves.csv",
        "study.toml",
        "result.json",
        "samples.jpg",
    }
    figures = [name for name in files if name.endswith(".png")]
    assert "validation-loss.png" in figures
    for figure in figures:
        height, width, _ = cv2.imread(str(report.parent / figure)).shape
        assert min(height, width) > 300
    assert json.loads((report.parent / "result.json").read_text()) == document


def test_every_trial_is_a_row_with_its_run(finished_pose, document):
    place, _ = finished_pose
    records = pd.read_csv(place.folder / "reports" / document["study"] / "records.csv")
    assert len(records) == PLANNED
    assert records["trial_id"].is_unique
    kinds = records[["tuning", "phase", "optimizer", "index"]].itertuples(index=False, name=None)
    assert list(kinds) == [
        (tuning, phase, name, 6 * tuning + 2 * late + place)  # two places of each tuning are for controls
        for tuning in (0, 1)
        for late, phase in enumerate(("tune", "confirm"))
        for place, name in enumerate(("sgd", "adam"))
    ]
    tuned = records["phase"] == "tune"
    assert (records[tuned]["round"] == 0).all()
    assert records[~tuned]["round"].isna().all(), "a confirm trial belongs to none"
    assert set(records["trial_id"]) == set(place.recorded())
    runs = {run for (run,) in place.query("SELECT run_uuid FROM runs WHERE status = 'FINISHED'")}
    assert set(records["run_id"]) <= runs
    assert place.run_states() == {"FINISHED": PLANNED + 1}
    curves = pd.read_csv(place.folder / "reports" / document["study"] / "curves.csv")
    assert set(curves["trial_id"]) == set(records["trial_id"])


def test_confirm_runs_show_their_samples_and_the_study_its_report(finished_pose, document):
    place, _ = finished_pose
    records = pd.read_csv(place.folder / "reports" / document["study"] / "records.csv")
    shown = {run for (run,) in place.query("SELECT run_uuid FROM tags WHERE key = 'mlflow.loggedImages'")}
    assert shown == set(records[records["phase"] == "confirm"]["run_id"])
    artifacts = place.folder / "mlartifacts" / document["study"]
    assert {path.parents[1].name for path in artifacts.glob("*/artifacts/samples.json")} == shown
    ((note,),) = place.query(
        "SELECT note.value FROM tags AS note JOIN tags AS study USING (run_uuid) "
        "WHERE note.key = 'mlflow.note.content' AND study.key = 'posebench.study'"
    )
    assert note.partition("): ")[2].startswith(f"**{document['answer']}**")
    sheet = place.folder / "reports" / document["study"] / "samples.json"
    people = {image["file"] for image in json.loads(sheet.read_text())["images"]}
    assert people
    assert all((place.folder / "people" / file).is_file() for file in people)


def test_confirm_seeds_are_paired_and_run_the_chosen_settings(finished_pose, document):
    place, _ = finished_pose
    records = pd.read_csv(place.folder / "reports" / document["study"] / "records.csv")
    confirm = records[records["phase"] == "confirm"]
    seeds = confirm.groupby("optimizer")["seed"].apply(sorted)
    assert seeds["sgd"] == seeds["adam"]
    assert len({*confirm["seed"]}) == 2, "each tuning has its own"
    own = ["optimizer", "tuning"]
    chosen = records[records["phase"] == "tune"].set_index(own)["hyperparameters"]
    assert chosen.is_unique, "each tuning has its own search"
    assert all(row.hyperparameters == chosen[row.optimizer, row.tuning] for row in confirm.itertuples())


def test_the_mean_score_is_that_of_the_records(finished_pose, document):
    place, _ = finished_pose
    records = pd.read_csv(place.folder / "reports" / document["study"] / "records.csv")
    means = records[records["phase"] == "confirm"].groupby("optimizer")["ap"].mean()
    assert all(math.isclose(row["score_mean"], means[row["name"]], abs_tol=1e-12) for row in document["optimizers"])


def test_where_the_time_went_is_told_once_and_adds_up(finished_pose, document):
    place, _ = finished_pose
    time = document["time"]
    records = pd.read_csv(place.folder / "reports" / document["study"] / "records.csv")
    assert math.isclose(time["train_s"], records["train_seconds"].sum())
    assert math.isclose(time["eval_s"], records["eval_seconds"].sum())
    assert time["data_s"] == 0, "the data set was there"
    parts = time["train_s"] + time["eval_s"] + time["data_s"] + time["other_s"]
    assert math.isclose(parts, time["wall_s"])
    assert math.isclose(time["overhead_share"], time["other_s"] / time["wall_s"])
    assert 1000 * time["wall_s"] > records["ended_ms"].max() - records["started_ms"].min()
    report = (place.folder / document["report"]).with_name("appendix.md").read_text()
    assert f"{100 * time['overhead_share']:.1f} %" in report.split("## Where the time went")[1]
    place.run(*place.study, "--json")  # it has ended: what is done now is none of its time
    assert place.query("SELECT count(*) FROM tags WHERE key LIKE 'posebench.session.%'") == [(1,)]


def test_state_stands_in_the_working_directory(finished_pose):
    place, _ = finished_pose
    assert set(place.files()) == {
        "long.toml",
        "mlartifacts",
        "mlflow.db",
        "optuna.db",
        "people",
        "reports",
        "tiny.toml",
    }
    assert list((place.folder / "mlartifacts").rglob("report.md"))


def test_the_same_command_again_runs_nothing_and_prints_the_same(finished_pose, document):
    place, _ = finished_pose
    runs = place.query("SELECT run_uuid, end_time FROM runs ORDER BY run_uuid")
    again = place.run(*place.study, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == document
    assert f"/{PLANNED}]" not in again.stderr
    after = place.query("SELECT run_uuid, end_time FROM runs ORDER BY run_uuid")
    assert [run for run, _ in after] == [run for run, _ in runs]
    assert sum(before != now for before, now in zip(runs, after, strict=True)) <= 1  # the study's own run


def test_two_processes_that_end_a_study_together_leave_one_whole_report(place):
    """Both wait for the last trial, and write the report at the same time."""
    with ended(place.start(*place.study)) as one, ended(place.start(*place.study)) as other:
        assert (one.wait(DEADLINE_S), other.wait(DEADLINE_S)) == (0, 0), output(place)
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == PLANNED
    active = f"SELECT status FROM runs WHERE name = '{place.name}' AND lifecycle_stage = 'active'"
    assert place.query(active) == [("FINISHED",)]
    assert place.query("SELECT count(*) FROM runs WHERE status = 'RUNNING'") == [(0,)]
    folder = place.folder / "reports" / place.name
    assert not list(folder.glob("*.part"))
    assert not list((place.folder / "mlartifacts").rglob("*.part"))
    assert "Not known" in (folder / "appendix.md").read_text(), "nobody could say whose time was whose"


def test_a_finished_study_that_is_shown_again_stays_finished(finished_pose, document):
    place, _ = finished_pose
    before = (place.folder / document["report"]).read_text()
    again = place.run(*place.study, "--json")
    assert again.returncode == 0, again.stderr
    assert place.query(f"SELECT status FROM runs WHERE name = '{place.name}'") == [("FINISHED",)]
    assert (place.folder / document["report"]).read_text() == before
