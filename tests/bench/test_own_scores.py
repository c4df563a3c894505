"""Workloads with scores of their own, minimized or in percent: from a study file to verdict, tables, figures, JSON."""

import csv
import json
import math
import time
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState, create_trial

from bench.kinds.optimizers import trial as optimizers_trial
from bench.kinds.optimizers.kind import target_fault
from bench.kinds.optimizers.measure import AP, measure_of
from bench.kinds.optimizers.plan import outcomes_of
from bench.kinds.optimizers.report.file_names import finalist_with_file_names, with_file_names
from bench.kinds.optimizers.search import Search, TrialOutcome, finalist, next_points
from bench.kinds.optimizers.size import Size
from bench.records.mlflow_views import SavedView, saved_views
from bench.records.reader import CURVE_METRICS, EXPECTED_METRICS, RUN_COLUMNS
from bench.report import findings_write
from bench.study.progress import Progress
from bench.trials.progress import EndedTrial
from bench.trials.record import Record
from bench.trials.score_scale import collapse_floor
from bench.trials.scores import as_gains
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from bench.trials.training import run_trial
from bench.workloads import SELECT, Assignment, Budget, Score, train_steps, workload
from bench.workloads.score import TAKEN_NAMES
from posemodel.config import LoaderSettings
from tests.support.empty_pictures import SVG, empty_figure
from tests.support.kept import described_figures
from tests.support.scored_valleys import FAILURE, LOSS_VALLEY, PERCENT_VALLEY, LossValley

LOSS = workload(LOSS_VALLEY).score
MEASURE = measure_of("ap", workload(LOSS_VALLEY))
NAN = float("nan")
SCORES = (
    Score("share"),
    Score("accuracy", high=100, chance=8.002),
    Score("val_error", "minimize", chance=0.143),
)
"""Scores of which a fiftieth of the range above chance is 0.02, 10.002 and 0.123."""


# --- the score ------------------------------------------------------------------------------------------------------


def test_what_a_score_leaves_open_follows_from_its_range():
    assert Score("accuracy", high=100.0) == Score("accuracy", "maximize", 0.0, 100.0, 0.0, 0.0, 0.5)
    error = Score("val_error", "minimize")
    assert (error.chance, error.failure, error.margin, error.faults()) == (1.0, 1.0, 0.005, [])
    unbounded = Score("cross_entropy", "minimize", high=math.inf, failure=20.0, margin=0.01)
    assert (unbounded.chance, unbounded.scale, unbounded.faults()) == (20.0, 2.0, [])


@pytest.mark.parametrize(
    ("score", "fault"),
    [
        (Score("error"), "name 'error' is that of a column of the suite's own: take another, such as `val_error`"),
        (Score("gpu_memory_bytes"), "is that of a column"),
        (Score("accuracy", high=100, chance=10, failure=20), "failure (20) must not be better than chance (10)"),
        (Score("val_error", "minimize", chance=0.5, failure=0.2), "failure (0.2) must not be better than chance (0.5)"),
        (Score("accuracy", high=100, chance=99), "chance (99) must leave room for better scores: a run has learned"),
        (Score("val_error", "minimize", chance=0.01), "from -0.01 on, which is outside 0 to 1"),
        (Score("accuracy", high=100, chance=98.01), "from 100.01 on, which is outside 0 to 100"),
        (Score("accuracy", low=1, high=1, margin=1), "low (1) must be below high (1)"),
        (Score("accuracy", chance=1.1), "chance (1.1) must be from low (0) to high (1)"),
        (Score("accuracy", margin=0), "margin (0) must be a positive number"),
        (Score("accuracy", margin=-1), "margin (-1) must be a positive number"),
        (Score("accuracy", "up"), "direction 'up' must be `maximize` or `minimize`"),
    ],
)
def test_a_score_that_cannot_judge_runs_has_a_fault(score, fault):
    (found,) = score.faults()
    assert fault in found


def test_a_score_may_be_at_the_ends_of_what_is_possible():
    assert Score("accuracy", high=100, chance=98, failure=98).faults() == [], "a fiftieth of the range is left"
    assert Score("val_error", "minimize", chance=0.02, failure=1).faults() == []


