"""What a joint study is made of besides its search: settings, lines to paste, needs, who shared a machine."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.cli import live
from bench.kinds.joint import trial as joint_trials
from bench.kinds.joint.kind import KIND, observed
from bench.kinds.joint.plan import PickedConfiguration, plan_confirm, searched_trial
from bench.kinds.joint.sampler_comparison import differences, table
from bench.kinds.joint.trial import predicted_needs, run_trial
from bench.measure.limits import Limits
from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.earlier_spaces import EARLIER
from bench.optimizers.line import optimizer_line
from bench.optimizers.space import as_document
from bench.study.progress import PlanSize, Progress
from bench.study.sessions import most_at_once
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.support import asked


@pytest.fixture
def prepared(tiny, hermetic):
    """A study on a few small images, from typed settings."""

    def prepare(**command_line):
        return asked.prepared("joint", {"data": tiny, "size": 64, "device": "cpu", **command_line}, None, "smoke", None)

    return prepare


def test_a_preset_gives_both_budgets_and_the_objective_takes_its_own(prepared):
    one, other = prepared().spec, prepared(objective="ap-at-time").spec
    assert (one.images, one.seconds, one.objectives) == (480, None, ("ap", "images_per_s"))
    assert (other.images, other.seconds, other.objectives) == (None, 5.0, ("ap",))


def test_a_typed_budget_that_the_objective_has_no_use_for_is_refused(prepared):
    with pytest.raises(SettingsError, match=r"objective ap-and-speed: its budget is images.*seconds"):
        prepared(seconds=3.0)


def test_nothing_is_pinned_where_nothing_copies_from_it(prepared):
    found = prepared(pin_memory="both", num_workers="0,1", batch_size="2,4")
    assert found.spec.pin_memory == (False,)
    assert (found.spec.num_workers, found.spec.batch_size) == ((0, 1), (2, 4))


def test_a_configuration_that_does_not_fit_is_told_before_any_data_is_made(hermetic):
    file = hermetic / "mine.toml"
    file.write_text('[[fixed]]\noptimizer = "adam"\nlr = 3.0\n')
    with pytest.raises(SettingsError, match=r"mine.toml:3: fixed\[0\].lr: must be a number"):
        asked.prepared("joint", {}, file, "smoke", lambda *_: pytest.fail("data were made"))


def test_optimizers_that_are_one_algorithm_are_said(prepared):
    assert KIND.warnings(prepared().spec) == []
    (told,) = KIND.warnings(prepared(optimizers="adam,AdamW,sgd").spec)
    assert told.startswith("adam and AdamW are one algorithm at weight decay 0")
    assert KIND.warnings(prepared(optimizers="adam,AdamW,sgd", weight_decay=0.1).spec) == []


def test_a_study_goes_on_over_the_spaces_that_it_was_begun_over(prepared):
    spec = prepared().spec
    earlier = {name: as_document(EARLIER[name]) for name in spec.optimizers}
    assert KIND.with_stored_settings(spec, {**spec.identity(), "spaces": earlier}).spaces == earlier
    assert KIND.with_stored_settings(spec, spec.identity()) == spec


def test_a_study_is_extended_to_more_trials_and_remembers_its_first_ones(prepared):
    spec = prepared(trials=4).spec
    assert KIND.extend(spec, {"trials": 4}, finished_amounts=()) == spec, "no other study"
    larger = KIND.extend(spec, {"trials": 7}, finished_amounts=())
    assert (larger.trials, larger.first_trials) == (7, 4)
    largest = KIND.extend(larger, {"trials": 1000}, finished_amounts=())
    assert (largest.trials, largest.first_trials) == (1000, 4)
    with pytest.raises(SettingsError, match=r"--trials 1001: a study can have 1000 trials at most"):
        KIND.extend(spec, {"trials": 1001}, finished_amounts=())
    with pytest.raises(SettingsError, match=r"--trials 3: .* already has 4 trials"):
        KIND.extend(spec, {"trials": 3}, finished_amounts=())


def test_what_was_begun_smaller_goes_on_as_it_was_and_is_told_how_to_grow(prepared):
    spec = prepared(trials=7).spec
    begun = {**spec.identity(), "first_trials": 4}
    assert KIND.with_stored_settings(spec, begun).first_trials == 4
    assert KIND.with_stored_settings(spec, {**begun, "trials": 6}).first_trials is None
    smaller = {**spec.identity(), "trials": 5}
    assert f"`posebench study extend {spec.name} --trials 7` makes it larger" in KIND.difference_remedy(spec, smaller)
    assert "makes it larger" not in KIND.difference_remedy(spec, {**spec.identity(), "trials": 8})
    for other in ({**smaller, "seeds": 9}, {**spec.identity(), "seeds": 9}, {}):
        assert "extend" not in KIND.difference_remedy(spec, other)


def test_a_preset_s_configurations_make_way_for_what_is_set(prepared):
    """The smoke preset's two are of adam, with batches of 4 and of 2, and without workers."""
    assert len(prepared().spec.fixed) == 2
    assert [each["batch_size"] for each in prepared(batch_size="4,8").spec.fixed] == [4]
    assert prepared(optimizers=["sgd", "adagrad"]).spec.fixed == ()
    assert prepared(num_workers="1").spec.fixed == ()
    assert len(prepared(trials=1).spec.fixed) == 1
    assert prepared(spaces={"adam": {"lr": {"log": [1e-5, 1e-4]}}}).spec.fixed == ()


