"""Optimizers of each convention in a loop for anybody's workload, in records, estimates, speeds and joint studies."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from bench.kinds.optimizers.plan import typical_trials
from bench.measure import own_time
from bench.measure.own_time import CheapSteps, OwnTime
from bench.optimizers import optimizer_entry
from bench.optimizers.check import driving_text
from bench.records.writer import Tracker
from bench.speed import optimizers as speed
from bench.study import probe
from bench.trials.spec import TrialSpec
from bench.trials.training import run_trial
from bench.workloads.loop import STATE_FILE
from posemodel.config import LoaderSettings
from posemodel.errors import SettingsError
from posemodel.training.optimizer_maker import Driving
from tests.support.line import LINE, Line, LineRun
from tests.support.long_tests import long
from tests.support.optimizer_kinds import KINDS
from tests.support.toy_protocols import EVALUATIONS, HERE, PROTOCOLS

BATCH = 4
PATHS = {name: f"{HERE}.{name}" for name in PROTOCOLS}


def line_run(**changes: Any) -> LineRun:
    """A run of twelve gradient evaluations."""
    settings = {
        "data": Path(),
        "val_split": "select",
        "network": "line",
        "steps": 12,
        "seconds": None,
        "evaluations": 3,
        "window": 4,
        "schedule": "constant",
        "precision": "fp32",
        "seed": 0,
        "device": "cpu",
        "loader": LoaderSettings(batch_size=BATCH),
        "time_limit": None,
    }
    return LineRun(**settings | changes)


def maker(name: str, **hyperparameters: Any) -> Any:
    return optimizer_entry(PATHS.get(name, name)).factory(hyperparameters)


def rate(name: str) -> dict[str, float]:
    return {} if name == "WithoutRate" else {"lr": 0.01}


def weights_of(network: nn.Module) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in network.state_dict().values()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def close(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one, other, strict=True))


def test_an_ordinary_optimizer_takes_the_steps_of_a_bare_loop(one_thread):
    line, curve = Line(), []
    found = line.train(line_run(), maker("sgd", lr=0.01), on_metrics=lambda step, new: curve.append((step, set(new))))
    bare = Line()
    run = line_run(steps=1, evaluations=1)
    bare.train(run, lambda _weights: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1))  # its weights are left
    optimizer = torch.optim.SGD(bare.network.parameters(), lr=0.01, momentum=0.9)
    for step in range(1, 13):
        rate = 0.01 * min(1.0, 1 / 1.6 + (1 - 1 / 1.6) * (step - 1) / 0.6)  # warm-up over 0.05 x 12 = 0.6 steps
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        inputs = torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(1000 + step))
        ((bare.network(inputs) - (2 * inputs[:, :1] - inputs[:, 1:])) ** 2).mean().backward()
        optimizer.step()
    assert close(weights_of(line.network), weights_of(bare.network))
    assert (found.status, found.step, line.steps) == ("complete", 12, [*range(1, 13)])
    assert 0 < found.metrics["optimizer_step_ms"] <= 1000 * found.metrics["train_seconds"] / 12
    assert "updates" not in found.metrics
    assert [step for step, _ in curve] == [1, 4, 4, 8, 8, 12, 12]


INTERPOLATING = "tests.support.driven_optimizers.Interpolating"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_budget_counts_gradient_evaluations(name):
    line, curve = Line(), []
    found = line.train(line_run(), maker(name, **rate(name)), on_metrics=lambda step, new: curve.append((step, new)))
    each = EVALUATIONS[name]
    assert (found.status, found.step) == ("complete", 12)
    calls = 1 if name == "Curved" else each  # its other evaluation is a product of the Hessian
    assert line.steps == [step for step in range(1, 12 // each + 1) for _ in range(calls)], "each batch again"
    assert found.metrics.get("updates") == (None if each == 1 else 12 / each)
    assert [step for step, new in curve if "mse" in new] == [4, 8, 12]
    first, *_, last = [(step, new) for step, new in curve if "loss" in new]
    assert first[0] == each
    seconds = last[1]["train_seconds"] - first[1]["train_seconds"]
    assert last[1]["images_per_s"] == pytest.approx((12 - each) * BATCH / seconds)
    assert ("lr" in last[1]) == (name != "WithoutRate")
    assert found.score_on("select") == found.metrics["mse"]
    assert math.isfinite(found.metrics["mse"])


def test_the_last_step_may_pass_the_budget_and_what_was_crossed_is_measured():
    line, scored = Line(), []
    run = line_run(steps=5, evaluations=5, window=5)
    found = line.train(run, maker("MySAM"), on_metrics=lambda step, new: scored.append((step, "mse" in new)))
    assert (found.step, found.metrics["updates"]) == (6, 3)
    assert [step for step, is_score in scored if is_score] == [2, 4, 6]


def test_lbfgs_ends_with_its_budget():
    line = Line()
    found = line.train(line_run(steps=30), maker("torch.optim.LBFGS", lr=0.1))
    assert line.steps[:20] == [1] * 20, "its own limit is 25 evaluations, and 20 iterations"
    assert 30 <= found.step == len(line.steps) <= 31
    assert found.metrics["updates"] == line.steps[-1]


def test_scores_and_the_network_are_at_the_weights_that_are_judged():
    line, trained = Line(), []

    def looked(*_: Any) -> bool:
        trained.append([weight.detach().clone() for weight in line.network.parameters()])
        return False

    found = line.train(line_run(), maker("Averaged"), should_stop=looked)
    assert len(line.seen) == 3 and len(trained) == 12
    means = [torch.stack(weights).mean(0) for weights in zip(*trained, strict=True)]
    assert close(line.seen[-1], means)
    assert not same(line.seen[-1], trained[-1])
    assert same([*line.network.parameters()], line.seen[-1]), "the final network is the one that was scored last"
    assert found.score_on("select") == found.metrics["mse"]


@pytest.mark.parametrize(
    ("evaluations", "after"), [(1, [12]), (3, [4, 8, 12]), (5, [3, 5, 8, 10, 12]), (12, list(range(1, 13)))]
)
def test_evaluations_come_where_their_share_of_the_budget_is_over(evaluations, after):
    after_steps: list[int] = []
    Line().train(
        line_run(evaluations=evaluations),
        maker("sgd", lr=0.01),
        on_metrics=lambda step, metrics, *_: after_steps.append(step) if "mse" in metrics else None,
    )
    assert after_steps == after


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", [*PROTOCOLS, INTERPOLATING])
def test_scores_do_not_change_a_training(name, norm, one_thread):
    ends = []
    for evaluations in (1, 6):
        line = Line()
        line.train(line_run(evaluations=evaluations, norm=norm), maker(name, **rate(name)))
        ends.append(weights_of(line.network))
    assert same(*ends)


@pytest.mark.parametrize(("batch", "begin"), [(BATCH, 1), (24, 10)])
@pytest.mark.parametrize("name", ["Averaged", INTERPOLATING])
def test_batch_norm_has_statistics_of_the_weights_that_are_judged(name, batch, begin, one_thread):
    """From the last batches that have 64 samples together, or from all twelve."""
    line = Line()
    found = line.train(line_run(norm=True, loader=LoaderSettings(batch_size=batch)), maker(name, lr=0.05))
    first, norm, _ = line.network
    with torch.no_grad():
        batches = [
            first(torch.randn(batch, 2, generator=torch.Generator().manual_seed(1000 + s))) for s in range(begin, 13)
        ]
    assert torch.allclose(norm.running_mean, torch.stack([each.mean(0) for each in batches]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([each.var(0) for each in batches]).mean(0), atol=1e-6)
    assert norm.momentum == 0.1
    assert found.score_on("select") == found.metrics["mse"]


@pytest.mark.parametrize("name", [*PROTOCOLS, INTERPOLATING, "adam", "torch.optim.LBFGS"])
def test_a_run_that_was_stopped_goes_on_to_the_bit(name, tmp_path, one_thread):
    run = line_run(steps=24, norm=True, schedule="cosine")
    at_once, stopped, resumed = Line(), Line(), Line()
    expected = at_once.train(run, maker(name, **rate(name)))
    left = iter([name == "torch.optim.LBFGS", True])  # a step of it takes most of the budget
    with pytest.raises(KeyboardInterrupt):
        stopped.train(run, maker(name, **rate(name)), should_stop=lambda: next(left), folder=tmp_path)
    assert (tmp_path / STATE_FILE).is_file()
    found = resumed.train(run, maker(name, **rate(name)), folder=tmp_path)
    assert (found.status, found.step) == ("complete", expected.step)
    assert found.metrics.get("updates") == expected.metrics.get("updates")
    assert found.metrics["mse"] == expected.metrics["mse"]
    assert same(weights_of(resumed.network), weights_of(at_once.network))


def test_an_earlier_version_s_state_is_read(tmp_path, one_thread):
    run, expected, resumed = line_run(), Line(), Line()
    expected.train(run, maker("sgd", lr=0.1))
    left = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        Line().train(run, maker("sgd", lr=0.1), should_stop=lambda: next(left), folder=tmp_path)
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    del state["updates"], state["random"]
    torch.save(state, tmp_path / STATE_FILE)
    found = resumed.train(run, maker("sgd", lr=0.1), folder=tmp_path)
    assert "updates" not in found.metrics
    assert same(weights_of(resumed.network), weights_of(expected.network))


def test_a_fixed_rate_is_that_from_the_first_step_on():
    rates = []
    Line().train(
        line_run(schedule="fixed", window=1),
        maker("sgd", lr=0.1),
        on_metrics=lambda _step, new: rates.append(new.get("lr", 0.1)),
    )
    assert set(rates) == {0.1}


class Clock:
    """A time that passes only where a test lets it."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_the_own_time_of_a_step_is_without_its_evaluations(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(own_time, "time", clock)
    timer = OwnTime(torch.device("cpu"), seconds=1.0)
    with timer.optimizer_step():
        clock.now += 2
        for _ in range(2):
            with timer.not_optimizer():
                clock.now += 100
            clock.now += 0.5
    clock.now += 7
    assert timer.seconds == 4.0


