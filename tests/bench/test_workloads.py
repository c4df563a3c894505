"""The seam between the suite and what a trial trains: its contract, study files, and whole studies of valleys."""

import csv
import json
import math
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import pytest
import torch

from bench import workloads
from bench.kinds.joint.sampler_comparison import run_all
from bench.trials.spec import TrialSpec
from bench.workloads import POSE, workload
from bench.workloads.protocol import SELECT, Assignment, Budget, Workload
from bench.workloads.score import Score
from posemodel.config import LoaderSettings, Settings
from posemodel.errors import SettingsError
from posemodel.scoring.scorer import Scores
from tests.support.asked import prepared
from tests.support.long_tests import long
from tests.support.valley import VALLEY, Valley, best_rate, last_rate

TIMED = ("images_per_s", "data_wait_share", "optimizer_step_ms", "train_seconds", "eval_seconds")
STEPS, EVALUATIONS = 6, 3


@dataclass(frozen=True)
class Case:
    """A workload, its own settings, and optimizers that get somewhere and that lose their way."""

    its: Workload
    own: Settings
    good: Any
    hopeless: Any
    data: Any

    def run(self, **changes):
        budget = Budget(steps=STEPS, evaluations=EVALUATIONS, window=2)
        assignment = Assignment(
            data=self.data,
            split=SELECT,
            budget=budget,
            schedule="cosine",
            precision="fp32",
            loader=LoaderSettings(batch_size=2),
            seed=3,
            device="cpu",
            time_limit=None,
        )
        return self.its.plan(self.own, replace(assignment, **changes))

    def train(self, run=None, optimizer=None, **how):
        return self.its.train(run or self.run(), optimizer or self.good, **how)


@pytest.fixture(params=[POSE, VALLEY])
def case(request, tiny):
    its = workload(request.param)
    if its.name == POSE:
        return Case(
            its,
            its.settings(network="small", size=64, augment=False),
            partial(torch.optim.Adam, lr=1e-3),
            partial(torch.optim.SGD, lr=1e18),
            tiny,
        )
    hopeless = partial(torch.optim.SGD, lr=1e3 * last_rate())
    return Case(its, its.settings(), partial(torch.optim.SGD, lr=best_rate()), hopeless, tiny)


def untimed(metrics):
    return {name: value for name, value in metrics.items() if name not in TIMED}


def test_the_same_seed_gives_the_same_metrics_and_another_one_others(case):
    first, second = case.train(), case.train()
    assert (first.status, first.step) == ("complete", STEPS)
    assert untimed(first.metrics) == untimed(second.metrics)
    assert case.train(case.run(seed=4)).metrics["val_loss"] != first.metrics["val_loss"]


def test_its_metrics_are_those_that_the_suite_reads(case):
    seen = []
    trained = case.train(on_metrics=lambda step, metrics: seen.append((step, metrics)))
    score = case.its.score
    assert {score.name, "val_loss", "loss", "train_seconds", "images_per_s", *TIMED} <= trained.metrics.keys()
    assert {score.name, "ap_best", "ap_best_step"} <= case.its.final_metrics & trained.metrics.keys()
    assert score.low <= score.chance <= trained.metrics[score.name] <= score.high
    assert trained.metrics["train_seconds"] > 0 and trained.metrics["images_per_s"] > 0
    assert [step for step, metrics in seen if score.name in metrics] == [2, 4, 6]
    assert {step for step, metrics in seen if "loss" in metrics} >= {2, 4, 6}
    assert all({"loss", "lr", "images_per_s"} <= metrics.keys() for _, metrics in seen if "loss" in metrics)
    seconds = [metrics["train_seconds"] for _, metrics in seen]
    assert seconds == sorted(seconds)
    assert trained.score_on(SELECT) == trained.metrics[score.name]
    assert trained.samples() is not None


@pytest.mark.parametrize("stopped_after", [long(1), 3, long(STEPS - 1)])
def test_a_stopped_run_goes_on_from_its_folder_as_if_never_stopped(case, tmp_path, stopped_after):
    steps = []
    with pytest.raises(KeyboardInterrupt):
        case.train(folder=tmp_path / "run", should_stop=lambda: steps.append(0) or len(steps) == stopped_after)
    assert len(steps) == stopped_after
    resumed, whole = case.train(folder=tmp_path / "run"), case.train()
    assert (resumed.status, resumed.step) == ("complete", STEPS)
    assert untimed(resumed.metrics) == untimed(whole.metrics)


def test_a_run_in_a_folder_is_the_same_run(case, tmp_path):
    assert untimed(case.train(folder=tmp_path / "run").metrics) == untimed(case.train().metrics)


def test_a_pruned_run_ends_at_an_evaluation_before_the_last(case):
    scores = []

    def second(score):
        scores.append(score)
        return len(scores) == 2

    trained = case.train(should_prune=second)
    assert (trained.status, trained.step) == ("pruned", 4)
    assert trained.metrics[case.its.score.name] == scores[-1]