def test_a_pick_is_never_skipped(prepared, monkeypatch):
    """It has run before; that little memory is free now says nothing of it."""
    spec = prepared(images=16, batch_size="2,4").spec
    loader = {"num_workers": 0, "pin_memory": False, "batch_size": 2}
    (trial,) = plan_confirm(spec, [PickedConfiguration("sgd", {"lr": 0.01, "one_minus_momentum": 0.1}, loader)])
    little = Limits(cores=2.0, memory_bytes=10**9, memory_free_bytes=10**6, shm_bytes=None, shm_free_bytes=None)
    monkeypatch.setattr(joint_trials, "limits", lambda: little)
    record = run_trial(trial).record
    assert (record.status, record.steps_done) == (Status.COMPLETE, 8)
    assert "ap_select" in record.metrics


def test_settings_come_from_the_environment_too(prepared, monkeypatch):
    monkeypatch.setenv("POSEBENCH_SAMPLER", "random")
    monkeypatch.setenv("POSEBENCH_BATCH_SIZE", "2, 4, 8")
    found = prepared()
    assert (found.spec.sampler, found.spec.batch_size) == ("random", (2, 4, 8))


@pytest.mark.parametrize("name", [*OPTIMIZERS, "adamw", "radam"])
def test_the_line_to_paste_builds_the_same_optimizer(name):
    entry = optimizer_entry(name)
    by_sum = {"effective_lr": 0.0493824, "one_minus_momentum": 0.25}
    settings = by_sum if name in ("sgd", "nesterov") else {"lr": 0.0123456}
    line = optimizer_line(entry, settings, 0.0)
    model = torch.nn.Linear(2, 1)
    module, _, call = line.partition("(")
    package = module.rpartition(".")[0]
    pasted = eval(f"{module}({call}", {package.partition(".")[0]: __import__(package), "model": model})
    made = entry.factory({**settings, "weight_decay": 0.0})(model.parameters())
    assert type(pasted) is type(made)
    chosen_here = {"foreach", "fused", "maximize", "capturable", "differentiable"}
    assert {k: v for k, v in pasted.defaults.items() if k not in chosen_here} == {
        k: v for k, v in made.defaults.items() if k not in chosen_here
    }


def test_a_line_says_only_what_differs_from_the_class():
    assert optimizer_line(optimizer_entry("nesterov"), {"lr": 0.1, "one_minus_momentum": 0.1}, 1e-4) == (
        "torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=True)"
    )
    assert optimizer_line(optimizer_entry("sgd"), {"effective_lr": 0.1, "one_minus_momentum": 0.2}, 0.0) == (
        "torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.8)"
    )
    tuned = {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 1e-3}
    assert optimizer_line(optimizer_entry("adam"), tuned, {"log": (1e-6, 1e-2)}) == (
        "torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.001, decoupled_weight_decay=True)"
    )
    assert optimizer_line(optimizer_entry("adam"), {"lr": 1 / 3}, 0.0) == (
        "torch.optim.Adam(model.parameters(), lr=0.333333)"
    )