@pytest.mark.parametrize(("name", "evaluations"), [*EVALUATIONS.items(), ("sgd", 1), ("torch.optim.LBFGS", 4)])
def test_cheap_steps_are_real_steps(name, evaluations):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    before = weights_of(network)
    steps = CheapSteps(network, maker(name, **rate(name)))
    for _ in range(3):
        seconds, counted = steps.step()
        assert seconds > 0
        assert evaluations <= counted <= evaluations + (name == "torch.optim.LBFGS")
    assert not same(before, weights_of(network))


@pytest.mark.parametrize(
    ("driving", "text"),
    [
        (Driving(), None),
        (Driving("only"), "step(closure)"),
        (Driving("only", away=True), "step(closure) at other weights"),
        (Driving("after_gradients"), "gradients, then step(closure)"),
        (Driving(graph=True), "step(), create_graph"),
        (Driving(modes=True), "step(), train() and eval()"),
    ],
)
def test_driving_in_words(driving, text):
    assert driving_text(driving) == text


def line_trial(name: str, **changes: Any) -> TrialSpec:
    return TrialSpec(
        phase="tune",
        index=0,
        optimizer=PATHS.get(name, name),
        hyperparameters=rate(name),
        weight_decay=0.0,
        data_digest="line",
        workload=LINE,
        train=line_run(**changes),
    )