def test_no_score_has_the_name_of_a_column_of_the_suite():
    columns = {*(field.name for field in fields(Record)), *EXPECTED_METRICS, *CURVE_METRICS, *RUN_COLUMNS}
    assert columns - {"ap"} <= TAKEN_NAMES
    measured = {*train().metrics} - workload(LOSS_VALLEY).final_metrics
    assert measured <= TAKEN_NAMES


def test_a_score_is_within_its_range_up_to_rounding():
    percent = Score("accuracy", high=100)
    assert percent.in_range(100 + 0.98e-7) and percent.in_range(-0.98e-7)
    assert not percent.in_range(100 + 1.02e-7) and not percent.in_range(-1.02e-7)
    assert not any(map(percent.in_range, (100.1, -0.1, NAN, math.inf)))
    assert LOSS.in_range(1e9) and not LOSS.in_range(-0.1)


def test_an_ap_of_another_workload_has_that_one_s_samples():
    measure = measure_of("ap", SimpleNamespace(score=AP.own, sample_name="dogs"))
    assert (measure.name, measure.samples, measure.is_ap, measure.is_own) == ("AP", "dogs", True, False)


def test_the_floor_is_shown_as_it_is():
    of = {score: measure_of("ap", SimpleNamespace(score=score, sample_name="dogs")).floor_text for score in SCORES}
    assert list(of.values()) == ["0.02", "10.002", "0.123"]


def test_a_study_whose_class_cannot_be_imported_shows_a_plain_score(make_spec):
    size = Size.of(make_spec().identity() | {"workload": {"name": "nowhere:Own"}})
    assert size.columns == ("tune", "best score", "confirm", "mean score", "samples/s")
    failed = EndedTrial("a", "confirm", size.optimizers[0], Status.FAILED)
    row = size.rows(Progress(size, {"a": failed}))[0]
    assert (row.confirm_done, row.best_tune_score, row.mean_confirm_score) == (1, None, None)


@pytest.mark.parametrize(
    ("score", "target", "words"),
    [
        (AP.own, 0, "must be more than 0"),
        (AP.own, 0.3, ""),
        (AP.own, 3, "must be 1 or less"),
        (LOSS, 1, "must be less than 1"),
        (LOSS, 0.2, ""),
        (LOSS, -1, "must be 0 or more"),
        (Score("log_likelihood", low=-math.inf, high=0, chance=-9, failure=-20, margin=0.1), -3, ""),
    ],
)
def test_a_target_is_better_than_chance_and_within_the_range(score, target, words):
    assert target_fault(target, score) == words


def test_a_gain_is_higher_the_better_and_0_for_a_failed_run():
    gains = LOSS.gain(np.array([0.123456789, 1.0, FAILURE]))
    assert gains.tolist() == [FAILURE - 0.123456789, FAILURE - 1, 0]
    assert LOSS.at(gains).tolist() == [0.123456789, 1.0, FAILURE], "without the rounding of the way"
    assert LOSS.gains == (-math.inf, FAILURE)
    assert AP.own.gain(0.3) == AP.own.at(0.3) == 0.3
    assert Score("accuracy", high=100).gains == (0, 100)


@pytest.mark.parametrize(
    ("failure", "kept"),
    [(1000.0, 0.0123456789), (20.0, 0.01234567891), (0.5, 0.0123456789124), (0.05, 0.01234567891236)],
)
def test_a_score_that_was_a_gain_has_13_digits_with_those_of_a_failed_run_before_the_point(failure, kept):
    unbounded = Score("cross_entropy", "minimize", high=math.inf, failure=failure, margin=0.01)
    assert unbounded.at(unbounded.gain(0.012345678912362)) == kept


def test_it_is_at_chance_up_to_a_fiftieth_of_its_range():
    assert LOSS.at(collapse_floor(LOSS)) == 0.98
    assert collapse_floor(Score("accuracy", high=100, chance=10)) == 12
    assert collapse_floor(AP.own) == 0.02


def test_the_measure_turns_gains_back_where_they_are_shown():
    assert MEASURE.text(FAILURE - 0.25) == "0.250"
    assert MEASURE.interval(FAILURE - 0.25, FAILURE - 0.5, FAILURE - 0.125) == "0.250 [0.125, 0.500]"
    assert MEASURE.difference(0.25, -0.125, 0.5) == "-0.250 [-0.500, +0.125]"
    assert MEASURE.text(NAN) == "-"
    assert (MEASURE.worse, MEASURE.highest, MEASURE.failure_text) == ("above", "lowest", "1000")
    assert MEASURE.axis_label("report") == "remaining_loss (report split)\nlower is better"
    percent = measure_of("ap", workload(PERCENT_VALLEY))
    assert (percent.text(91.26), percent.difference(-1.0, -2.04, 0.5)) == ("91.3", "-1.0 [-2.0, +0.5]")
    assert percent.samples == "digits"