def test_a_trial_that_cannot_fit_is_skipped_with_its_needs(prepared, monkeypatch):
    spec = prepared(batch_size="2,4", trials=2).spec
    trial = planned_trial(spec)
    shares, why = predicted_needs(trial)
    assert why == ""
    assert 0 < shares["need_share_memory"] < 1
    little = Limits(cores=2.0, memory_bytes=10**9, memory_free_bytes=10**6, shm_bytes=None, shm_free_bytes=None)
    monkeypatch.setattr(joint_trials, "limits", lambda: little)
    record, curve, samples = run_trial(trial)
    assert (record.status, record.steps_done, curve, samples) == (Status.SKIPPED, 0, [], None)
    assert record.error.startswith("would need ") and "of memory, 1 MB free" in record.error
    assert record.metrics["need_share_memory"] > 1
    assert joint_trials.optuna_values(record, spec.identity()).constraints["memory"] > 0


def planned_trial(spec):
    slot = KIND.next_trials(spec, pd.DataFrame())[0]
    choices = {"optimizer": "sgd", "num_workers": 0, "pin_memory": False, "batch_size": 2}
    return searched_trial(spec, slot, choices | {"sgd.effective_lr": 0.1, "sgd.one_minus_momentum": 0.1})


def test_what_importances_are_made_of_is_what_was_chosen(prepared):
    spec = prepared().spec
    records = pd.DataFrame(
        [
            {
                "phase": "search",
                "status": "complete",
                "optimizer": "adam",
                "hyperparameters": '{"lr": 0.001, "one_minus_beta1": 0.1, "one_minus_beta2": 0.01}',
                "num_workers": 1,
                "pin_memory": False,
                "batch_size": 2,
                "ap": 0.5,
                "images_per_s": 9.0,
            }
        ]
    )
    (found,) = observed(spec, pd.concat([records, records.assign(status="failed"), records.assign(phase="confirm")]))
    assert found.optimizer == "adam"
    assert found.shared == {"optimizer": "adam", "num_workers": 1, "pin_memory": False, "batch_size": 2}
    assert found.own == {"lr": 0.001, "one_minus_beta1": 0.1, "one_minus_beta2": 0.01}
    assert list(found.outcomes) == [0.5, 9.0]
    assert observed(spec, pd.DataFrame()) == []


def test_sessions_that_overlap_on_a_machine_ran_at_once():
    rows = [("a", 0, 100, 1), ("a", 50, 150, 2), ("a", 150, 200, 1), ("b", 0, 200, 2)]
    sessions = pd.DataFrame(rows, columns=["host", "began_ms", "heard_ms", "workers"])
    assert most_at_once(sessions) == 3
    assert most_at_once(sessions[sessions["host"] == "b"]) == 2
    assert most_at_once(sessions[:0]) == 0
    assert most_at_once(sessions.assign(engine=[None, "ray", None, None])) == 2, "on a cluster it is no machine's"


def test_the_plan_of_a_planned_kind_grows():
    identity = {"name": "x", "kind": "joint", "preset": "smoke", "optimizers": ["sgd"]}
    progress = Progress(PlanSize.of(identity, {"search": 4}), all_planned=False)
    assert (progress.size.planned, progress.waiting, progress.status) == (4, 4, "unfinished")
    assert not progress.size.plan_is_known
    assert live.Display(progress).recorded_text() == "0 trials are recorded"


def test_samplers_are_compared_at_half_and_at_the_end():
    runs = pd.DataFrame(
        [
            {"sampler": name, "repetition": r, "trial": t, "hypervolume": base + r + t}
            for name, base in (("tpe", 10.0), ("random", 0.0))
            for r in range(3)
            for t in (1, 2)
        ]
    )
    found = table(runs)
    assert list(found["hypervolume"]) == [12.0, 13.0, 2.0, 3.0]
    assert list(found["n"]) == [3] * 4
    (pair,) = differences(runs).to_dict(orient="records")
    assert (pair["one"], pair["other"], pair["difference"], pair["better"], pair["n"]) == ("tpe", "random", 10.0, 3, 3)
    assert (pair["low"], pair["high"]) == (10.0, 10.0), "the same in each repetition"


def test_a_study_of_another_kind_is_told_apart(tiny):
    with pytest.raises(SettingsError, match="is of kind 'loaders'; this needs one of joint"):
        KIND.spec.from_stored({"kind": "loaders", "name": "x", "data": Path(tiny)})