def test_the_last_score_is_no_reason_to_prune(case):
    asked = []
    trained = case.train(should_prune=lambda score: bool(asked.append(score)))
    assert (trained.status, len(asked)) == ("complete", EVALUATIONS - 1)


def test_a_loss_that_is_lost_ends_the_run(case):
    trained = case.train(optimizer=case.hopeless)
    assert trained.status == "diverged"
    assert 1 <= trained.step < STEPS


def test_a_run_that_takes_too_long_is_given_up(case):
    trained = case.train(case.run(time_limit=1e-9))
    assert trained.status == "timed_out"
    assert trained.step < STEPS


def test_a_budget_in_seconds_is_kept(case):
    trained = case.train(case.run(budget=Budget(seconds=0.05, evaluations=1)))
    assert trained.status == "complete"
    assert trained.metrics["train_seconds"] >= 0.05
    assert case.its.score.name in trained.metrics


def test_a_run_crosses_processes_and_machines_as_text(case):
    run = case.run()
    trial = TrialSpec(
        phase="tune",
        index=0,
        optimizer="sgd",
        hyperparameters={"lr": 0.1},
        data_digest="feed",
        workload=case.its.name,
        train=run,
    )
    again = TrialSpec.model_validate_json(trial.model_dump_json())
    assert (again, again.id) == (trial, trial.id)
    assert isinstance(again.train, case.its.run)
    assert again.with_data(case.data / "elsewhere").id == trial.id


def test_costs_are_measured_for_each_optimizer(case):
    runs = dict.fromkeys(("one", "other"), case.run())
    pieces = []
    costs = case.its.costs(runs, dict.fromkeys(runs, case.good), seconds=60.0, on_costs=pieces.append)
    assert costs.step_s.keys() == runs.keys()
    assert all(seconds > 0 for seconds in costs.step_s.values())
    assert costs.memory_bytes > 0
    assert costs.evaluated and costs.step_by == "steps"
    assert pieces and not pieces[0].evaluated, "steps are told before an evaluation is measured"


def test_where_the_time_is_over_the_steps_are_still_measured(case):
    runs = dict.fromkeys(("one", "other"), case.run())
    pieces = []
    costs = case.its.costs(runs, dict.fromkeys(runs, case.good), seconds=0.0, on_costs=pieces.append)
    assert pieces[0].step_s["one"] > 0 and pieces[0].setup_s >= 0
    assert costs.step_s.keys() == runs.keys()


def test_losses_of_a_trained_pose_network_are_measured_as_in_its_training(tiny):
    its = workload(POSE)
    own = its.settings(network="small", size=64, augment=False, foreground_weight=3.0)
    case = Case(its, own, partial(torch.optim.Adam, lr=1e-3), None, tiny)
    trained = case.train(case.run(budget=Budget(steps=1, evaluations=1)))
    names = ("val_loss", "reference_loss")
    assert trained.losses_on(SELECT) == pytest.approx({name: trained.metrics[name] for name in names})


def test_only_whole_runs_have_the_scores_of_coco():
    own = {field.name for field in fields(Scores)} - {"images", "people"}
    assert workload(POSE).final_metrics == own | {"ap_best", "ap_best_step", "reference_loss"}


# --- the valley's own truth -----------------------------------------------------------------------------------------


def descent(rate, **own):
    its = Valley()
    case = Case(its, its.settings(noise=0.0, **own), partial(torch.optim.SGD, lr=rate), None, None)
    run = case.run(data="/nowhere", budget=Budget(steps=200, evaluations=1), schedule="constant")
    return case.train(run)


def test_plain_gradient_descent_is_fastest_at_the_rate_that_theory_names():
    losses = {factor: descent(factor * best_rate()).metrics["val_loss"] for factor in (0.5, 0.8, 1.0, 1.08)}
    assert min(losses, key=losses.get) == 1.0


def test_plain_gradient_descent_diverges_above_the_rate_that_theory_names():
    assert descent(0.98 * last_rate()).status == "complete"
    assert descent(1.2 * last_rate()).status == "diverged"


# --- names and scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("poes", "'poes': is neither a workload that ships (pose) nor a path package.module:NAME"),
        (
            "no_such_package.valleys:Valley",
            "cannot be loaded here (ModuleNotFoundError: No module named 'no_such_package'",
        ),
        (
            "tests.support.valley:Vale",
            "cannot be loaded here (AttributeError: module 'tests.support.valley' has no attribute 'Vale'",
        ),
    ],
)
def test_a_workload_that_is_not_there_is_named(name, message):
    with pytest.raises(SettingsError) as refused:
        workload(name)
    assert message in str(refused.value)