def test_in_files_scores_are_turned_back_and_the_ends_of_intervals_change_places():
    frame = pd.DataFrame(
        {
            "ap_mean": [999.75],
            "ap_low": [999.5],
            "ap_high": [999.875],
            "score_mean": [999.0],
            "tune_ap": [NAN],
            "n": [3],
        }
    )
    (row,) = with_file_names(frame, MEASURE).to_dict("records")
    learned = {name: row[f"score_learned_{name}"] for name in ("mean", "low", "high")}
    assert learned == {"mean": 0.25, "low": 0.125, "high": 0.5}
    assert (row["score_mean"], row["n"]) == (1.0, 3)
    assert all(math.isnan(row[name]) for name in ("ap_mean", "ap_low", "ap_high", "tune_ap", "tune_score"))
    pairs = pd.DataFrame({"a": ["adam"], "mean_difference": [0.25], "low": [-0.125], "high": [0.5]})
    (pair,) = with_file_names(pairs, MEASURE).to_dict("records")
    assert pair == {"a": "adam", "mean_difference": -0.25, "low": -0.5, "high": 0.125}
    finalist_row = {"tune_score": 999.5, "scores": [0.0, 999.75], "ap_select": 999.0}
    assert finalist_with_file_names(finalist_row, MEASURE) == {
        "tune_score": 0.5,
        "scores": [FAILURE, 0.25],
        "ap_select": None,
        "score_select": 1.0,
    }


# --- planning and pruning -------------------------------------------------------------------------------------------


def test_records_are_read_as_gains():
    records = pd.DataFrame(
        {"index": [0, 1, 2], "status": ["complete", "diverged", "pruned"], "remaining_loss": [0.25, NAN, NAN]}
    )
    gains = as_gains(records, LOSS)
    assert gains["ap"].tolist()[:1] == [999.75] and gains["ap_select"].isna().all()
    assert outcomes_of(records, "ap", LOSS) == {
        0: TrialOutcome(999.75),
        1: TrialOutcome(None),
        2: TrialOutcome(-math.inf),
    }
    assert as_gains(records, AP.own) is records


def test_a_search_does_not_depend_on_where_the_score_of_a_failed_run_lies():
    scores = [0.0, 0.1, 0.5, 0.9, 0.8]

    def found(offset):
        search = Search((0.5,), (0,), 0, 12, "seed", offset + 0.02, offset)
        rounds, outcomes = [], []
        for _ in search.rounds:
            rounds.append(next_points(search, rounds, outcomes))
            reached = (scores[number % len(scores)] for number in range(len(rounds[-1])))
            outcomes.append([TrialOutcome(offset + score) for score in reached])
        return [*rounds[-1], finalist(search, rounds[-1], outcomes[-1])]

    assert np.array(found(FAILURE)) == pytest.approx(np.array(found(0.0)), abs=1e-9)


def test_a_pruner_gets_scores_of_which_higher_is_better():
    """It ends the trial whose score is worse than the median of those before it."""
    study = {"pruner": "median", "trials": 3, "tune_evaluations": 2}
    for name, worse in ((LOSS_VALLEY, 0.9), (PERCENT_VALLEY, 0.1)):
        for score, hopeless in ((worse, True), (1 - worse, False)):
            ledger = RoundOfTrials([workload(name).score.sign * value for value in (0.4, 0.5, 0.6)])
            assert optimizers_trial.pruner(ledger, 3, trial_of(name), study)(score) is hopeless


class RoundOfTrials:
    """As much of a ledger as a pruner reads: complete trials of a round with these scores, and a running one."""

    def __init__(self, scores):
        complete = {"state": TrialState.COMPLETE, "user_attrs": {}}
        self.trials = [create_trial(value=value, intermediate_values={1: value}, **complete) for value in scores]
        self.trials.append(create_trial(state=TrialState.RUNNING))
        for key, trial in enumerate(self.trials):
            trial._trial_id = key

    def begin_evaluations(self, *_noted):
        """Nothing is kept."""

    def note_evaluation(self, *_noted):
        """Nothing is kept."""

    def trials_of_same_round(self, _spec):
        """The trials."""
        return self.trials