@pytest.mark.parametrize(
    ("name", "driving", "each"),
    [
        ("sgd", None, None),
        ("ByModule", None, None),
        ("Averaged", "step(), train() and eval()", None),
        ("MySAM", "gradients, then step(closure)", 2.0),
        ("Curved", "step(), create_graph", 2.0),
    ],
)
def test_a_record_says_how_it_was_driven(name, driving, each):
    record = run_trial(line_trial(name)).record
    assert (record.status, record.steps_done) == ("complete", 12)
    assert (record.driving, record.gradient_evaluations_per_update) == (driving, each)
    row = record.as_row()
    assert ("driving" in row) == (driving is not None)
    assert ("gradient_evaluations_per_update" in row) == (each is not None) == ("updates" in row)


def test_a_record_is_read_as_it_was_written(tracking_uri, valley_spec):
    spec = valley_spec()
    tracker = Tracker(tracking_uri, spec.name)
    parent = tracker.open_study(spec, {})
    trials = [line_trial(name) for name in ("sgd", "MySAM")]
    trials[1] = trials[1].model_copy(update={"own_schedule": "constant"})
    assert trials[1].id == line_trial("MySAM").id
    records = [run_trial(trial).record for trial in trials]
    for trial, record in zip(trials, records, strict=True):
        tracker.record_trial(tracker.start_trial(trial, parent), record, [])
    assert [tracker.recorded(trial.id) for trial in trials] == records
    rows = tracker.records().set_index("optimizer")[["driving", "gradient_evaluations_per_update"]]
    assert rows.loc[PATHS["MySAM"]].to_list() == ["gradients, then step(closure)", 2.0]
    assert rows.loc["sgd"].isna().all()
    assert tracker.records().set_index("optimizer")["schedule"].dropna().to_dict() == {PATHS["MySAM"]: "constant"}
    written = [run.data.params.get("schedule") for run in tracker.closed_runs()]
    assert sorted(written, key=str) == [None, "constant"]


def test_records_of_ordinary_trials_have_no_schedule():
    assert "schedule" not in run_trial(line_trial("sgd")).record.as_row()


def test_speeds_of_any_optimizers_are_measured(monkeypatch):
    monkeypatch.setattr(speed, "NETWORK", "small")
    names = ["sgd", PATHS["MySAM"], PATHS["Averaged"], PATHS["WithoutRate"]]
    rows = {row.name: row for row in speed.measure(torch.device("cpu"), names=names, repeats=3)}
    assert list(rows) == names
    sam = rows[PATHS["MySAM"]]
    assert (sam.facts["gradient_evaluations"], sam.facts["driving"]) == (2.0, "gradients, then step(closure)")
    assert sam.facts["implementation"] == PATHS["MySAM"]
    assert sam.max_ratio is None and sam.median_ms > 0 and sam.repeats == 3
    assert "gradient_evaluations" not in rows["sgd"].facts and "driving" not in rows["sgd"].facts
    assert rows[PATHS["Averaged"]].facts["driving"] == "step(), train() and eval()"
    moments = 4 * 688_408  # bytes of one float32 for each weight
    assert rows[PATHS["Averaged"]].facts["state_bytes"] // moments == 2
    assert rows[PATHS["WithoutRate"]].facts["state_bytes"] == 0