class Other(Valley):
    """A valley that calls itself as its base does."""


def test_a_workload_that_calls_itself_otherwise_is_refused():
    """Trials name their workload, and workers look for that name."""
    with pytest.raises(SettingsError, match=r"has the name .tests\.support\.valley:Valley."):
        workload(f"{__name__}:Other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":Valley", "is neither a workload that ships (pose) nor a path package.module:NAME"),
        ("math:pi", "does not follow the workload protocol: it has no budget_unit, check, costs,"),
    ],
)
def test_something_else_at_a_path_is_refused_in_words(name, message):
    with pytest.raises(SettingsError) as refused:
        workload(name)
    assert message in str(refused.value)


class Unbounded(Valley):
    """A valley whose score has no worst value, and no margin."""

    score = Score("loss", "minimize", low=0.0, high=math.inf)


class Named(Valley):
    """A valley whose score has a name that is no metric's."""

    score = replace(Valley.score, name="AP at 50 %")


class Beyond(Valley):
    """A valley whose failed runs score outside the range."""

    score = Score("accuracy", failure=-1.0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Unbounded, ["failure (inf) must be a finite score", "margin (inf) must be a positive number"]),
        (Named, ["name 'AP at 50 %' must be a word such as `accuracy`"]),
        (Beyond, ["failure (-1) must be from low (0) to high (1)"]),
    ],
)
def test_a_score_that_cannot_be_used_is_refused_in_words(kind, words, monkeypatch):
    monkeypatch.setitem(workloads.WORKLOADS, kind.__name__, f"{__name__}:{kind.__name__}")
    monkeypatch.setattr(workloads.importlib, "import_module", lambda name: type("module", (), {kind.__name__: kind}))
    workload.cache_clear()
    try:
        with pytest.raises(SettingsError, match=f"workload '{kind.__name__}': its score cannot be used") as refused:
            workload(kind.__name__)
    finally:
        workload.cache_clear()
    for word in words:
        assert word in str(refused.value)


# --- study files ----------------------------------------------------------------------------------------------------

DRY = ("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--dry-run")