# --- the base class and its loop ------------------------------------------------------------------------------------


def run_of(name, **changes):
    its = workload(name)
    assignment = Assignment(
        data=".",
        split=SELECT,
        budget=Budget(steps=6, evaluations=3, window=2),
        schedule="cosine",
        precision="fp32",
        loader=LoaderSettings(batch_size=2),
        seed=3,
        device="cpu",
        time_limit=None,
    )
    return its.plan(its.settings(), replace(assignment, **changes))


def trial_of(name):
    fixed = {"phase": "tune", "index": 0, "optimizer": "sgd", "hyperparameters": {"lr": 0.1}, "data_digest": "feed"}
    return TrialSpec(**fixed, workload=name, train=run_of(name))


def train(run=None, rate=0.5, **calls):
    its = workload(LOSS_VALLEY)
    return its.train(run or run_of(LOSS_VALLEY), lambda weights: torch.optim.SGD(weights, lr=rate), **calls)


def untimed(metrics):
    return {name: value for name, value in metrics.items() if not name.endswith(("_s", "_ms", "_seconds"))}


def test_the_loop_measures_what_the_suite_reads():
    seen = []
    trained = train(on_metrics=lambda step, metrics: seen.append((step, metrics)))
    assert (trained.status, trained.step) == ("complete", 6)
    assert [step for step, metrics in seen if "remaining_loss" in metrics] == [2, 4, 6]
    assert {step for step, metrics in seen if "loss" in metrics} == {1, 2, 4, 6}
    assert trained.metrics["remaining_loss_best"] == trained.metrics["remaining_loss"] < 1
    assert trained.metrics["optimizer_step_ms"] < 1000 * trained.metrics["train_seconds"] / 6
    assert trained.score_on(SELECT) == trained.metrics["remaining_loss"]
    assert untimed(train().metrics) == untimed(trained.metrics)
    assert untimed(train(run_of(LOSS_VALLEY, seed=4)).metrics) != untimed(trained.metrics)


def test_a_stopped_run_goes_on_as_if_never_stopped(tmp_path):
    steps = []
    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, should_stop=lambda: steps.append(0) or len(steps) == 3)
    assert untimed(train(folder=tmp_path).metrics) == pytest.approx(untimed(train().metrics))


def test_the_loop_ends_runs_that_are_lost_late_or_hopeless():
    assert train(rate=1e300).status == "diverged"
    assert train(rate=40.0).status == "diverged", "a score that is not finite is none"
    assert train(run_of(LOSS_VALLEY, time_limit=1e-9)).status == "timed_out"
    pruned = train(should_prune=lambda _score: True)
    assert (pruned.status, pruned.step) == ("pruned", 2)
    timed = train(run_of(LOSS_VALLEY, budget=Budget(seconds=0.02, evaluations=1)))
    assert timed.status == "complete" and timed.metrics["train_seconds"] >= 0.02


def test_the_speed_leaves_the_first_step_out(monkeypatch):
    network = torch.nn.Linear(1, 1)

    def loss(step):
        time.sleep(0.2 if step == 1 else 0.0)
        return network.weight.sum()

    def speed_of(steps):
        run, rate = run_of(LOSS_VALLEY, budget=Budget(steps=steps, evaluations=1)), 0.1
        calls = {"loss": loss, "score_on": lambda _split: 0.5}
        return train_steps(run, network, lambda weights: torch.optim.SGD(weights, lr=rate), LOSS, **calls).metrics

    assert speed_of(4)["images_per_s"] > 2 * 4 / 0.2 > 2 / 0.2 > speed_of(1)["images_per_s"]
    assert "data_wait_share" not in speed_of(1)


class Misjudged(LossValley):
    """A valley that says 2 where at most 1 is possible, or nothing."""

    score = Score("share", high=1)
    said: float | None = 2.0

    def train(self, run, make_optimizer, **calls):
        """Descend, and say something else."""
        trained = super().train(run, make_optimizer, **calls)
        trained.metrics.pop("share")
        trained.metrics.update({} if self.said is None else {"share": self.said})
        return trained