def test_what_cannot_train_has_its_reason_beside_the_others(posebench, monkeypatch):
    monkeypatch.setattr(speed, "NETWORK", "small")
    sparse = "torch.optim.SparseAdam"
    options = ("--device", "cpu", "--repeats", 3, "--json")
    code, out, err = posebench("speed", "optimizers", "--optimizer", "sgd", "--optimizer", sparse, *options)
    assert code == 0, err
    document = json.loads(out)
    assert [row["name"] for row in document["results"]] == ["sgd"]
    assert "sparse gradients" in document["skipped"][sparse]
    code, _out, err = posebench("speed", "optimizers", "--optimizer", sparse, *options)
    assert code == 2 and "sparse gradients" in err


def test_nothing_to_measure_is_an_error():
    with pytest.raises(SettingsError, match="no optimizer is called 'adamm', did you mean"):
        speed.trainable(["adamm"])


@pytest.mark.long
def test_a_joint_search_over_conventions_is_run_and_resumed(posebench, hermetic, stores, measured_here):
    names = ["sgd", PATHS["MySAM"], PATHS["Averaged"]]
    study = (
        *("study", "joint", "--preset", "smoke", "--workload", LINE, "--name", "kinds", "--sampler", "random"),
        *("--optimizers", ",".join(names), "--num-workers", 0, "--batch-size", "4,8", "--images", 160, "--trials", 12),
        *(part for name in names[1:] for part in ("--space", f"{name}:lr=log(1e-3,1e-2)")),
    )
    options = ("--device", "cpu", "--json")
    code, out, err = posebench(*study, *options, "--dry-run")
    assert code == 0, err
    assert json.loads(out)["estimate"]["step_s"].keys() == set(names)
    code, out, err = posebench(*study, *options)
    assert code == 0, err
    document = json.loads(out)
    assert document["trials"]["complete"] + document["trials"]["diverged"] == document["trials"]["planned"]
    records = pd.read_csv(hermetic / "reports" / "kinds" / "records.csv")
    complete = records[records["status"] == "complete"]
    assert set(complete["optimizer"]) == set(names), "each was tried"
    assert (complete["steps_done"] * complete["batch_size"] == 160).all(), "equal budgets, in images"
    sam = complete[complete["optimizer"] == PATHS["MySAM"]]
    assert (sam["gradient_evaluations_per_update"] == 2).all() and (sam["updates"] == sam["steps_done"] / 2).all()
    assert (hermetic / "reports" / "kinds" / "report.md").is_file()
    assert json.loads(posebench("study", "resume", "kinds", "--json")[1])["front"] == document["front"]


@pytest.mark.parametrize("first", [PATHS["MySAM"], long("torch.optim.LBFGS")], ids=["SAM", "LBFGS"])
def test_the_costs_of_a_step_are_those_of_a_gradient_evaluation(tiny_spec, first):
    """On a pose network, with each convention as the one whose steps are really taken."""
    names = ["sgd", PATHS["MySAM"], PATHS["Curved"], PATHS["Averaged"], "torch.optim.LBFGS"]
    trials = typical_trials(tiny_spec(optimizers=names, tune_steps=30, steps=30))
    pieces: list[Any] = []
    probe.costs_of({first: trials[first], **trials}, 60.0, pieces.append)
    assert [each.step_by for each in pieces[:2]] == ["first step", "steps"]
    assert pieces[-1].evaluated and pieces[-1].step_s.keys() == set(names)
    assert all(seconds > 0 for seconds in pieces[-1].step_s.values())


def test_a_plan_over_steps_is_refused_where_only_a_time_is_known(posebench, tiny, hermetic, monkeypatch, made_up_costs):
    (hermetic / "own_plans.py").write_text(KINDS)
    monkeypatch.syspath_prepend(str(hermetic))
    study = ("study", "optimizers", "--preset", "smoke", "--dry-run", "--data", tiny)
    study += ("--optimizers", "own_plans.Planned")
    code, _out, err = posebench(*study, "--tune-seconds", "5", "--seconds", "5")
    assert code == 2
    assert "optimizer own_plans.Planned: num_iterations is the number of steps of the training" in err
    spaced = ("--space", "own_plans.Planned:num_iterations=50,lr=log(1e-3,1e-1)")
    assert posebench(*study, "--tune-seconds", "5", "--seconds", "5", *spaced)[0] == 0
    assert posebench(*study)[0] == 0