def refused(posebench, file, *arguments, kind="optimizers"):
    code, out, err = posebench("study", kind, *DRY[2:4], *DRY[4:6], "--study", file, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return " ".join(err.split())


@pytest.mark.parametrize("kind", ["optimizers", "joint"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[workload]\nname = "poes"\n', ["x.toml:2: workload.name", "'poes'", "package.module:NAME"]),
        ("[workload]\nname = 7\n", ["x.toml:2: workload.name"]),
        (
            f'[workload]\nname = "{VALLEY}"\nnoise = 0.1\nnosie = 0.2\n',
            ["x.toml:4: workload.nosie: there is no such setting", "got 0.2"],
        ),
        (f'[workload]\nname = "{VALLEY}"\n\nnoise = -1\n', ["x.toml:4: workload.noise", "got -1"]),
        (f'network = "small"\n[workload]\nname = "{VALLEY}"\n', ["x.toml:1: network: is a setting of the workload"]),
        (f'\nsize = 64\n[workload]\nname = "{VALLEY}"\n', ["x.toml:2: size: is a setting of the workload `pose`"]),
        ('[workload]\nname = "pose"\nsize = 64\n', ["x.toml:3", "size", "stand at the top level"]),
        ("[workload]\nnetwork = 'small'\n", ["x.toml:2", "network", "stand at the top level"]),
    ],
)
def test_what_is_wrong_in_a_study_file_is_named_with_its_line(posebench, hermetic, kind, text, words):
    (hermetic / "x.toml").write_text(text)
    said = refused(posebench, "x.toml", kind=kind)
    for word in words:
        assert word in said
    assert sorted(path.name for path in hermetic.iterdir()) == ["x.toml"]


@pytest.mark.parametrize("arguments", [("--size", 64), ("--network", "small"), ("--skip-bad",)])
def test_a_typed_setting_of_pose_alone_is_refused_beside_another_workload(posebench, valley_file, arguments):
    said = refused(posebench, valley_file(), *arguments)
    assert f"{arguments[0].strip('-').replace('-', '_')}: is a setting of the workload `pose`" in said
    assert VALLEY in said


def test_pose_by_its_name_is_the_study_without_one(tiny, hermetic):
    (hermetic / "named.toml").write_text('[workload]\nname = "pose"\n')
    typed = {"data": tiny, "device": "cpu"}
    assert (
        prepared("optimizers", typed, hermetic / "named.toml", "smoke", None).spec
        == prepared("optimizers", typed, None, "smoke", None).spec
    )
    named = prepared("joint", typed, hermetic / "named.toml", "smoke", None).spec
    assert named == prepared("joint", typed, None, "smoke", None).spec


# --- whole studies --------------------------------------------------------------------------------------------------


@pytest.fixture
def study(posebench, monkeypatch, plain_figures, tracking_uri, storage_url, hermetic):
    """Run a study file of valleys to its end: exit code, its document, its records, what stderr said."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)

    def run(file, *arguments, kind="optimizers"):
        code, out, err = posebench(
            "study", kind, "--preset", "smoke", "--device", "cpu", "--study", file, *arguments, "--json"
        )
        assert out, err
        document = json.loads(out)
        with (hermetic / document["report"]).with_name("records.csv").open() as rows:
            return code, document, list(csv.DictReader(rows)), err

    return run


FEW = 'optimizers = ["sgd", "adam"]\ntrials = 1\nseeds = 1\ntune_steps = 10\nsteps = 10\nevaluations = 2\n'


@pytest.mark.parametrize(
    ("above", "valley", "status", "code"),
    [
        ("", 'fails_at = 3\nonly = "SGD"', "failed", 3),
        long("", 'out_of_memory_at = 3\nonly = "SGD"', "out_of_memory", 3),
        long("trial_time_limit = 0.05\n", "sleep_ms = 20", "timed_out", 3),
        ("[spaces.sgd]\nlr = 5.0\none_minus_momentum = 1.0\n", "", "diverged", 0),
    ],
)
def test_every_end_is_a_row_and_an_exit_code(study, valley_file, hermetic, above, valley, status, code):
    found, document, rows, _ = study(valley_file(valley, above="tunings = 1\n" + FEW.replace("= 10", "= 60") + above))
    assert found == code
    ends = {(row["optimizer"], row["status"]) for row in rows}
    others = "timed_out" if status == "timed_out" else "complete"
    assert ends == {("sgd", status), ("adam", others)}
    count = len([row for row in rows if row["status"] == status])
    assert (document["status"], document["trials"][status]) == ("complete", count)
    page = (hermetic / document["report"]).read_text()
    if status in ("failed", "out_of_memory"):
        assert {"failed": "RuntimeError: the valley has ended", "out_of_memory": "MemoryError"}[status] in page


def test_the_study_file_of_a_report_plans_the_same_trials(study, valley_file, posebench, made_up_costs, hermetic):
    _, document, rows, _ = study(valley_file("noise = 0.25", above="tunings = 1\n" + FEW))
    file = (hermetic / document["report"]).with_name("study.toml")
    code, out, err = posebench("study", "optimizers", "--study", file, "--preset", "smoke", "--dry-run", "--json")
    assert code == 0, err
    planned = json.loads(out)
    assert [trial["id"] for trial in planned["plan"]] == [row["trial_id"] for row in rows if row["phase"] == "tune"]
    assert planned["spec"]["workload"]["noise"] == 0.25
    valley_file("noise = 0.5", above="tunings = 1\n" + FEW)
    code, _, err = posebench("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--study", "valley.toml")
    assert code == 2, "the same name, another valley"
    assert "workload" in err


JOINT = """
kind = "joint"
optimizers = ["sgd", "adam"]
num_workers = [0]
pin_memory = [false]
batch_size = [2, 4]
trials = 4
startup_trials = 2
images = 40
seeds = 1
"""


def test_a_joint_study_searches_valleys(study, valley_file, posebench, hermetic):
    file = valley_file(above=JOINT)
    code, document, rows, err = study(file, kind="joint")
    assert code == 0, err
    assert document["kind"] == "joint"
    assert [row["phase"] for row in rows[:4]] == ["search"] * 4
    assert {row["status"] for row in rows} == {"complete"}
    assert {row["phase"] for row in rows[4:]} == {"confirm"}
    assert all(int(float(row["steps_done"])) == 40 // int(row["batch_size"]) for row in rows)
    assert study(file, kind="joint")[1] == document, "what is finished is shown again"


def test_samplers_are_compared_on_searches_of_a_valley(valley_file, hermetic):
    """Each run is a study of its own, without confirming, read back where it has run."""
    found = prepared("joint", {"data": "."}, hermetic / valley_file(above=JOINT), "smoke", None)
    runs = run_all(found, 1, ("random", "quasi-random"))
    assert list(runs["sampler"]) == ["random"] * 4 + ["quasi-random"] * 4
    assert list(runs.index) == [*range(8)]
    assert (runs["hypervolume"] > 0).any()
    assert run_all(found, 1, ("random",)).equals(runs[:4]), "each has its own seed"


def test_a_workload_without_training_is_refused_before_anything_runs(tmp_path, monkeypatch):
    (tmp_path / "idle_workload.py").write_text(
        "from bench.workloads import Score, Settings, WorkloadBase, WorkloadRun\n"
        "class Idle(WorkloadBase):\n    settings, run, score = Settings, WorkloadRun, Score('accuracy')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match=r"idle_workload:Idle.*cannot be loaded here .*abstract method '?train"):
        workload("idle_workload:Idle")