@pytest.mark.parametrize(("said", "words"), [(2.0, "has 2"), (None, "lacks it"), (NAN, "has nan")])
def test_a_run_without_a_possible_score_has_failed(said, words, monkeypatch):
    monkeypatch.setattr(Misjudged, "said", said)
    record = run_trial(trial_of(f"{__name__}:Misjudged")).record
    assert record.status == Status.FAILED
    assert f"workload {__name__}:Misjudged: the score of a run that ended as complete must be" in record.error
    assert f"a number from 0 to 1, in its metrics as 'share'; this run {words}." in record.error
    monkeypatch.setattr(Misjudged, "said", 1 + 1e-12)
    assert run_trial(trial_of(f"{__name__}:Misjudged")).record.status == Status.COMPLETE


def test_costs_are_measured_by_the_base_class(monkeypatch):
    monkeypatch.setattr("bench.workloads.base._gpu_memory", lambda: 7)
    its, heard = workload(LOSS_VALLEY), []
    runs = dict.fromkeys(("one", "other"), run_of(LOSS_VALLEY))
    factories = dict.fromkeys(runs, lambda weights: torch.optim.SGD(weights, lr=0.1))
    costs = its.costs(runs, factories, seconds=60.0, on_costs=heard.append)
    assert costs.step_s.keys() == runs.keys() and costs.evaluated and costs.memory_bytes > 10**7
    assert heard[-1] == costs and costs.gpu_memory_bytes == 7
    assert its.costs(runs, factories, seconds=0.0, on_costs=heard.append).step_s.keys() == {"one"}


# --- whole studies --------------------------------------------------------------------------------------------------

STUDY = """
optimizers = ["adam", "sgd", "rmsprop"]
tunings = 3
trials = 1
seeds = 1
tune_steps = 20
steps = 40
evaluations = 2
target = {target}

[spaces.adam]
lr = 0.02
one_minus_beta1 = 0.1
one_minus_beta2 = 0.001
[spaces.sgd]
effective_lr = 0.9
one_minus_momentum = 1.0
[spaces.rmsprop]
lr = 1e30

[workload]
name = "{name}"
"""


@pytest.fixture
def study(posebench, monkeypatch, tracking_uri, storage_url, hermetic):
    """Run a study of a workload to its end: document, pages, tables and descriptions of its figures."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)

    def run(name, target, drawn=None):
        figure_of = findings_write.figure_of
        if drawn is not None:
            chosen = lambda image: (figure_of if image.file in drawn else empty_figure)(image)  # noqa: E731
            monkeypatch.setattr(findings_write, "figure_of", chosen)
        (hermetic / "own.toml").write_text(STUDY.format(name=name, target=target))
        monkeypatch.setattr(findings_write, "as_svg", lambda _figure: SVG)
        with described_figures(monkeypatch) as figures:
            arguments = ("--preset", "smoke", "--device", "cpu", "--study", "own.toml", "--name", "own", "--json")
            code, out, err = posebench("study", "optimizers", *arguments)
        assert code == 0, err
        document = json.loads(out)
        folder = (hermetic / document["report"]).parent
        pages = "\n".join((folder / name).read_text() for name in ("report.md", "appendix.md"))
        tables = {
            name: list(csv.DictReader((folder / f"{name}.csv").open())) for name in ("records", "seeds", "summary")
        }
        return document, " ".join(pages.split()), tables, figures

    return run


@pytest.mark.long
def test_a_study_of_a_score_that_is_minimized(study, posebench):
    document, pages, tables, figures = study(LOSS_VALLEY, 0.2)
    assert document["score"] == {"name": "remaining_loss", "direction": "minimize"}
    rows = {row["name"]: row for row in document["optimizers"]}
    assert list(rows) == ["sgd", "adam", "rmsprop"], "the lowest loss first"
    assert document["best"] == ["sgd"]
    assert rows["sgd"]["score_mean"] < 0.1 < rows["adam"]["score_mean"] < 1
    assert rows["rmsprop"]["score_mean"] == FAILURE and rows["rmsprop"]["score_learned_mean"] is None
    sgd = rows["sgd"]
    assert sgd["score_learned_low"] <= sgd["score_learned_mean"] == sgd["score_mean"] <= sgd["score_learned_high"]
    assert (sgd["target_score"], sgd["targets_reached"]) == (0.2, 3)
    assert rows["adam"]["targets_reached"] == 0
    assert {sgd[name] for name in sgd if "ap" in name.split("_")} == {None}
    pair = next(each for each in document["comparisons"] if (each["a"], each["b"]) == ("adam", "sgd"))
    assert pair["difference"] == pytest.approx(rows["adam"]["score_mean"] - rows["sgd"]["score_mean"], abs=1e-9)
    assert pair["better"] == "b" and pair["low"] < pair["difference"] < pair["high"]

    assert "Use sgd: remaining_loss 0.0" in pages and ", less than each of the others" in pages
    assert "For remaining_loss, lower is better; a run that failed counts as 1000." in pages
    assert "| sgd - adam | -0." in pages
    assert "1000.000" in pages and "samples/s" in pages and "time to remaining_loss 0.2" in pages
    assert "images" not in pages.replace("sample images", "") and " AP " not in pages
    assert "*remaining_loss* (lower is better): mean over" in pages
    assert "tunings with a run above remaining_loss 0.98" in pages

    tuned = [row for row in tables["records"] if row["status"] == "complete" and row["phase"] == "confirm"]
    assert all(0 <= float(row["remaining_loss"]) < 1 and float(row["remaining_loss_select"]) < 1 for row in tuned)
    assert not any(row["ap"] for row in tables["records"])
    counted = {row["optimizer"]: float(row["score_counted"]) for row in tables["seeds"]}
    assert counted["rmsprop"] == FAILURE and counted["sgd"] < counted["adam"]

    labelled = ("seeds.png", "learning-curves.png", "learning-rate.png", "cost.png")
    assert all("remaining_loss" in figures[name] and "lower is better" in figures[name] for name in labelled)
    assert "right of the band: worse" in figures["differences.png"]
    assert "AP" not in "".join(figures.values())

    code, out, err = posebench("compare", "own", Path(document["report"]).parent, "--json")
    assert code == 0, err
    compared = json.loads(out)
    assert compared["score"] == document["score"]
    other = {row["name"]: row for row in compared["optimizers"]}
    assert other["sgd"]["score_learned_a"] == other["sgd"]["score_b"] == rows["sgd"]["score_mean"]
    assert other["sgd"]["ap_a"] is None and other["rmsprop"]["score_a"] == FAILURE
    assert "sgd has the lowest mean remaining_loss in A and in B" in compared["verdict"]

    code, out, err = posebench("study", "status", "own", "--json")
    assert code == 0, err
    progress = {row["name"]: row for row in json.loads(out)["optimizers"]}
    assert progress["sgd"]["best_tune_score"] < progress["adam"]["best_tune_score"]
    assert progress["rmsprop"]["mean_confirm_score"] == FAILURE
    assert progress["sgd"]["best_tune_ap"] is None


def test_a_study_of_a_score_in_percent(study):
    document, pages, _, figures = study(PERCENT_VALLEY, 80, drawn=("learning-curves.png", "differences.png"))
    assert document["score"] == {"name": "accuracy", "direction": "maximize"}
    rows = {row["name"]: row for row in document["optimizers"]}
    assert list(rows) == ["sgd", "adam", "rmsprop"] and document["best"] == ["sgd"]
    assert 90 < rows["sgd"]["score_mean"] <= rows["sgd"]["score_learned_high"] <= 100
    assert rows["rmsprop"]["score_mean"] == 0
    assert (rows["sgd"]["targets_reached"], rows["adam"]["targets_reached"]) == (3, 0)
    assert "For accuracy, higher is better; a run that failed counts as 0." in pages
    assert "exceeds 0.5, by which equally good optimizers may differ" in pages
    assert "digits/s" in pages and "Use sgd: accuracy 100.0, more than each of the others" in pages
    assert "accuracy (report split)" in figures["learning-curves.png"]
    assert "left of the band: worse" in figures["differences.png"]


def test_mlflow_s_views_show_the_score_in_its_order():
    view = SavedView("Confirm", "confirm", ("final.ap", "final.images_per_s"), ()).of_score(
        "loss_left", lower_is_better=True
    )
    assert view.metrics == ["final.loss_left", "final.images_per_s"]
    (tag,) = saved_views([view]).values()
    state = json.loads(json.loads(tag)["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`final.loss_left`", True)
    assert "loss_left" in state["chartsSearchFilter"] and "|ap|" not in state["chartsSearchFilter"]
